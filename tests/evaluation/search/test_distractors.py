"""Searches among distractors, recomputed pair by pair with a full sort; who is a distractor; and
all of it in the report.
"""

import csv
import json
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mfr_kit import cli
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation.compare import measure
from mfr_kit.evaluation.inputs.embed import embed_set
from mfr_kit.evaluation.inputs.faces import Faces, from_set
from mfr_kit.evaluation.search import distractors
from mfr_kit.evaluation.search.distractors import choose, hit_rates, pair_up, ranks, sizes
from mfr_kit.evaluation.verification.rates import Plan
from mfr_kit.seeding import rng_for
from tests.conftest import write_faceset
from tests.evaluation.fakes import ColourEmbedder
from tests.evaluation.tables import coarse, listed, table, tar_by_sorting


def naive(
    probes: Faces, gallery: Faces, strangers: Faces, size: int
) -> list[tuple[str, str, str, int]]:
    """(person, probe, enrolled, rank) of each pair in turn by a full sort; rank 0: lost."""
    found = []
    for i in range(len(probes)):
        for j in range(len(gallery)):
            if probes.people[i] != gallery.people[j] or probes.photos[i] == gallery.photos[j]:
                continue
            rank = 0
            if probes.found[i] and gallery.found[j]:
                own = float(probes.embeddings[i].astype(float) @ gallery.embeddings[j])
                others = [
                    float(probes.embeddings[i].astype(float) @ row)
                    for row in strangers.embeddings[:size]
                ]
                # of equal scores the stranger stands first
                scores = sorted([(-own, 1), *((-score, 0) for score in others)])
                rank = scores.index((-own, 1)) + 1
            found.append((probes.people[i], probes.keys[i], gallery.keys[j], rank))
    return sorted(found)


def mixed(seed: int, count: int = 130, people: int = 24) -> Faces:
    """A table with lost faces, many ties, and about a third of the faces masked."""
    rng = rng_for(seed, 1)
    faces = coarse(rng_for(seed), count, people, levels=1 + seed % 3, size=4)
    conditions = np.where(rng.random(count) < 0.35, "mask", "nonmask").astype(object)
    return Faces(
        *(
            conditions if name == "conditions" else getattr(faces, name)
            for name in Faces.__dataclass_fields__
        )
    )


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("condition", ["nonmask", "mask"])
def test_ranks_equal_a_full_sort_of_every_pair(monkeypatch, seed: int, condition: str) -> None:
    monkeypatch.setattr(distractors, "ROWS", 3)
    monkeypatch.setattr(distractors, "COLUMNS", 7)
    chosen = choose(mixed(seed), None, seed)
    gallery, probes = chosen.probed.under("nonmask"), chosen.probed.under(condition)
    trials = pair_up(probes, gallery)
    wanted = sizes(len(chosen.distractors))
    assert wanted[0] == 10 and wanted[-1] == len(chosen.distractors) > 10
    tied = 0
    for size, rank in ranks(trials, chosen.distractors.embeddings, wanted):
        expected = naive(probes, gallery, chosen.distractors, size)
        assert sorted(zip(trials.people, rank, strict=True)) == sorted(
            (who, at) for who, _, _, at in expected
        )
        by_probe = {
            key: sorted(at for _, other, _, at in expected if other == key) for key in probes.keys
        }
        assert all(
            sorted(rank[trials.rows == row].tolist()) == by_probe[key]
            for row, key in enumerate(probes.keys)
        )
        rates, _ = hit_rates(trials, rank, (1, 5), 0, 0)
        assert rates.tolist() == pytest.approx(
            [np.mean([1 <= at <= within for *_, at in expected]) for within in (1, 5)]
        )
        tied += sum(
            float(probes.embeddings[row] @ other) == float(own)
            for row, own in zip(trials.rows, trials.own, strict=True)
            for other in chosen.distractors.embeddings[:size]
        )
    assert (
        tied
        and (rank == 0).any()
        and not set(chosen.distractors.people) & set(chosen.probed.people)
    )


