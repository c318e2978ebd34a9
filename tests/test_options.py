from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mfr_kit.cli._command import command
from mfr_kit.errors import KitError
from mfr_kit.options import as_dict, from_python, load, option, options_class


@options_class
class Options:
    src: Path = option(argument=True, help="Where from.")
    ratio: float = option(0.35, help="Share, 0..1.")
    kinds: list[str] | None = option(None, help="Kinds.")
    flip: bool = option(False, help="Mirror too.")
    method: str = option("coupleface", choices=lambda: ["coupleface", "fcd"], help="Method.")
    limit: int | None = option(None, help="At most so many.")


def run(arguments: list[str]) -> Options:
    got = []
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command(Options, got.append, with_config=True))
    result = CliRunner().invoke(app, arguments)
    if result.exception:
        raise result.exception
    return got[0]


def config(tmp_path, text: str) -> Path:
    path = tmp_path / "c.toml"
    path.write_text(text)
    return path


def test_defaults_then_config_then_flags(tmp_path):
    path = config(tmp_path, 'src = "a"\nratio = 1\nkinds = ["x", "y"]\nflip = true\n')
    got = run(["--config", str(path), "--ratio", "0.5", "--no-flip"])
    assert got == Options(src=Path("a"), ratio=0.5, kinds=["x", "y"], flip=False)


def test_a_flag_given_as_its_default_still_wins(tmp_path):
    path = config(tmp_path, 'src = "a"\nratio = 1.0\n')
    assert run(["--config", str(path), "--ratio", "0.35"]).ratio == 0.35


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rato = 1", "unknown key 'rato'. Did you mean 'ratio'"),
        ('ratio = "much"', "key 'ratio': expected float, found 'much'"),
        ("limit = true", "expected int, found True"),
        ("kinds = [1]", "expected str, found 1"),
        ("ratio = ", "not valid TOML"),
        ('method = "kd"', "unknown value for --method 'kd'"),
    ],
)
def test_a_bad_config_is_refused_with_its_place(tmp_path, text, message):
    path = config(tmp_path, f'src = "a"\n{text}\n')
    with pytest.raises(KitError) as caught:
        load(Options, path, {})
    assert message in str(caught.value)


def test_a_missing_argument_is_named_as_the_user_types_it():
    with pytest.raises(KitError, match=r"^SRC is missing"):
        load(Options, None, {})


def test_a_missing_config_file_is_named(tmp_path):
    with pytest.raises(KitError, match=r"gone\.toml"):
        load(Options, tmp_path / "gone.toml", {})


def test_options_become_plain_values():
    assert as_dict(Options(src=Path("a/b"), kinds=["x"]))["src"] == "a/b"


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
def test_numbers_that_are_not_finite_are_refused(tmp_path, value):
    path = config(tmp_path, f'src = "a"\nratio = {value.replace("1e999", "inf")}\n')
    with pytest.raises(KitError, match=r"'ratio': expected a finite number, found -?(nan|inf)"):
        load(Options, path, {})
    with pytest.raises(KitError, match="--ratio must be a finite number"):
        load(Options, None, {"src": Path("a"), "ratio": float(value)})


def test_a_text_with_a_nul_and_a_huge_number_are_refused(tmp_path):
    with pytest.raises(KitError, match=r"key 'src': expected Path, found 'a\\x00'"):
        load(Options, config(tmp_path, 'src = "a\\u0000"\n'), {})
    with pytest.raises(KitError, match="key 'limit': expected int"):
        load(Options, config(tmp_path, f'src = "a"\nlimit = {10**30}\n'), {})


@options_class
class Renamed:
    weight_share: float = option(1.0, help="Share.", formerly="keep_part")


@pytest.mark.parametrize("name", ["weight_share", "weight-share", "keep_part", "keep-part"])
def test_an_option_is_understood_under_its_former_name(tmp_path, name):
    path = config(tmp_path, f"{name} = 0.5\n")
    assert load(Renamed, path, {}) == Renamed(weight_share=0.5)
    assert load(Renamed, path, {"weight_share": 0.25}) == Renamed(weight_share=0.25)
    assert from_python(Renamed, {name: 0.5}, "here") == Renamed(weight_share=0.5)


@pytest.mark.parametrize("second", ["weight-share", "keep_part"])
def test_an_option_given_under_two_names_is_refused_in_a_line(tmp_path, second):
    path = config(tmp_path, f"weight_share = 0.5\n{second} = 0.5\n")
    message = f"c.toml: 'weight_share' and '{second}' are the same option: give it once, as 'wei"
    with pytest.raises(KitError, match=message):
        load(Renamed, path, {})
