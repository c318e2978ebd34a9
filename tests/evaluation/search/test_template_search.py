"""IJB's 1:N: the two galleries, their mean and their union, recomputed by sorting; the lists;
and all of it in the report.
"""

import csv
import json

import numpy as np
import pytest

from mfr_kit import cli
from mfr_kit.data.verification_sets.ijb import Enrolment, open_searches
from mfr_kit.errors import KitError
from mfr_kit.evaluation.published.templates import TemplatePairs, measure
from mfr_kit.evaluation.search import template_search
from mfr_kit.evaluation.search.template_search import search_templates
from mfr_kit.evaluation.verification.rates import Plan
from mfr_kit.seeding import rng_for
from tests.evaluation.fakes import ColourEmbedder
from tests.evaluation.published.test_templates import ijb
from tests.evaluation.search.test_identification import naive
from tests.evaluation.tables import table

__all__ = ["ijb"]  # a fixture


def made_up(seed: int):
    """60 subjects, half of them in each gallery, with coarse embeddings that tie; 400 probes;
    templates numbered with holes.
    """
    rng = rng_for(seed)
    subjects = np.concatenate([np.arange(60), rng.integers(0, 60, 400)])
    centres = rng.integers(-2, 3, (60, 5))
    rows = np.clip(centres[subjects] + rng.integers(-1, 2, (460, 5)), -2, 2) / 8
    numbers = np.sort(rng.choice(5000, 460, replace=False))
    order = rng.permutation(460)  # gallery and probe templates are mixed
    subjects, rows = subjects[order], rows[order]
    enrolled = np.isin(order, np.arange(60))
    galleries = {}
    for name, half in (("G1", subjects < 30), ("G2", subjects >= 30)):
        galleries[name] = Enrolment(numbers[enrolled & half], subjects[enrolled & half])
    return (
        table(rows, np.arange(460)),
        numbers,
        galleries,
        Enrolment(numbers[~enrolled], subjects[~enrolled]),
        enrolled,
        subjects,
    )


@pytest.mark.parametrize("seed", range(4))
def test_galleries_equal_a_full_sort_with_ties(monkeypatch, seed: int) -> None:
    monkeypatch.setattr(template_search, "FPIRS", (0.6, 0.4))
    faces, numbers, galleries, probes, enrolled, subjects = made_up(seed)
    rows, resampled = search_templates(faces, numbers, galleries, probes, 20, 0)
    first, second, mean, both = rows
    assert [row["gallery"] for row in rows] == [
        "G1",
        "G2",
        "mean of G1 and G2",
        "G1 and G2 at once",
    ]
    named = table(faces.embeddings, subjects)
    side = named.select(np.flatnonzero(~enrolled))
    for row, half in ((first, subjects < 30), (second, subjects >= 30)):
        gallery = named.select(np.flatnonzero(enrolled & half))
        for line in row["cmc"]:
            assert line["rate"] == pytest.approx(naive(gallery, side, line["rank"], 0.3)[0])
        for line in row["open_set"]:
            _, fnir, false = naive(gallery, side, 1, line["fpir"])
            assert (line["fnir"], line["false_positives"]) == (
                pytest.approx(fnir),
                false,
            ) and false >= 30
        assert row["searches"] == {
            "mated": int((half & ~enrolled).sum()),
            "non_mated": int((~half & ~enrolled).sum()),
            "not_found": 0,
        }
    union = named.select(np.flatnonzero(enrolled))
    stranger = table(np.zeros((1, 5)), ["nobody"])
    for line in both["cmc"]:
        everybody = table(
            *(
                np.concatenate([getattr(side, name), getattr(stranger, name)])
                for name in ("embeddings", "people")
            )
        )
        assert line["rate"] == pytest.approx(naive(union, everybody, line["rank"], 0.5)[0])
    assert both["open_set"] == [] and both["searches"]["non_mated"] == 0
    for kind, rate in (("cmc", "rate"), ("open_set", "fnir")):
        for one, other, line in zip(first[kind], second[kind], mean[kind], strict=True):
            assert line[rate] == pytest.approx((one[rate] + other[rate]) / 2)
            assert line["interval"]["low"] <= line[rate] <= line["interval"]["high"]
    assert resampled["rank-1 in mean of G1 and G2"] == pytest.approx(
        (resampled["rank-1 in G1"] + resampled["rank-1 in G2"]) / 2
    )


def test_what_rests_on_too_few_strangers_is_not_claimed() -> None:
    faces, numbers, galleries, probes, *_ = made_up(1)
    first, _, mean, _ = search_templates(faces, numbers, galleries, probes, 0, 0)[0]
    assert [row["fnir"] for row in first["open_set"]] == [
        None,
        None,
    ] and "a claim needs 30" in first["open_set"][0]["note"]
    assert (
        mean["open_set"][0]["fnir"] is None
        and mean["open_set"][0]["note"]
        and mean["cmc"][0]["interval"] is None
    )
    nobody = Enrolment(probes.templates, probes.subjects + 1000)
    with pytest.raises(
        KitError, match="none of the 400 probe templates shows a subject of gallery G1"
    ):
        search_templates(faces, numbers, galleries, nobody, 0, 0)


