"""The pages of results in the repository are what their records say, and short enough to read."""

import shutil
from pathlib import Path

import pytest

from mfr_kit.ablation import results
from mfr_kit.ablation.results import write
from mfr_kit.cli import main

ROOT = Path(__file__).resolve().parents[2]
SUMMARY = ROOT / "docs" / "reference" / "results.md"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A folder with the pages and the README, made anew from the records."""
    folder = tmp_path_factory.mktemp("results")
    readme = folder / "README.md"
    readme.write_bytes((ROOT / "README.md").read_bytes())
    write(ROOT / "results", folder / "results.md", readme)
    return folder


def test_pages_and_plots_are_what_the_records_say(written):
    made = {path.relative_to(written) for path in written.rglob("*.*")} - {Path("README.md")}
    kept = {path.relative_to(SUMMARY.parent) for path in SUMMARY.with_suffix("").rglob("*.*")}
    assert made == kept | {Path("results.md")}
    differing = [
        path
        for path in sorted(made)
        if (written / path).read_bytes() != (SUMMARY.parent / path).read_bytes()
    ]
    assert not differing, "run `kit.py results --readme README.md`"


def test_the_readmes_figures_are_what_the_records_say(written):
    assert (written / "README.md").read_text("utf-8") == (ROOT / "README.md").read_text("utf-8"), (
        "run `kit.py results --readme README.md`"
    )


def test_the_summary_is_short_and_names_the_command_of_each_table():
    lines = SUMMARY.read_text(encoding="utf-8").splitlines()
    tables = sorted({path.parent.name for path in (ROOT / "results").glob("*/*.json")})
    assert len(lines) <= 20 + 13 * len(tables)
    for name in tables:
        assert any(
            line.startswith(f"`python kit.py ablate configs/ablations/{name}.toml")
            for line in lines
        ), name


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ("nothing", "no block"),
        ("<!-- results of reported: nobody -->\n<!-- end of results -->", "no records of 'nobody'"),
    ],
)
def test_a_readme_without_its_block_is_told_in_a_line(tmp_path, capsys, block, problem):
    (tmp_path / "page.md").write_text(block)
    shutil.copytree(ROOT / "results" / "reported", tmp_path / "results" / "reported")
    out = ["--out", str(tmp_path / "r.md"), "--readme", str(tmp_path / "page.md")]
    assert main(["results", "--records", str(tmp_path / "results"), *out]) == 2
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "r.md").exists()


def test_a_table_may_have_any_name():
    """Longer than a file's name may be, as a damaged record says it."""
    assert "ablate configs/ablations/recipe.toml" in results._origin("recipe", {})
    assert f"ablate {'é' * 300}.toml" in results._origin("é" * 300, {})
