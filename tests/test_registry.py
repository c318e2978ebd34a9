import pytest

from mfr_kit import registry
from mfr_kit.errors import KitError


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    # Python remembers where a package was found, so each test has its own
    package = f"plugins_{tmp_path.name}"
    folder = tmp_path / package
    folder.mkdir()
    for name in ("__init__", "two_words", "alpha", "_private"):
        (folder / f"{name}.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    return package


def test_a_file_in_the_folder_is_a_plugin(plugins):
    assert registry.names(plugins) == ["alpha", "two-words"]
    assert registry.get(plugins, "two-words").VALUE == 1
    assert registry.get(plugins, "two_words").VALUE == 1


def test_an_unknown_name_lists_the_known_ones(plugins):
    with pytest.raises(KitError, match=r"Did you mean 'alpha'\? Known: alpha, two-words"):
        registry.get(plugins, "alhpa")


def test_naming_plugins_does_not_import_them(plugins, tmp_path):
    (tmp_path / plugins / "broken.py").write_text("raise RuntimeError\n")
    assert "broken" in registry.names(plugins)


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("KF94", ["boat", "kn95", "surgical"], "kn95"),
        ("Surgicl", ["boat", "kn95", "surgical"], "surgical"),
        ("--lr", ["--help", "--learning-rate", "--layer-decay"], "--learning-rate"),
        ("--lr", ["--help", "--json"], None),
        ("--mask_ratio", ["--mask-ratio", "--masks"], "--mask-ratio"),
        ("half way", ["base", "half way to base"], "half way to base"),
        ("zebra", ["boat", "kn95", "surgical"], None),
    ],
)
def test_the_nearest_name_is_the_one_that_was_meant(name, known, meant):
    assert registry.nearest(name, known) == meant


def test_the_nearest_path_is_a_name_or_lies_beside(tmp_path):
    for name in ("adapt_sface.toml", "scratch.toml"):
        (tmp_path / name).write_text("")
    beside = tmp_path / "adapt_sface.toml"
    assert registry.near_path(tmp_path / "adapt_sfac.toml") == f". Did you mean '{beside}'?"
    assert registry.near_path("sfac", ["sface"]) == ". Did you mean 'sface'?"
    for nothing in (tmp_path / "x.toml", tmp_path / "gone" / "adapt_sface.toml", "\0"):
        assert registry.near_path(nothing, ["sface"]) == ""