def lists(
    root, gallery: str = "ijbc_1N_gallery_G{}.csv", probes: str = "ijbc_1N_probe_mixed.csv"
) -> None:
    """Enrol the first template of each of the six people, three in each gallery; a line each
    photograph, as published.
    """
    header = "TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT"
    for number, people in ((1, range(3)), (2, range(3, 6))):
        lines = [
            f"{2 * person + 1},{100 + person},img/{take}.png,{take},1,2,3,4"
            for person in people
            for take in range(3)
        ]
        (root / "meta" / gallery.format(number)).write_text("\n".join([header, *lines]) + "\n")
    lines = [
        f"{2 * person + 2},{100 + person},frames/{take}.png,{take},1,2,3,4"
        for person in range(6)
        for take in range(3)
    ]
    (root / "meta" / probes).write_text("\n".join([header, *lines]) + "\n")


def test_the_published_lists_are_read(ijb) -> None:
    assert (
        open_searches(ijb, "ijbc", np.arange(1, 13)) is None and TemplatePairs(ijb).searches is None
    )
    lists(ijb)
    galleries, probes = open_searches(ijb, "ijbc", np.arange(1, 13))
    assert {
        name: (one.templates.tolist(), one.subjects.tolist()) for name, one in galleries.items()
    } == {
        "G1": ([1, 3, 5], [100, 101, 102]),
        "G2": ([7, 9, 11], [103, 104, 105]),
    }
    assert probes.templates.tolist() == [2, 4, 6, 8, 10, 12] and probes.subjects.tolist() == [
        100,
        101,
        102,
        103,
        104,
        105,
    ]
    lists(ijb, "ijbb_1N_gallery_S{}.csv", "ijbb_1N_probe_mixed.csv")
    assert list(open_searches(ijb, "ijbb", np.arange(1, 13))[0]) == ["S1", "S2"]


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("gallery_G2", None, "ijbc_1N_gallery_G2.csv is not there; 1:N needs all of"),
        ("gallery_G1", "T,S\n1,100\nx,3\n", "line 3: `template,subject,...` expected, found 'x,3'"),
        ("gallery_G1", "T,S\n1,100\n1,101\n", "line 3: template 1 shows subject 100 further up"),
        ("gallery_G1", "T,S\n99,100\n", "no photograph belongs to template 99"),
        ("gallery_G1", "T,S\n", "no template in it"),
        ("gallery_G1", "T,S\n2,100\n", "template 2 is among the probes too"),
    ],
)
def test_odd_lists_are_refused(ijb, capsys, file: str, text: str | None, words: str) -> None:
    lists(ijb)
    path = ijb / "meta" / f"ijbc_1N_{file}.csv"
    path.unlink() if text is None else path.write_text(text)
    assert cli.main(["evaluate", "sface", "--ijb", str(ijb)]) == 2
    assert words in capsys.readouterr().err


def test_searches_stand_beside_the_pairs_in_the_report(
    colour_models, ijb, tmp_path, capsys
) -> None:
    lists(ijb)
    asked = [
        "evaluate",
        "whole",
        "upper",
        "--ijb",
        str(ijb),
        "--far",
        "0.5",
        "--resamples",
        "20",
        "--out",
        str(tmp_path / "out"),
    ]
    assert cli.main(asked) == 0, capsys.readouterr()
    text = capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    entry = report["protocols"]["ijbc"]
    alone = measure(
        ColourEmbedder(upper=True),
        TemplatePairs(ijb),
        Plan(fars=(0.5,), resamples=20),
        batch=8,
        cache=None,
    ).result
    rows = entry["models"]["upper"]["searched"]
    assert rows == alone["searched"] and [row["searches"]["mated"] for row in rows] == [3, 3, 6, 6]
    assert rows[0]["open_set"][0]["note"].startswith(
        "FPIR 0.1 cannot be measured on 3 searches without a mate"
    )
    assert "G1 and G2 at once" in text and "TPR~FPR=1e-06" in text
    assert any(
        row["figure"] == "rank-1 in G1" and row["model"] == "upper"
        for row in entry["identification_differences"]
    )
    with (tmp_path / "out" / "searches.csv").open() as file:
        first = next(csv.DictReader(file))
    assert (first["protocol"], first["gallery"], first["figure"], first["mated"]) == (
        "ijbc",
        "G1",
        "rank-1",
        "3",
    )
    page = (tmp_path / "out" / "report.html").read_text()
    assert (
        "1:N: each probe template" in page and f'data-value="{rows[3]["cmc"][0]["rate"]}"' in page
    )
