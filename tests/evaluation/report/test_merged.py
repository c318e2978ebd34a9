"""Two reports of one set are compared as if they were one evaluation; others are refused."""

import copy
import json

import pytest

from mfr_kit import cli
from tests.conftest import write_faceset


@pytest.fixture
def run(colour_models, tmp_path, capsys):
    write_faceset(tmp_path / "set", people=8)

    def call(*arguments: str) -> tuple[int, str]:
        code = cli.main(list(map(str, arguments)))
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    def evaluate(out: str, *models: str, data: str = "set", seed: int = 3) -> dict:
        fars = ["--far", "0.4", "--far", "0.2"]
        flags = ["--data", tmp_path / data, "--resamples", "40", "--seed", seed, "--no-faces"]
        code, text = call("evaluate", *models, *fars, *flags, "--out", tmp_path / out)
        assert code == 0, text
        return json.loads((tmp_path / out / "report.json").read_text())

    call.evaluate = evaluate
    return call


def test_differences_are_those_of_one_evaluation(run, tmp_path) -> None:
    both = run.evaluate("both", "whole", "upper")
    run.evaluate("a", "whole")
    run.evaluate("b", "upper")
    code, text = run(
        "compare", tmp_path / "a" / "report.json", tmp_path / "b", "--out", tmp_path / "ab"
    )
    assert code == 0, text
    merged = json.loads((tmp_path / "ab" / "report.json").read_text())
    wanted = both["protocols"]["mask-nonmask"]["differences"]
    assert wanted
    for protocol, entry in both["protocols"].items():
        found = merged["protocols"][protocol]
        assert list(found["models"]) == ["whole", "upper"]
        for row, known in zip(found["differences"], entry["differences"], strict=True):
            assert row["tar_difference"] == known["tar_difference"] and row["far"] == known["far"]
            for end in ("low", "high"):
                assert row["interval"][end] == pytest.approx(known["interval"][end], abs=1e-6)
    assert f"upper minus whole at FAR 0.4: {100 * wanted[0]['tar_difference']:+.2f}" in text
    assert (tmp_path / "ab" / "report.html").read_text().count("<svg viewBox") > 8
    assert [model["name"] for model in merged["models"]] == ["whole", "upper"]


def test_a_model_in_both_stands_once_and_one_name_is_told_apart(run, tmp_path) -> None:
    run.evaluate("a", "whole")
    run.evaluate("b", "whole", "upper")
    code, text = run("compare", tmp_path / "a", tmp_path / "b")
    assert code == 0 and "whole: the same in both reports, shown once" in text
    report = json.loads((tmp_path / "b" / "report.json").read_text())
    for entry in report["protocols"].values():
        for row in entry["models"]["whole"]["tar_at_far"]:
            row["tar"] = 0.5
    (tmp_path / "b" / "report.json").write_text(json.dumps(report))
    code, text = run("compare", tmp_path / "a", tmp_path / "b")
    assert code == 0 and "whole (b) minus whole (a) at FAR" in text


def test_what_cannot_be_paired_is_said(run, tmp_path) -> None:
    run.evaluate("a", "whole")
    run.evaluate("b", "upper", seed=4)
    code, text = run("compare", tmp_path / "a", tmp_path / "b")
    assert code == 0 and "minus" not in text
    assert "no differences: --resamples 40 --seed 3 drew other people than" in text
    code, text = run("compare", tmp_path / "a", tmp_path / "a")
    assert code == 2 and "nothing to compare" in text
    write_faceset(tmp_path / "other", people=9)
    run.evaluate("c", "upper", data="other")
    code, text = run("compare", tmp_path / "a", tmp_path / "c")
    assert code == 2 and "one is of set, the other of other" in text


def test_damaged_reports_are_refused_in_one_line(run, tmp_path) -> None:
    run.evaluate("a", "whole")
    good = json.loads((tmp_path / "a" / "report.json").read_text())
    bad = tmp_path / "bad.json"

    def result(report: dict) -> dict:
        return report["protocols"]["mask-nonmask"]["models"]["whole"]

    for damage in (
        lambda all: result(all).update(resampled=dict.fromkeys(result(all)["resampled"], "?")),
        lambda all: result(all).update(tar_at_far=[{"far": "x"}]),
        lambda all: result(all)["tar_at_far"][0].pop("true_accepts"),
        lambda all: result(all)["tar_at_far"][1].pop("tar_macro"),
        lambda all: all.pop("models"),
        lambda all: all.update(schema="mfr-kit/evaluation/0"),
    ):
        report = copy.deepcopy(good)
        damage(report)
        bad.write_text(json.dumps(report))
        code, text = run("compare", tmp_path / "a", bad)
        assert code == 2 and text.startswith("error: ") and text.count("\n") == 1, text
    code, text = run("compare", tmp_path / "a", tmp_path / "nothing.json")
    assert code == 2 and "nothing.json" in text
