"""An unlabelled set becomes a set of people, as a command does it."""

import csv

import numpy as np
import pytest

from mfr_kit.cli import main
from mfr_kit.clustering import cluster as room
from mfr_kit.clustering.options import ClusterOptions
from mfr_kit.data.convert import convert
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.models import embedders
from tests.clustering.made_up import Colours, same_division, write_unlabelled

COUNTS = (1, 7, 3, 1, 5, 2, 4)


@pytest.fixture
def colours(monkeypatch):
    monkeypatch.setattr(room, "load_embedder", lambda *given, **named: Colours())
    monkeypatch.setattr(embedders, "load_embedder", lambda *given, **named: Colours())


@pytest.fixture
def unlabelled(tmp_path, colours):
    """A face set in which every face is a person of its own, and who they are."""
    truth = write_unlabelled(tmp_path / "photos", COUNTS)
    convert(tmp_path / "photos", tmp_path / "faces", None, "face-set")
    return tmp_path / "faces", truth


def run(faces, out, *flags):
    given = ["--bank", str(faces.parent / "bank"), "--threshold", "0.9", *flags]
    assert main(["cluster", str(faces), *([] if out is None else ["--out", str(out)]), *given]) == 0


@pytest.mark.parametrize("format", ["folder", "rec"])
def test_the_people_of_an_unlabelled_set_are_found(unlabelled, tmp_path, capsys, format):
    faces, truth = unlabelled
    before = FaceSet.open(faces).fingerprint
    run(faces, tmp_path / "people", "--format", format)
    said = capsys.readouterr().out
    assert "23 faces in 7 clusters at a mean cosine of 0.9" in said and "the largest 7, 5," in said
    made, old = FaceSet.open(tmp_path / "people"), FaceSet.open(faces)
    assert FaceSet.open(faces).fingerprint == before
    true = dict(zip(old.sources.tolist(), truth.tolist(), strict=True))
    assert same_division([true[source] for source in made.sources], made.labels.tolist())
    images = dict(zip(old.sources.tolist(), range(len(old)), strict=True))
    for row, source in enumerate(made.sources):
        assert made.encoded(row) == old.encoded(images[source])
    assert made.about["options"]["threshold"] == 0.9
    with (tmp_path / "people.clusters.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    names = dict(zip(made.sources.tolist(), made.identities.tolist(), strict=True))
    assert {row["photo"]: row["cluster"] for row in listed} == names
    assert sum(row["likeness"] == "" for row in listed) == COUNTS.count(1)


def test_nothing_is_embedded_again(unlabelled, tmp_path, monkeypatch):
    faces, _ = unlabelled
    run(faces, tmp_path / "one")

    def fail(self, images):
        raise AssertionError("embedded again")

    monkeypatch.setattr(Colours, "embed", fail)
    run(faces, tmp_path / "two", "--threshold", "0.8")


def test_masked_twins_go_with_their_clean_faces(tmp_path, colours):
    truth = write_unlabelled(tmp_path / "photos", COUNTS)
    places = [str(tmp_path / "photos"), str(tmp_path / "faces")]
    assert main(["augment", *places, "--aligned", "--workers", "0", "--ratio", "1"]) == 0
    run(tmp_path / "faces", tmp_path / "people")
    made = FaceSet.open(tmp_path / "people")
    assert len(made) == 2 * len(truth) and made.identity_count == len(COUNTS)
    twins = np.flatnonzero(made.clean_rows >= 0)
    assert len(twins) == len(truth)
    assert np.array_equal(made.labels[twins], made.labels[made.clean_rows[twins]])


def test_against_labels_prints_what_they_agree_in(unlabelled, tmp_path, capsys):
    faces, _ = unlabelled
    run(faces, tmp_path / "people")
    capsys.readouterr()
    run(tmp_path / "people", None, "--against-labels")
    lines = [line for line in capsys.readouterr().out.splitlines() if "chosen" in line]
    assert lines[0].split()[:8] == ["0.9", "7", *["1.0000"] * 6]
    run(faces, None, "--against-labels")
    lines = [line for line in capsys.readouterr().out.splitlines() if "chosen" in line]
    # nothing was to merge: 37 pairs are none of its labels'
    assert lines[0].split()[2:5] == ["0.0000", "1.0000", "0.0000"]


def test_what_is_refused(unlabelled, tmp_path, capsys):
    faces, _ = unlabelled
    with pytest.raises(KitError, match="against-labels"):
        ClusterOptions(faces)
    assert main(["cluster", str(faces), "--against-labels", "--threshold", "2"]) == 2
    assert "--threshold 2: say auto, or a cosine" in capsys.readouterr().err
    assert main(["cluster", str(faces), "--against-labels"]) == 2
    assert "auto is known for sface and not for colours" in capsys.readouterr().err
    assert main(["cluster", str(tmp_path / "photos"), "--out", str(tmp_path / "new")]) == 2
    assert "is not a face set" in capsys.readouterr().err
    assert main(["cluster", str(faces), "--out", str(faces), "--threshold", "0.9"]) == 2
    assert FaceSet.open(faces).identity_count == sum(COUNTS)