def test_sizes_grow_tenfold_up_to_what_is_there() -> None:
    assert [sizes(count) for count in (1, 10, 11, 1000, 12_345)] == [
        [1],
        [10],
        [10, 11],
        [10, 100, 1000],
        [10, 100, 1000, 10_000, 12_345],
    ]


def test_a_tie_counts_against_the_system_and_a_lost_face_is_never_found() -> None:
    faces = table(
        np.array([[1, 0], [1, 0], [0, 1], [0, 1]]),
        ["a", "a", "b", "b"],
        found=[True, True, False, True],
    )
    trials = pair_up(faces, faces)
    strangers = np.array([[0.5, 0.5], [1, 0]], np.float32)
    assert [rank.tolist() for _, rank in ranks(trials, strangers, [1, 2])] == [
        [1, 1, 0, 0],
        [2, 2, 0, 0],
    ]
    rates, drawn = hit_rates(trials, np.array([2, 2, 0, 0]), (1, 100), 20, 3)
    assert rates.tolist() == [0, 0.5] and drawn.shape == (20, 2) and set(drawn[:, 1]) <= {0, 0.5, 1}


def test_resamples_equal_the_trials_of_the_people_drawn() -> None:
    chosen = choose(mixed(3), None, 3)
    trials = pair_up(chosen.probed.under("mask"), chosen.probed.under("nonmask"))
    *_, (_, rank) = ranks(trials, chosen.distractors.embeddings, [20])
    names = np.unique(trials.people)
    drawn = hit_rates(trials, rank, (1, 5), 12, 4)[1]
    for index, weights in enumerate(distractors.draws(len(names), 12, 4)):
        mine = np.concatenate(
            [
                np.repeat(rank[trials.people == name], times)
                for name, times in zip(names, weights, strict=True)
            ]
        )
        assert drawn[index] == pytest.approx(
            [np.mean((mine >= 1) & (mine <= within)) for within in (1, 5)]
        )


def test_who_is_searched_for_and_among_whom_follows_names_and_seed_alone() -> None:
    faces = coarse(rng_for(1), 300, 40)
    chosen = choose(faces, None, 7)
    again = choose(faces.select(rng_for(2).permutation(300)), None, 7)
    assert again.distractors.keys.tolist() == chosen.distractors.keys.tolist() and set(
        again.probed.keys
    ) == set(chosen.probed.keys)
    assert choose(faces, None, 8).distractors.keys.tolist() != chosen.distractors.keys.tolist()
    assert chosen.distractors.found.all() and chosen.left_out["not_found"] > 0
    some = faces.select(np.isin(faces.people, [str(n) for n in range(30)]))
    others = faces.select(np.isin(faces.people, [str(n) for n in range(25, 40)]))
    second = choose(some, others, 7)
    assert set(second.distractors.people) == {str(n) for n in range(30, 40)}
    assert second.left_out["people"] == int(
        np.isin(others.people, [str(n) for n in range(25, 30)]).sum()
    )
    assert len(set(second.probed.people)) == 30


def test_without_distractors_there_is_one_clear_line() -> None:
    faces = coarse(rng_for(1), 60, 8, lost=0)
    for others, words in (
        (
            faces,
            "no distractors: of 60 unmasked faces 60 are of people who are probed, in the second "
            "set",
        ),
        (
            coarse(rng_for(1), 9, 8, size=5),
            "distractors of 5 numbers a face, the set's faces have 6",
        ),
    ):
        with pytest.raises(KitError, match=words):
            choose(faces, others, 0)
    alone = faces.select(np.unique(faces.people, return_index=True)[1])
    with pytest.raises(KitError, match="nobody to search for: 0 people have"):
        choose(alone, faces, 0)
    everybody = [
        seed
        for seed in range(4000)
        if all(distractors.key_of(f"probed person {seed} {name}") % 2 for name in set(faces.people))
    ]
    with pytest.raises(KitError, match="give a second one with --distractors"):
        choose(faces, None, everybody[0])


