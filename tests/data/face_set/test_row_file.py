"""The row file says what `faces.parquet` says, or is not used."""

import pickle
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from mfr_kit.data.convert import convert
from mfr_kit.data.face_set import faceset_writer, mapped_rows, row_file, storage
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.face_set.faceset_writer import write_rows
from mfr_kit.data.face_set.mapped_rows import MappedRows
from mfr_kit.data.face_set.rows import TableRows
from mfr_kit.errors import KitError
from tests.conftest import write_faceset

TEXTS = ("keys", "sources", "identities", "conditions", "clean_keys", "masks")


@pytest.fixture(params=["files", "records"])
def pair(request, tmp_path):
    """A set, and the same without a row file."""
    write_faceset(tmp_path / "drawn", 4, 3)
    if request.param == "records":
        convert(tmp_path / "drawn", tmp_path / "set", write_as="face-set-records")
    else:
        shutil.copytree(tmp_path / "drawn", tmp_path / "set")
    shutil.copytree(tmp_path / "set", tmp_path / "old")
    (tmp_path / "old" / "faces.arrow").unlink()
    return FaceSet.open(tmp_path / "set"), FaceSet.open(tmp_path / "old")


def expect_equal(one: FaceSet, other: FaceSet) -> None:
    assert isinstance(one._rows, MappedRows) and isinstance(other._rows, TableRows)
    for name in TEXTS:
        assert getattr(one, name).tolist() == getattr(other, name).tolist(), name
    for name in ("labels", "codes", "scores", "similarities", "masked"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
        assert getattr(one, name).dtype == getattr(other, name).dtype, name
    _, labels = np.unique(other.identities.astype(str), return_inverse=True)
    assert one.labels.tolist() == labels.tolist() and one.labels.dtype == np.int64
    assert one.names == sorted(set(other.identities)) and one.identity_count == len(one.names)
    assert one.people == other.people and one.counts == other.counts
    clean = [rows if rows is None else rows.tolist() for rows in (one.clean_rows, other.clean_rows)]
    assert clean[0] == clean[1]
    assert one.table.equals(other.table)
    assert one.fingerprint == other.fingerprint
    for row in range(len(one)):
        assert one.encoded(row) == other.encoded(row)
        np.testing.assert_array_equal(one.points(row), other.points(row))
        assert one[row][1] == other[row][1]


@pytest.mark.parametrize(
    "choose",
    [
        lambda faces: faces,
        lambda faces: faces.clean(),
        lambda faces: faces.of_people(["p01", "p03"]),
        lambda faces: faces.without_people(["p01"]).clean(),
        lambda faces: faces.select([7, 0, 17, 3, 2]),
        lambda faces: faces.select([7, 0, 17, 3, 2]).select([4, 0]).clean(),
        lambda faces: pickle.loads(pickle.dumps(faces.of_people(["p02"]))),
    ],
)
def test_a_mapped_set_and_its_selections_are_those_of_the_table(pair, choose):
    expect_equal(*(choose(faces) for faces in pair))


def test_landmarks_that_differ_are_mapped_too(tmp_path):
    made = write_faceset(tmp_path / "set", 2, 2)
    rows = made.table.to_pylist()
    for number, row in enumerate(rows):
        row["landmarks"] = [value + number for value in row["landmarks"]]
    write_rows(made.folder, [(rows, [])], {})
    again = FaceSet.open(made.folder)
    assert isinstance(again._rows, MappedRows)
    assert again._rows.file.landmarks.values.shape == (len(rows), 10)
    for number in (0, 3, 7):
        np.testing.assert_allclose(again.points(number) - made.points(0), number, atol=1e-4)


def test_a_row_is_read_where_no_file_can_be_read_at_a_place(pair, monkeypatch):
    monkeypatch.setattr(row_file, "_pread", None)
    monkeypatch.setattr(storage, "_pread", None)
    expect_equal(*pair)


@pytest.mark.parametrize("rows", [slice(None), [23, 0, 5, 9, 8], [11], range(3, 20, 4)])
def test_a_table_of_many_groups_is_read_a_few_at_a_time(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(faceset_writer, "GROUP_ROWS", 2)
    monkeypatch.setattr(mapped_rows, "SLICE", 5)
    write_faceset(tmp_path / "set", 4, 3)
    assert pq.ParquetFile(tmp_path / "set" / "faces.parquet").num_row_groups >= 12
    shutil.copytree(tmp_path / "set", tmp_path / "old")
    (tmp_path / "old" / "faces.arrow").unlink()
    chosen = np.arange(24)[rows]
    expect_equal(*(FaceSet.open(tmp_path / name).select(chosen) for name in ("set", "old")))


def test_rows_in_any_order_have_labels_by_name(tmp_path):
    made = write_faceset(tmp_path / "set", 3, 2)
    rows = made.table.to_pylist()[::-1]
    write_rows(made.folder, [(rows[:5], []), (rows[5:], [])], {})
    again = FaceSet.open(made.folder)
    assert isinstance(again._rows, MappedRows)
    assert again.labels.tolist() == [2] * 4 + [1] * 4 + [0] * 4
    assert again.clean_rows.tolist() == [1, -1, 3, -1, 5, -1, 7, -1, 9, -1, 11, -1]


def damage_table(folder):
    table = pq.read_table(folder / "faces.parquet")
    swapped = [*table["identity"].to_pylist()[4:8], *table["identity"].to_pylist()[:4]]
    swapped += table["identity"].to_pylist()[8:]
    at = table.column_names.index("identity")
    pq.write_table(table.set_column(at, "identity", [swapped]), folder / "faces.parquet")


def damage_skipped(folder):
    with (folder / "skipped.csv").open("a") as file:
        file.write("p9/1.jpg,p9,nonmask,,no_face,\n")


def damage_file(folder):
    data = bytearray((folder / "faces.arrow").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "faces.arrow").write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (damage_table, "faces.parquet"),
        (damage_skipped, "skipped.csv"),
        (damage_file, "faces.arrow"),
    ],
)
def test_a_stale_or_damaged_row_file_is_noticed_and_not_used(tmp_path, capsys, damage, named):
    made = write_faceset(tmp_path / "set", 3, 2)
    before = made.labels.tolist()
    damage(made.folder)
    again = FaceSet.open(made.folder)
    assert isinstance(again._rows, TableRows)
    assert f"is not used, since it does not belong to what lies there ({named})" in (
        capsys.readouterr().err
    )
    after = np.unique(again.identities.astype(str), return_inverse=True)[1].tolist()
    assert again.labels.tolist() == after and (after != before) == (damage is damage_table)


