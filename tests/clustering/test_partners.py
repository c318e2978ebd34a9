"""Of a set without people the hardest partner is often the same person; of its clusters never."""

import numpy as np
import pytest
import torch

from mfr_kit.clustering import cluster as room
from mfr_kit.clustering.options import ClusterOptions
from mfr_kit.data.convert import convert
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.training.people import PeopleLists, split
from mfr_kit.training.teacher import bank, mining
from tests.clustering.made_up import Colours, write_unlabelled

NOTE = "every face is a person of its own"


@pytest.fixture
def sets(tmp_path, monkeypatch):
    """An unlabelled set, the set of its clusters, and who each photograph truly shows."""
    monkeypatch.setattr(room, "load_embedder", lambda *given, **named: Colours())
    truth = write_unlabelled(tmp_path / "photos", (4, 3, 5, 2, 6))
    convert(tmp_path / "photos", tmp_path / "faces", None, "face-set")
    given = {"out": tmp_path / "people", "bank": tmp_path / "bank", "threshold": "0.9"}
    room.cluster(ClusterOptions(tmp_path / "faces", **given))
    sources = FaceSet.open(tmp_path / "faces").sources.tolist()
    return tmp_path / "faces", tmp_path / "people", dict(zip(sources, truth.tolist(), strict=True))


def same_person(folder, truth, kind):
    """Count the partners, of all faces, that show the face's own person."""
    faces = FaceSet.open(folder)
    stored = bank.fill(folder.parent / "bank", faces, Colours(), progress=False)
    prototypes = mining.stored_prototypes(stored, faces.codes)
    partners = mining.Partners(stored, faces.codes, prototypes, mining.Draw("image", kind, 3, 0))
    rows = np.arange(len(faces))
    own = torch.from_numpy(stored.rows(rows))
    found = partners.identities(own, torch.from_numpy(faces.labels)).numpy()
    shown = np.array([truth[source] for source in faces.sources])
    people = [set(shown[faces.codes == code]) for code in range(faces.identity_count)]
    return sum(shown[row] in people[code] for row in rows for code in found[row])


@pytest.mark.parametrize("kind", ["teacher", "student", "both"])
def test_a_partner_is_never_the_same_person(sets, kind):
    unlabelled, people, truth = sets
    assert same_person(unlabelled, truth, kind) > 0
    assert same_person(people, truth, kind) == 0


def test_who_trains_on_faces_without_people_hears_of_cluster(sets, capsys):
    unlabelled, people, _ = sets
    split(people, PeopleLists(), {})
    assert NOTE not in capsys.readouterr().err
    split(unlabelled, PeopleLists(), {}, echo=False)
    assert NOTE not in capsys.readouterr().err
    split(unlabelled, PeopleLists(), {})
    said = capsys.readouterr().err
    assert NOTE in said and "kit.py cluster" in said
