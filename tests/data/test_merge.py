"""Several face sets as one."""

import json

import numpy as np
import pytest

from mfr_kit.cli import main
from mfr_kit.data.convert import convert
from mfr_kit.data.face_set.faceset import FaceSet
from tests.clustering.made_up import write_unlabelled


@pytest.fixture
def two(tmp_path):
    """Two face sets of one face a person; the second's people are `b00`, `b01` ..."""
    write_unlabelled(tmp_path / "first", (2, 1))
    write_unlabelled(tmp_path / "second", (1, 3))
    for folder in sorted((tmp_path / "second").iterdir()):
        folder.rename(folder.with_name(f"b{folder.name}"))
    for name in ("first", "second"):
        convert(tmp_path / name, tmp_path / f"{name}_set", None, "face-set")
    return tmp_path / "first_set", tmp_path / "second_set"


@pytest.mark.parametrize("format", ["folder", "rec"])
def test_the_whole_has_all_faces_with_what_is_known_of_them(two, tmp_path, capsys, format):
    out = tmp_path / "whole"
    command = ["merge", str(two[0]), str(two[1]), "--out", str(out), "--format", format]
    assert main(command) == 0
    assert "7 faces of 7 people, read back equal" in capsys.readouterr().out
    whole, parts = FaceSet.open(out), [FaceSet.open(path) for path in two]
    of_person = {whole.identities[row]: row for row in range(len(whole))}
    assert len(of_person) == sum(map(len, parts))
    for part in parts:
        for row in range(len(part)):
            there = of_person[part.identities[row]]
            assert whole.encoded(there) == part.encoded(row)
            assert np.array_equal(whole.points(there), part.points(row))
    about = json.loads((out / "faceset.json").read_text())
    assert about["options"]["merged"] == [str(path) for path in two]


def test_twins_stay_with_their_clean_faces(tmp_path, two, drawn_set):
    out = tmp_path / "whole"
    assert main(["merge", str(two[0]), str(drawn_set.folder), "--out", str(out)]) == 0
    whole = FaceSet.open(out)
    assert whole.masked.sum() == drawn_set.masked.sum() > 0
    for row in np.flatnonzero(whole.masked):
        clean = int(whole.clean_rows[row])
        assert not whole.masked[clean] and whole.identities[clean] == whole.identities[row]


def test_one_name_in_two_sets_is_refused_and_nothing_is_written(two, tmp_path, capsys):
    out = tmp_path / "whole"
    convert(tmp_path / "first", tmp_path / "again", None, "face-set")
    assert main(["merge", str(two[0]), str(tmp_path / "again"), "--out", str(out)]) == 2
    assert "the same one, or another?" in capsys.readouterr().err and not out.exists()


@pytest.mark.parametrize("picked", [(0,), (0, 0)])
def test_one_set_is_no_merge(two, tmp_path, capsys, picked):
    command = ["merge", *(str(two[row]) for row in picked), "--out", str(tmp_path / "whole")]
    assert main(command) == 2
    assert "two face sets or more" in capsys.readouterr().err
