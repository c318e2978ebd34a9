"""The benchmark of large sets, at a size that takes no time."""

import numpy as np

from benchmarks import rows
from mfr_kit.data.face_set.content import digest_of
from mfr_kit.data.face_set.faceset import FaceSet


def test_the_made_up_set_is_a_face_set_of_several_shards(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rows, "SHARD_ROWS", 100)
    rows.make(tmp_path / "set", 250, 60)
    faces = FaceSet.open(tmp_path / "set")
    assert (len(faces), len(faces.people)) == (250, 60)
    assert np.bincount(faces.labels).min() >= 4 and (np.diff(faces.labels) >= 0).all()
    for row in (0, 99, 100, 249):
        assert digest_of(faces.encoded(row)) == faces.table["digest"][row].as_py()
        assert faces.image(row).shape == (112, 112, 3)
    monkeypatch.setattr(rows, "BATCH", 16)
    (tmp_path / "val.txt").write_text("0000001\n0000059\n")
    figures = rows.begin(tmp_path / "set", tmp_path / "val.txt")
    assert {"open", "labels", "order", "read", "first_batch", "resident"} <= set(figures)
    assert figures["first_batch"] >= figures["open"] > 0


def test_a_promise_is_a_line_and_kept_or_not(capsys):
    assert rows.promise("open", 0.5, "<=", 1, "3 s") and not rows.promise(
        "read", 0.4, ">=", 0.5, "x"
    )
    line = capsys.readouterr().out.splitlines()[0]
    assert line == 'promise open ratio=0.50 wanted<=1.00 yardstick="3 s"'
