"""Every planted fault is found, and nothing else is."""

import csv

import cv2
import numpy as np
import pytest

from mfr_kit.audit import neighbours
from mfr_kit.audit.findings import Thresholds, compare_sets, inspect_set
from mfr_kit.audit.scan import open_set, scan
from mfr_kit.cli import main
from mfr_kit.data.convert import convert
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.images import encode

PEOPLE = 6


class Colours:
    """An embedder whose answer the test knows: the mean colours of a face's four quarters."""

    name, fingerprint, embedding_size, lineage = "colours", "0", 12, None

    def embed(self, faces):
        quarters = faces.reshape(len(faces), 2, 56, 2, 56, 3).mean((2, 4)).reshape(len(faces), -1)
        return (quarters - 128).astype(np.float32)


def face(person, photo, size=112):
    """Four flat quarters that name the person, a little noise that names the photo."""
    quarters = np.random.default_rng(person).integers(30, 226, (2, 2, 3)).astype(np.float64)
    quarters += np.random.default_rng(1000 + 37 * person + photo).normal(0, 14, quarters.shape)
    return cv2.resize(
        np.clip(quarters, 0, 255).astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST
    )


@pytest.fixture
def people(tmp_path):
    for person in range(PEOPLE):
        (tmp_path / "people" / f"p{person}").mkdir(parents=True)
        for photo in range(4):
            (tmp_path / "people" / f"p{person}" / f"{photo}.png").write_bytes(
                encode(face(person, photo), ".png")
            )
    return tmp_path / "people"


def found(path, other=None, embedder=True):
    limits = Thresholds(0.9999, 0.9, 0.2)
    scanned = scan(open_set(path), Colours() if embedder else None)
    items = list(inspect_set(scanned, limits))
    if other:
        items += compare_sets(
            scanned, scan(open_set(other), Colours() if embedder else None), limits
        )
    return {(item.kind, item.photo, item.other_person, item.exclude) for item in items}


def test_a_sound_set_has_no_findings(people):
    assert found(people) == set()


def test_copies(people):
    data = (people / "p0" / "0.png").read_bytes()
    (people / "p0" / "9.png").write_bytes(data)
    (people / "p2" / "9.png").write_bytes(encode(face(3, 0), ".bmp"))
    assert found(people, embedder=False) == {
        ("same file", "p0/9.png", "p0", True),
        ("same pixels, two names", "p2/9.png", "p3", True),
        ("same pixels, two names", "p3/0.png", "p2", True),
    }


def test_a_copy_in_jpeg_is_a_near_duplicate(people):
    (people / "p1" / "9.jpg").write_bytes(encode(face(1, 2)))
    assert found(people) == {("near duplicate", "p1/9.jpg", "p1", True)}


def test_a_person_under_two_names_loses_the_smaller_name(people):
    (people / "q").mkdir()
    for photo in (7, 8):
        (people / "q" / f"{photo}.png").write_bytes(encode(face(4, photo), ".png"))
    assert found(people) == {
        ("two names", "q/7.png", "p4", True),
        ("two names", "q/8.png", "p4", True),
    }


def test_a_photo_under_a_wrong_name(people):
    stranger = 255 - face(5, 0)
    (people / "p5" / "9.png").write_bytes(encode(stranger, ".png"))
    kinds = {(kind, photo) for kind, photo, _, _ in found(people)}
    assert kinds == {("likely label error", "p5/9.png")}


def test_one_photo_is_told_but_not_excluded(people):
    (people / "alone").mkdir()
    (people / "alone" / "1.png").write_bytes(encode(face(77, 0), ".png"))
    assert found(people) == {("one photo", "alone/1.png", "", False)}


def test_two_sets(tmp_path, people):
    other = tmp_path / "other"
    for person, name, photo in (
        (0, "p0", 50),
        (1, "someone", 51),
        (2, "else", 0),
        (90, "new", 1),
        (90, "new", 2),
    ):
        (other / name).mkdir(parents=True, exist_ok=True)
        (other / name / f"{photo}.png").write_bytes(encode(face(person, photo), ".png"))
    shared = found(people, other)
    assert {item for item in shared if item[0] == "name in both"} == {
        ("name in both", f"p0/{photo}.png", "p0", True) for photo in range(4)
    }
    assert {item for item in shared if item[0] == "photo in both"} == {
        ("photo in both", "p2/0.png", "else", True)
    }
    assert {item[1] for item in shared if item[0] == "person in both"} == {
        *(f"p1/{photo}.png" for photo in range(4)),
        *(f"p2/{photo}.png" for photo in range(1, 4)),
    }


def test_the_command_writes_a_list_for_exclude(tmp_path, people, capsys):
    (people / "p0" / "9.png").write_bytes((people / "p0" / "0.png").read_bytes())
    assert main(["audit", str(people), "--model", "none", "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "25 photographs of 6 people, compared by hash only" in told and "same file" in told
    assert (tmp_path / "out" / "exclude.txt").read_text() == "p0/9.png\n"
    with (tmp_path / "out" / "findings.csv").open(newline="") as file:
        assert [row["photo"] for row in csv.DictReader(file)] == ["p0/9.png"]
    augment = [
        "augment",
        str(people),
        str(tmp_path / "set"),
        "--aligned",
        "--workers",
        "0",
        "--exclude",
    ]
    assert main([*augment, str(tmp_path / "out" / "exclude.txt")]) == 0
    assert sorted(set(FaceSet.open(tmp_path / "set").sources)) == sorted(
        f"p{p}/{n}.png" for p in range(PEOPLE) for n in range(4)
    )


def test_photos_that_are_not_aligned_are_hashed_only(people):
    (people / "p0" / "9.png").write_bytes(encode(face(0, 1, 113), ".png"))
    assert scan(open_set(people), Colours()).embeddings is None


def test_a_face_set_is_audited_by_its_photographs(tmp_path, people):
    (people / "p0" / "9.png").write_bytes((people / "p0" / "0.png").read_bytes())
    convert(people, tmp_path / "faces", None, "face-set")
    assert found(tmp_path / "faces") == {("same file", "p0/9.png", "p0", True)}


@pytest.mark.parametrize("blocks", [(3, 5), (1024, 8192)])
def test_neighbours_equal_the_naive_way(monkeypatch, blocks):
    monkeypatch.setattr(neighbours, "ROWS", blocks[0])
    monkeypatch.setattr(neighbours, "COLUMNS", blocks[1])
    rng = np.random.default_rng(3)
    vectors, labels = (
        rng.normal(size=(40, 6)).astype(np.float32),
        rng.integers(0, 9, 40).astype(np.int32),
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    rows, best = neighbours.nearest_stranger(vectors, labels)
    own, twins = (
        neighbours.likeness_to_own(vectors, labels),
        {later: value for _, later, value in neighbours.twins_within(vectors, labels, 0.3)},
    )
    for row in range(40):
        strangers = [
            (cosines[row, other], other) for other in range(40) if labels[other] != labels[row]
        ]
        assert (pytest.approx(best[row], abs=1e-6), rows[row]) == max(strangers)
        others = [
            cosines[row, other]
            for other in range(40)
            if labels[other] == labels[row] and other != row
        ]
        assert own[row] == pytest.approx(np.mean(others) if others else np.inf, abs=1e-5)
        earlier = [cosines[row, other] for other in range(row) if labels[other] == labels[row]]
        expected = max((value for value in earlier if value >= 0.3), default=None)
        assert twins.get(row) == (None if expected is None else pytest.approx(expected, abs=1e-6))
    assert np.array_equal(neighbours.nearest(vectors, vectors)[0], np.arange(40))
