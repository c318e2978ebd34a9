"""Tables of a report for other programs: the same figures, and names stay text."""

import re
import shutil
import subprocess

import pytest

from mfr_kit.errors import KitError
from mfr_kit.evaluation.report import exports, pdf

NAMES = ["50%_off & $x{y}~z^\\w#", "a|b<i>*c*[d](e)\nf"]


@pytest.fixture
def report() -> dict:
    span = {"low": 0.871, "high": 0.893}
    row = {"far": 0.001, "tar": 0.88123, "interval": span, "tar_macro": 0.8, "threshold": 0.3}
    row |= {"false_accepts": 500, "true_accepts": 8, "note": ""}
    nothing = {**row, "far": 1e-4, "tar": None, "interval": None, "note": "only 3"}
    result = {
        "tar_at_far": [row, nothing],
        "eer": {"rate": 0.0123},
        "d_prime": None,
        "comparisons": {"genuine": 10, "impostor": 99},
    }
    entry = {"title": "masked against unmasked", "models": dict.fromkeys(NAMES, result)}
    return {"protocols": {"mask-nonmask": entry, "mask-mask": entry | {"title": "other"}}}


def test_markdown_holds_every_figure_in_its_cell(report) -> None:
    lines = exports.markdown(report).splitlines()
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert {len(row) for row in cells} == {6} and len(lines) == 2 + 4
    assert [cell.strip() for cell in cells[2][2:]] == ["88.12 (87.1 to 89.3)", "-", "1.23", "-"]
    assert "<i>" not in exports.markdown(report) and r"\*c\*\[d\]" in lines[3]


def test_latex_escapes_names(report) -> None:
    text = exports.latex(report)
    assert r"50\%\_off \& \$x\{y\}\textasciitilde{}z\textasciicircum{}\textbackslash{}w\#" in text
    assert r"a\textbar{}b\textless{}i\textgreater{}*c*[d](e) f" in text
    body = text.split(r"\midrule", 1)[1].split(r"\bottomrule")[0]
    for line in body.strip().replace(r"\midrule", "").splitlines():
        assert not line or (len(re.findall(r"(?<!\\)&", line)) == 5 and line.endswith(r" \\"))
    assert body.count("88.12 (87.1 to 89.3) & - & 1.23 & -") == 4 and body.count("midrule") == 1


def test_csv_rows_hold_what_the_report_does(report) -> None:
    found = list(exports.rows(report))
    assert len(found) == 8 and set(found[0]) == set(exports.COLUMNS)
    assert found[0]["tar"] == 0.88123 and found[1]["low"] is None and found[1]["note"] == "only 3"


def test_a_page_is_printed(tmp_path) -> None:
    if not any(map(shutil.which, pdf.BROWSERS)):
        pytest.skip("no Chromium on this machine: nothing was printed")
    (tmp_path / "page.html").write_text("<title>t</title><p>A page</p>")
    path = pdf.write_pdf(tmp_path / "page.html", tmp_path / "out" / "page.pdf")
    assert path.read_bytes().startswith(b"%PDF-") and path.stat().st_size > 1000
    assert [item.name for item in path.parent.iterdir()] == ["page.pdf"]


def test_without_a_browser_nothing_is_begun(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KitError, match="install one"):
        pdf.find_browser()
    browser = tmp_path / "chromium"
    browser.write_text("#!/bin/sh\necho no display >&2; exit 3\n")
    browser.chmod(0o755)
    with pytest.raises(KitError, match=r"did not print .*no display"):
        pdf.write_pdf(tmp_path / "page.html", tmp_path / "page.pdf")
    assert not (tmp_path / "page.pdf").exists()


def test_a_browser_that_hangs_is_given_up(monkeypatch, tmp_path) -> None:
    def hang(*_, **flags):
        raise subprocess.TimeoutExpired("chromium", flags["timeout"])

    monkeypatch.setattr(pdf.shutil, "which", lambda name: name)
    monkeypatch.setattr(pdf.subprocess, "run", hang)
    with pytest.raises(KitError, match=r"did not print .* in 300 s"):
        pdf.write_pdf(tmp_path / "page.html", tmp_path / "page.pdf")
