"""Listed pairs and ten folds, recomputed a second way."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mfr_kit.data.verification_sets.pairs import open_pairs
from mfr_kit.errors import KitError
from mfr_kit.evaluation.compare import evaluate_set, measure
from mfr_kit.evaluation.inputs.faces import from_set
from mfr_kit.evaluation.verification.pair_list import fold_accuracy, read_lfw, read_list
from mfr_kit.evaluation.verification.rates import Plan
from mfr_kit.seeding import rng_for
from tests.conftest import write_faceset


def slow_accuracy(scores: list[float], same: list[bool], folds: int) -> list[tuple[float, float]]:
    """(lowest, highest) accuracy of each fold over all thresholds that are best on the other
    folds.
    """
    size, out = len(scores) // folds, []
    for fold in range(folds):
        test = range(fold * size, (fold + 1) * size)
        train = [i for i in range(len(scores)) if i not in test]
        candidates = [*sorted({s for s in scores if np.isfinite(s)}), 2.0]
        right = {t: sum((scores[i] >= t) == same[i] for i in train) for t in candidates}
        best = [t for t in candidates if right[t] == max(right.values())]
        accuracies = [sum((scores[i] >= t) == same[i] for i in test) / size for t in best]
        out.append((min(accuracies), max(accuracies)))
    return out


@pytest.mark.parametrize("seed", range(5))
def test_fold_accuracy_equals_the_slow_way(seed: int) -> None:
    rng = rng_for(seed)
    same = rng.random(120) < 0.5
    scores = (rng.normal(0, 0.2, 120) + 0.5 * same).round(2).astype(np.float32)
    scores[rng.integers(0, 120, 4)] = -np.inf
    result, told = fold_accuracy(scores, same, 10)
    for accuracy, (low, high) in zip(
        result["folds"], slow_accuracy(scores.tolist(), same.tolist(), 10), strict=True
    ):
        assert low <= accuracy <= high
    assert result["mean"] == pytest.approx(np.mean(result["folds"]))
    assert told.mean() == pytest.approx(result["mean"])  # folds of one size


def test_a_fold_never_sees_its_own_threshold() -> None:
    """The last fold is shifted: the threshold of the others gets it all wrong, its own would get
    it all right.
    """
    scores = np.array([0.9, 0.1] * 10 + [0.45, 0.2] * 2, np.float32)
    same = np.array([True, False] * 12)
    same[-4:] = [False, True, False, True]
    assert fold_accuracy(scores, same, 6)[0]["folds"][-1] == 0.5


@pytest.fixture
def lfw(tmp_path):
    """A face set laid out like LFW (sources `Name/Name_0001.jpg`) and a list of two folds."""
    faceset = write_faceset(tmp_path / "set", people=4, takes=3)
    rows = [
        {
            **row,
            "source": f"{row['identity']}/{row['identity']}_000{int(row['source'][-5]) + 1}.jpg",
        }
        for row in faceset.table.to_pylist()
    ]
    faceset.table = faceset.table.from_pylist(rows, faceset.table.schema)
    listed = tmp_path / "pairs.txt"
    listed.write_text(
        "2 "
        "2\np00\t1\t2\np01\t1\t3\np00\t1\tp01\t1\np02\t2\tp03\t1\np02\t1\t2\np03\t1\t2\np00\t3\tp02\t3\np01\t2\tp03\t3\n"
    )
    return faceset, listed


def test_listed_pairs_are_looked_up_among_the_unmasked(lfw) -> None:
    faceset, listed = lfw
    codes = np.array([int(name[1:]) for name in faceset.identities])
    perfect = np.eye(4, dtype=np.float32)[codes]
    perfect[faceset.conditions == "mask"] = 1
    result = measure(from_set(perfect, faceset), Plan(fars=(0.5,), pairs=listed), ["lfw"])[
        "lfw"
    ].result
    assert result["comparisons"] == {
        "genuine": 4,
        "impostor": 4,
        "genuine_not_found": 0,
        "impostor_not_found": 0,
    }
    assert result["accuracy"]["mean"] == 1.0
    assert "lfw" in measure(from_set(perfect, faceset), Plan(fars=(0.5,), pairs=listed))
    assert "lfw" not in evaluate_set(perfect, faceset)


def test_a_photograph_without_a_face_is_a_wrong_answer(lfw) -> None:
    faceset, listed = lfw
    gone = int(
        np.flatnonzero((faceset.sources == "p00/p00_0002.jpg") & (faceset.conditions == "nonmask"))[
            0
        ]
    )
    fewer = faceset.select(np.arange(len(faceset)) != gone)
    row = {
        "source": "p00/p00_0002.jpg",
        "identity": "p00",
        "condition": "nonmask",
        "clean_key": "",
        "reason": "no_face",
        "detail": "",
    }
    perfect = np.eye(4, dtype=np.float32)[[int(name[1:]) for name in fewer.identities]]
    with pytest.raises(KitError, match="p00_0002"):
        measure(from_set(perfect, fewer), Plan(pairs=listed), ["lfw"])
    fewer.skipped = [row]
    result = measure(from_set(perfect, fewer), Plan(fars=(0.5,), pairs=listed), ["lfw"])[
        "lfw"
    ].result
    assert (
        result["accuracy"]["folds"] == [0.75, 1.0]
        and result["comparisons"]["genuine_not_found"] == 1
    )


def masked_list(tmp_path, positives_first: bool) -> tuple:
    """A set of really masked photographs and a list of ten folds, each of one pair of one person
    and one of two.
    """
    faceset = write_faceset(tmp_path / "set", people=4, takes=3, twins=False)
    rows = [
        {**row, "condition": "mask", "source": row["source"].replace("/", "_000")}
        for row in faceset.table.to_pylist()
    ]
    faceset.table = faceset.table.from_pylist(rows, faceset.table.schema)
    same = [f"p{n % 4:02d}_000{n % 3}.jpg\tp{n % 4:02d}_000{(n + 1) % 3}.jpg\t1" for n in range(10)]
    other = [
        f"p{n % 4:02d}_000{n % 3}.jpg\tp{(n + 1) % 4:02d}_000{n % 3}.jpg\t0" for n in range(10)
    ]
    lines = (
        [*same, *other]
        if positives_first
        else [line for both in zip(same, other, strict=True) for line in both]
    )
    (tmp_path / "mlfw.txt").write_text("\n".join(lines) + "\n")
    return faceset, tmp_path / "mlfw.txt"


def test_a_list_of_masked_photographs_is_measured_in_ten_folds_whatever_its_order(tmp_path) -> None:
    """Embeddings that mistake p00 for p01; the folds with such a pair are half right, at the
    threshold that is best on the others.
    """
    results = []
    for folder, first in (("a", True), ("b", False)):
        (tmp_path / folder).mkdir()
        faceset, path = masked_list(tmp_path / folder, first)
        rows = np.eye(4, dtype=np.float32)[[int(name[1:]) for name in faceset.identities]]
        rows[faceset.identities == "p01"] = rows[faceset.identities == "p00"][0]
        results.append(
            measure(from_set(rows, faceset), Plan(fars=(0.5,), pairs=path), ["lfw"])["lfw"].result
        )
    assert results[0] == results[1]
    assert results[0]["accuracy"]["folds"] == [0.5 if n % 4 == 0 else 1.0 for n in range(10)]
    assert results[0]["comparisons"] == {
        "genuine": 10,
        "impostor": 10,
        "genuine_not_found": 0,
        "impostor_not_found": 0,
    }


def test_a_cut_list_and_an_ambiguous_name_are_refused(tmp_path) -> None:
    faceset, path = masked_list(tmp_path, True)
    twice = [
        {**row, "source": f"{row['identity'] if row['identity'] < 'p02' else 'q'}/same.jpg"}
        for row in faceset.table.to_pylist()
    ]
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(
        KitError, match="10 pairs of one person and 9 of two cannot be shared equally by 10 folds"
    ):
        read_list(path)
    with pytest.raises(KitError, match=r"cannot read the list of pairs .*none\.txt"):
        read_list(tmp_path / "none.txt")
    path.write_text("p00/same.jpg p01/same.jpg 1\np00/same.jpg same.jpg 0\n" * 10)
    faceset.table = faceset.table.from_pylist(twice, faceset.table.schema).take([0, 3])
    faces = from_set(np.ones((2, 3), np.float32), faceset)
    with pytest.raises(KitError, match=r"same of .* is the name of 2 photographs"):
        measure(faces, Plan(pairs=path), ["lfw"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "first line"),
        ("1 1\na 1 2\n", "announces 2 pairs, but 1 follow"),
        ("1 1\na 1 2\na 1 b x\n", "line 3"),
        ("ten 300\n", "first line"),
    ],
)
def test_odd_lists_are_refused_by_line(tmp_path, text: str, words: str) -> None:
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(KitError, match=words):
        read_lfw(tmp_path / "pairs.txt")


@pytest.mark.parametrize(
    "text",
    [
        "2\t1\nAnn_Lee\t1\t2\nAnn_Lee\t1\tBob\t2\nBob\t1\t2\nBob\t2\tAnn_Lee\t2\n",
        "2 1\r\nAnn_Lee 1 2\r\n\r\nAnn_Lee 01 Bob 2\r\nBob 1 2 \r\nBob 2 Ann_Lee 2",
        "\ufeff\n2 1\nAnn_Lee\t1\t2\t\nAnn_Lee\t 1\tBob\t2\n",
        "2 1\nAnn_Lee\t1\t2\n",
        "2 1\nAnn_Lee 1 2\nAnn Lee 1 Bob 2\nBob 1 2\nBob 2 Ann_Lee 2\n",
        "2 1\nAnn_Lee 1 2\n1 2\nBob 1 2\nBob 2 Ann_Lee 2\n",
    ],
)
def test_a_list_of_lfw_means_the_same_to_evaluation_and_to_pairs(tmp_path, text: str) -> None:
    """Both read the same pairs from it, or refuse it in the same words."""
    for person in ("Ann_Lee", "Bob"):
        (tmp_path / person).mkdir()
        for photo in (1, 2):
            (tmp_path / person / f"{person}_{photo:04d}.jpg").write_bytes(b"")
    path = tmp_path / "pairs.txt"
    path.write_text(text, encoding="utf-8", newline="")

    def listed() -> list[tuple[str, str, bool]]:
        return read_list(path)[0]

    def opened() -> list[tuple[str, str, bool]]:
        pairs = open_pairs(path)
        sides = (
            [Path(pairs.names[row]).stem for row in rows] for rows in (pairs.left, pairs.right)
        )
        return list(zip(*sides, pairs.same.tolist(), strict=True))

    def outcome(read: Callable) -> list | str:
        try:
            return read()
        except KitError as error:
            return str(error)

    assert outcome(listed) == outcome(opened)


def test_the_published_list_holds_six_thousand_pairs(real_data) -> None:
    pairs, folds = read_lfw(real_data / "lfw" / "pairs.txt")
    assert folds == 10 and len(pairs) == 6000 and sum(same for *_, same in pairs) == 3000
    assert all(same == (left[:-5] == right[:-5]) for left, right, same in pairs)


def test_photographs_that_are_not_there_are_named_or_their_pairs_left_out(tmp_path, capsys) -> None:
    """Of ten folds with a pair of each kind one loses a pair: it rests on the other, and the
    other folds stay as they were.
    """
    faceset, path = masked_list(tmp_path, True)
    rows = np.eye(4, dtype=np.float32)[[int(name[1:]) for name in faceset.identities]]
    faces = from_set(rows, faceset)
    whole = measure(faces, Plan(fars=(0.5,), pairs=path), ["lfw"])["lfw"].result
    text = path.read_text()
    name = text.split()[0]
    path.write_text(text.replace(name, name + "x", 1))
    with pytest.raises(
        KitError, match=r"1 of \d+ photographs are not in the set: '.*x' \(.*did you"
    ):
        measure(faces, Plan(fars=(0.5,), pairs=path), ["lfw"])
    plan = Plan(fars=(0.5,), pairs=path, allow_unknown=True)
    part = measure(faces, plan, ["lfw"])["lfw"].result
    assert "warning: --pairs" in capsys.readouterr().err
    count, before = part["comparisons"], whole["comparisons"]
    assert count["genuine"] + count["impostor"] == before["genuine"] + before["impostor"] - 1
    assert len(part["accuracy"]["folds"]) == 10
    assert part["accuracy"]["folds"][1:] == whole["accuracy"]["folds"][1:]