def test_rows_that_change_under_an_open_set_are_an_error(tmp_path):
    made = write_faceset(tmp_path / "set", 2, 2)
    damage_table(made.folder)
    with pytest.raises(KitError, match="changed while in use"):
        _ = made.sources
    with pytest.raises(KitError, match="changed while in use"):
        pickle.loads(pickle.dumps(made))


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[0].update(landmarks=rows[0]["landmarks"][:6]),
        lambda rows: rows[2].update(key=rows[0]["key"]),
        lambda rows: rows[1].update(clean_key="gone.jpg"),
        lambda rows: rows[1].update(identity="p01"),
        lambda rows: rows[0].update(score=7.0),
    ],
)
def test_what_no_row_file_can_say_leaves_a_set_without_one(tmp_path, change):
    made = write_faceset(tmp_path / "set", 2, 2)
    rows = made.table.to_pylist()
    change(rows)
    about = write_rows(made.folder, [(rows, [])], {})
    assert "rows" not in about and not (made.folder / "faces.arrow").exists()


def test_a_twin_of_a_face_that_was_not_found_is_mapped_as_gone(tmp_path):
    made = write_faceset(tmp_path / "set", 2, 1)
    lost = dict.fromkeys(("clean_key", "detail"), "") | {"source": "p00/0.jpg", "identity": "p00"}
    lost |= {"condition": "nonmask", "reason": "no_face"}
    write_rows(made.folder, [(made.table.to_pylist()[1:], [lost])], {})
    again = FaceSet.open(made.folder)
    assert isinstance(again._rows, MappedRows) and again.clean_rows.tolist() == [-2, -1, 1]


def test_records_that_moved_are_found_by_their_index(tmp_path):
    write_faceset(tmp_path / "drawn", 2, 2)
    convert(tmp_path / "drawn", tmp_path / "set", write_as="face-set-records")
    faces = FaceSet.open(tmp_path / "set")
    wanted = [faces.encoded(row) for row in range(len(faces))]
    assert not faces._records._readers  # no index was read
    rec, index = (tmp_path / "set" / f"faces-00000.{suffix}" for suffix in ("rec", "idx"))
    header = rec.read_bytes()[:44]
    rec.write_bytes(header + rec.read_bytes())
    lines = [line.split("\t") for line in index.read_text().splitlines()]
    index.write_text("".join(f"{key}\t{int(offset) + 44}\n" for key, offset in lines))
    again = FaceSet.open(tmp_path / "set")
    assert [again.encoded(row) for row in range(len(again))] == wanted
    assert again._records._readers


@pytest.mark.parametrize("stray", [False, True])
def test_the_fingerprints_written_are_those_computed(tmp_path, stray):
    made = write_faceset(tmp_path / "set", 3, 2)
    lost = dict.fromkeys(("clean_key", "detail", "identity", "condition"), "")
    skipped = [lost | {"source": "stray.txt", "reason": "no_person"}] if stray else []
    own = {"identity": "p00", "condition": "mask", "reason": "no_face"}
    skipped.append(lost | own | {"source": "p00/9.jpg"})
    write_rows(made.folder, [(made.table.to_pylist(), skipped)], {})
    faces = FaceSet.open(made.folder)
    assert isinstance(faces._rows, MappedRows)
    shutil.copytree(made.folder, tmp_path / "old")
    (tmp_path / "old" / "faces.arrow").unlink()
    old, found = FaceSet.open(tmp_path / "old"), set()
    for choose in (
        lambda faces: faces,
        lambda faces: faces.clean(),
        lambda faces: faces.without_people([]),
        lambda faces: faces.without_people([]).clean(),
        lambda faces: faces.clean().without_people([]),
    ):
        one, other = choose(faces), choose(old)
        assert one._rows.extent and one.skipped == other.skipped
        assert faces.about["rows"][one._rows.extent] == one.fingerprint == other.fingerprint
        found.add(one.fingerprint)
    assert len(found) == (4 if stray else 2)
    assert old.without_people([]).fingerprint == old.of_people(old.people).fingerprint


def test_a_set_that_is_converted_has_its_table_read_once(tmp_path, monkeypatch):
    write_faceset(tmp_path / "set", 3, 2)
    read, column = [], MappedRows.column
    monkeypatch.setattr(
        MappedRows, "column", lambda rows, name: read.append(name) or column(rows, name)
    )
    convert(tmp_path / "set", tmp_path / "records", write_as="face-set-records")
    assert max(map(read.count, set(read))) <= 4  # keys and table, of what is read and of the proof
    expect = pq.read_table(tmp_path / "set" / "faces.parquet")
    found = pq.read_table(tmp_path / "records" / "faces.parquet").select(expect.column_names)
    assert found.equals(expect)