def test_one_to_one_among_distractors_is_measured_where_the_set_supports_it(tmp_path) -> None:
    faceset, second = (
        write_faceset(tmp_path / name, people=people, takes=3)
        for name, people in (("set", 3), ("more", 9))
    )
    faces, others = (
        from_set(rng_for(n).standard_normal((len(one), 6)).astype(np.float32), one)
        for n, one in enumerate((faceset, second))
    )
    result = measure(faces, Plan(fars=(0.4,), distractors=others), ["distractors"])[
        "distractors"
    ].result
    assert [row["searches"]["condition"] for row in result["searched"]] == ["nonmask"] * 2 + [
        "mask"
    ] * 2
    assert [
        (row["distractors"], row["searches"]["mated"], row["searches"]["pairs"])
        for row in result["searched"]
    ] == [
        (10, 18, 9),
        (18, 18, 9),
        (10, 18, 18),
        (18, 18, 18),
    ]
    assert result["distractors"]["left_out"] == {"people": 9, "not_found": 0}
    assert all(
        row["tar"] is None and "the smallest FAR it supports" in row["note"]
        for row in result["distractors"]["verification"]
    )
    chosen = choose(faces, others, 0)
    genuine, impostor = listed(faces.under("mask"), faces.under("nonmask"))
    impostor += listed(faces.under("mask"), chosen.distractors)[1]
    assert result["comparisons"]["impostor"] == len(impostor) == 9 * (6 + 18)
    assert result["tar_at_far"][0]["tar"] == pytest.approx(
        tar_by_sorting(genuine, impostor, 0.4)[0]
    )


@pytest.fixture
def sets(colour_models, tmp_path):
    # the heads of the first five are those of the set
    second = write_faceset(tmp_path / "second", people=14)
    rows = [
        {**row, "identity": row["identity"].replace("p", "q")}
        for row in second.table.to_pylist()
        if row["identity"] >= "p05"
    ]
    second.table = second.table.from_pylist(rows, second.table.schema)
    pq.write_table(second.table, second.folder / "faces.parquet")
    return write_faceset(tmp_path / "set", people=5), FaceSet.open(second.folder)


def test_two_models_among_the_faces_of_a_second_set(sets, tmp_path, capsys) -> None:
    flags = ["--data", str(tmp_path / "set"), "--far", "0.4", "--resamples", "20"]
    strangers = ["--distractors", str(tmp_path / "second"), "--out", str(tmp_path / "out")]
    assert cli.main(["evaluate", "whole", "upper", *flags, *strangers]) == 0, capsys.readouterr()
    text = capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "distractors" in report["protocols"] and "mask-nonmask" in report["protocols"]
    entry = report["protocols"]["distractors"]
    rates = {
        model: {row["gallery"]: row["cmc"][0] for row in result["searched"]}
        for model, result in entry["models"].items()
    }
    last = "36 distractors, mask probes"
    assert (
        list(rates["whole"])[-1] == last
        and rates["upper"][last]["rate"] > rates["whole"][last]["rate"]
    )
    assert (
        "nonmask probes: 30 pairs of photographs, each both ways: 60 searches" in text
        and "mask probes: 60 pairs" in text
    )
    assert "5 people searched for among 36 photographs of a second set" in text and last in text
    change = next(
        row for row in entry["identification_differences"] if row["figure"] == f"rank-1 in {last}"
    )
    assert change["difference"] == rates["upper"][last]["rate"] - rates["whole"][last]["rate"]
    assert f"upper minus whole in rank-1 in {last}" in text
    with (tmp_path / "out" / "searches.csv").open() as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["model"] == "upper" and row["gallery"] == last
        ]
    assert [row["figure"] for row in rows] == [f"rank-{n}" for n in (1, 2, 5, 10, 20, 50, 100)]
    assert (
        float(rows[0]["value"]) == rates["upper"][last]["rate"]
        and rows[0]["enrolled"] == "37"
        and rows[0]["low"]
    )
    page = (tmp_path / "out" / "report.html").read_text()
    assert f'data-value="{rates["upper"][last]["rate"]}"' in page and "Searches by gallery" in page
    assert (
        "30 pairs and 60 searches for nonmask probes, 60 pairs and 60 searches for mask probes."
        in page
    )


