"""People divided into lists, and what each list can be measured for, against plain counts."""

import itertools
import types

import numpy as np
import pytest

from mfr_kit.cli import main
from mfr_kit.data.lists import read_names
from mfr_kit.errors import KitError
from mfr_kit.evaluation.split import EDGES, FARS, describe, split, write_lists
from mfr_kit.evaluation.verification.rates import CLAIM, COMPARE
from tests.training.conftest import write_set


def made_up(shots, twins=0):
    """A set by how many bare faces each person has, each of the first `twins` with a masked one."""
    names = [f"p{number:04}" for number in range(len(shots))]
    codes = np.repeat(np.arange(len(shots)), shots)
    masked = np.zeros(len(codes), bool)
    return types.SimpleNamespace(
        names=names,
        codes=np.concatenate([codes, codes[:twins]]),
        masked=np.concatenate([masked, np.ones(len(codes[:twins]), bool)]),
    )


@pytest.fixture
def faces():
    shots = np.random.default_rng(0).choice([1, 1, 1, 2, 3, 4, 7, 12, 30], 1000)
    return made_up(shots, twins=1500)


def test_everybody_goes_somewhere_once_alike_in_photographs(faces):
    parts = split(faces, 0.1, 0.2, 3)
    everybody = [name for part in parts for name in part.people]
    assert sorted(everybody) == faces.names
    assert [len(part.people) for part in parts] == pytest.approx([700, 100, 200], abs=2)
    shots = np.bincount(faces.codes[~faces.masked])
    for low, high in itertools.pairwise([*EDGES, 1000]):
        stratum = {faces.names[row] for row in np.flatnonzero((shots >= low) & (shots < high))}
        for part, share in zip(parts, (0.7, 0.1, 0.2), strict=True):
            assert len(stratum & set(part.people)) == pytest.approx(share * len(stratum), abs=2)


def test_a_division_follows_from_names_and_seed(faces):
    first, again, other = (split(faces, 0.1, 0.2, seed) for seed in (0, 0, 1))
    assert first == again
    assert first[2].people != other[2].people
    shots = np.bincount(faces.codes[~faces.masked]).tolist()
    grown = split(made_up([*shots, *[2] * 20]), 0.1, 0.2, 0)
    moved = set(first[2].people) ^ set(grown[2].people)
    assert len(moved) < 20


def test_comparisons_are_those_of_different_people():
    faces = made_up([3, 1, 2, 4, 1, 1, 2, 3, 1, 5], twins=11)
    for part in split(faces, 0.3, 0.3, 0):
        rows = [
            (faces.names[code], bool(masked))
            for code, masked in zip(faces.codes, faces.masked, strict=True)
            if faces.names[code] in part.people
        ]
        bare = [who for who, masked in rows if not masked]
        covered = [who for who, masked in rows if masked]
        assert (part.clean, part.masked) == (len(bare), len(covered))
        assert part.pairs == sum(a != b for a, b in itertools.combinations(bare, 2))
        assert part.masked_pairs == sum(a != b for a in covered for b in bare)


def test_what_is_told_is_what_rates_need():
    """At every FAR: as many comparisons as it says give the false accepts that a claim needs."""
    parts = split(made_up([1] * 400, twins=400), 0.0, 0.5, 0)
    told = describe(parts).splitlines()
    holdout = next(line for line in told if line.startswith("holdout"))
    pairs = 200 * 199 // 2
    least = [min(far for far in FARS if pairs * far >= need) for need in (CLAIM, COMPARE)]
    assert f"bare {least[0]:g} and {least[1]:g}, " in holdout
    row = next(line.split() for line in told if line.split()[:1] == ["0.0001"])
    bare, both = int(row[2].replace(",", "")), int(row[3].replace(",", ""))
    assert bare * (bare - 1) / 2 * 1e-4 == pytest.approx(CLAIM, rel=0.01)
    assert both**2 * 1e-4 == pytest.approx(CLAIM, rel=0.01)
    assert "masked face" not in told[-1]
    assert "--ratio 1` draws them" in describe(split(made_up([1] * 40), 0.1, 0.1, 0))


def test_parts_that_cannot_be_are_refused():
    with pytest.raises(KitError, match="leave nobody to train on"):
        split(made_up([1] * 10), 0.5, 0.5, 0)
    with pytest.raises(KitError, match=r"2 people are too few for a part of 10% \(val\)"):
        split(made_up([1] * 2), 0.1, 0.5, 0)


def test_the_lists_are_read_back_and_not_written_over(tmp_path, capsys):
    folder = write_set(tmp_path / "set", people=12, shots=2)
    lists = tmp_path / "lists"
    command = ["split", str(folder), str(lists), "--val", "0.25", "--holdout", "0.25"]
    assert main(command) == 0
    assert "least FAR to state" in capsys.readouterr().out
    found = {name: read_names(lists / f"{name}.txt") for name in ("train", "val", "holdout")}
    assert {name: len(people) for name, people in found.items()} == {
        "train": 6,
        "val": 3,
        "holdout": 3,
    }
    assert main(command) == 2
    assert "exists already" in capsys.readouterr().err
    (lists / "holdout.txt").unlink()  # as after a full disk
    assert main(command) == 0
    assert read_names(lists / "holdout.txt") == found["holdout"]
    (lists / "holdout.txt").unlink()
    (lists / "val.txt").write_text("another list\n")
    assert main(command) == 2
    assert not (lists / "holdout.txt").exists()
    assert not (tmp_path / "none").exists()
    write_lists(split(made_up([1] * 10), 0.0, 0.2, 0), tmp_path / "none")
    assert {path.name for path in (tmp_path / "none").iterdir()} == {"train.txt", "holdout.txt"}