def test_embeddings_of_distractors_give_the_figures_of_their_set(sets, tmp_path) -> None:
    """Embeddings by key and of the model alone: the same distractors in the same order."""
    own, second = sets
    clean = second.clean()
    rows = embed_set(ColourEmbedder(), clean)
    pq.write_table(
        pa.table({"key": clean.keys.tolist(), "embedding": rows.tolist()}), tmp_path / "d.parquet"
    )
    np.save(tmp_path / "d.npy", rows)
    np.save(tmp_path / "own.npy", embed_set(ColourEmbedder(), own))
    found = []
    for model, given in (
        ("whole", "second"),
        ("whole", "d.parquet"),
        (str(tmp_path / "own.npy"), "d.parquet"),
        ("whole", "d.npy"),
    ):
        flags = [
            "--data",
            str(own.folder),
            "--protocol",
            "distractors",
            "--far",
            "0.4",
            "--resamples",
            "0",
            "--out",
            str(tmp_path / "out"),
            "--force",
        ]
        assert cli.main(["evaluate", model, *flags, "--distractors", str(tmp_path / given)]) == 0
        found.append(
            next(
                iter(
                    json.loads((tmp_path / "out" / "report.json").read_text())["protocols"][
                        "distractors"
                    ]["models"].values()
                )
            )
        )
    assert found[0]["searched"] == found[1]["searched"] == found[2]["searched"]
    assert found[3]["searched"][-1] == found[0]["searched"][-1], (
        "rows without keys have another order, and all of them the same figures"
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["whole", "--protocol", "distractors", "--distractors", "{set}"],
            "no distractors: of 20 unmasked faces 20 are of people",
        ),
        (
            ["whole", "--protocol", "mask-nonmask", "--distractors", "{second}"],
            "--distractors serves --protocol distractors",
        ),
        (["whole", "--distractors", "{none}"], "is not a face set"),
        (["whole", "--distractors", "{none}.npy"], "none.npy: cannot be read"),
        (
            ["whole", "upper", "--distractors", "{npy}"],
            "0 face sets and 1 files of embeddings for 2 models",
        ),
        (
            ["whole", "--distractors", "{set}", "--distractors", "{second}"],
            "2 face sets and 0 files of embeddings",
        ),
        (["{npy}", "--distractors", "{second}"], "rows.npy holds embeddings of another set"),
        (
            ["upper", "--distractors", "{npy}"],
            "distractors of 48 numbers a face, the set's faces have 24",
        ),
        (
            ["whole", "--distractors", "{second}", "--realigned", "{second}"],
            "--distractors knows one",
        ),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    sets, tmp_path, capsys, flags: list[str], words: str
) -> None:
    np.save(tmp_path / "rows.npy", embed_set(ColourEmbedder(), sets[0]))
    places = {name: str(tmp_path / name) for name in ("set", "second", "none")} | {
        "npy": str(tmp_path / "rows.npy")
    }
    asked = [flag.format(**places) for flag in flags]
    assert (
        cli.main(
            [
                "evaluate",
                *asked,
                "--data",
                str(tmp_path / "set"),
                "--far",
                "0.4",
                "--resamples",
                "0",
            ]
        )
        == 2
    )
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said


def test_memory_does_not_grow_with_the_distractors(monkeypatch) -> None:
    monkeypatch.setattr(distractors, "COLUMNS", 500)
    rng = rng_for(4)
    rows = rng.standard_normal((60, 8)).astype(np.float32)
    faces = table(rows, np.arange(60) % 10)
    trials, strangers = pair_up(faces, faces), rng.standard_normal((40_000, 8)).astype(np.float32)
    peaks = []
    for count in (1_000, 40_000):
        tracemalloc.start()
        for _ in ranks(trials, strangers[:count], sizes(count)):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
