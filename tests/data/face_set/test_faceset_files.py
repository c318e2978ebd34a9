import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from tests.conftest import write_faceset


@pytest.fixture
def small_set(tmp_path):
    return write_faceset(tmp_path / "set", 2, 1)


def change(faces: FaceSet, name: str, change_rows) -> None:
    """Write the set's table again with one column changed."""
    table = pq.read_table(faces.folder / "faces.parquet")
    column = change_rows(table[name].to_pylist())
    if not isinstance(column, pa.Array):
        kind = table.schema.field(name).type
        column = pa.array(column, pa.list_(pa.float32()) if pa.types.is_list(kind) else None)
    at = table.column_names.index(name)
    pq.write_table(table.set_column(at, name, column), faces.folder / "faces.parquet")


# The rows are: p00 clean, p00 twin, p01 clean, p01 twin.
@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("identity", lambda rows: [rows[0], None, *rows[2:]], r"'identity', row 1 .*is empty"),
        ("identity", lambda rows: ["", *rows[1:]], r"'identity', row 0 .*is empty"),
        ("identity", lambda rows: list(range(4)), "'identity' holds int64 where text"),
        ("identity", lambda rows: ["a\0b", *rows[1:]], "'identity', row 0 .*NUL"),
        ("identity", lambda rows: [*rows[:3], "p00"], "clean face of the twin .*another person"),
        ("condition", lambda rows: ["Mask", *rows[1:]], "row 0 .*neither nonmask nor mask"),
        ("condition", lambda rows: [rows[0], "nonmask", *rows[2:]], "row 1 .*that is nonmask"),
        ("key", lambda rows: [rows[0], rows[0], *rows[2:]], "stands there twice"),
        ("key", lambda rows: ["../../etc/passwd", *rows[1:]], "outside of the set"),
        ("key", lambda rows: ["moved.jpg", *rows[1:]], "'clean_key' names 'faces/p00/0.jpg'"),
        ("clean_key", lambda rows: ["", "gone.jpg", *rows[2:]], "'gone.jpg', which is no key"),
        ("mask", lambda rows: ["{}", *rows[1:]], "row 0 .*that is nonmask"),
        ("mask", lambda rows: [rows[0], "flat", *rows[2:]], "row 1 .*no JSON table"),
        ("landmarks", lambda rows: [rows[0][:-1], *rows[1:]], "row 0 .*no pairs of x and y"),
        ("landmarks", lambda rows: [*rows[:3], [math.nan] * 10], "row 3 .*not finite"),
        ("landmarks", lambda rows: [rows[0], [None] * 10, *rows[2:]], "row 1 .*missing"),
        ("similarity", lambda rows: [*rows[:2], [1.0] * 3, rows[3]], "row 2 .*has not 4 numbers"),
        ("similarity", lambda rows: [[0.0] * 4, *rows[1:]], "row 0 .*scale of 0"),
        ("score", lambda rows: [*rows[:2], math.nan, 1.0], "row 2 .*not finite"),
        ("score", lambda rows: [5.0, *rows[1:]], "row 0 .*within 0 and 1"),
        ("digest", lambda rows: pa.nulls(4), "'digest', row 0 .*is empty"),
    ],
)
def test_a_row_that_says_what_cannot_be_is_named(small_set, name, changed, message):
    change(small_set, name, changed)
    with pytest.raises(KitError, match=rf"faces\.parquet.*{message}"):
        FaceSet.open(small_set.folder)


def test_types_of_other_writers_are_read(small_set):
    table, fingerprint = small_set.table, small_set.fingerprint
    change(small_set, "identity", lambda rows: pa.array(rows, pa.large_string()))
    change(small_set, "condition", lambda rows: pa.array(rows).dictionary_encode())
    change(small_set, "score", lambda rows: pa.array(rows, pa.float64()))
    change(small_set, "landmarks", lambda rows: pa.array(rows, pa.list_(pa.float64(), 10)))
    again = FaceSet.open(small_set.folder)
    assert again.fingerprint == fingerprint
    assert (again.points(3) == small_set.points(3)).all()
    assert again.table.schema == table.schema and again.table.equals(table)


def test_a_column_of_records_without_the_other_is_damage(small_set):
    table = pq.read_table(small_set.folder / "faces.parquet")
    table = table.append_column("shard", pa.array([0] * 4, pa.int32()))
    pq.write_table(table, small_set.folder / "faces.parquet")
    with pytest.raises(KitError, match="column 'record' is missing"):
        FaceSet.open(small_set.folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source,identity\n", "column 'condition' is missing"),
        ("{header}\np/1.jpg,p,mask\n", "line 2: 3 fields where the first line has 6"),
        ("{header}\np/1.jpg,p,masked,,no_face,\n", "line 2: condition 'masked'"),
        ("{header}\np/1.jpg,,mask,,no_face,\n", "line 2: reason no_face needs an identity"),
        ("{header}\np/1.jpg,p,mask,,,\n", "line 2: .*and a reason"),
        ("{header}\np/1.jpg,p\0,mask,,no_face,\n", "line 2 holds a NUL byte"),
    ],
)
def test_a_damaged_list_of_skipped_photographs_is_said(small_set, text, message):
    header = "source,identity,condition,clean_key,reason,detail"
    path = small_set.folder / "skipped.csv"
    path.write_text(text.replace("{header}", header))
    with pytest.raises(KitError, match=rf"skipped\.csv: (the )?{message}"):
        FaceSet.open(small_set.folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"counts": {"faces": 2', "not whole JSON"),
        ("[]", "it holds a list where a table is expected"),
        ('{"counts": {"faces": "2", "twins": 2, "skipped": 0}}', "'counts.faces' holds '2'"),
        ('{"options": ["photo"]}', "'options' holds a list"),
        ("[" * 9000, "not whole JSON"),
    ],
)
def test_a_damaged_faceset_json_is_said(small_set, text, message):
    (small_set.folder / "faceset.json").write_text(text)
    with pytest.raises(KitError, match=rf"faceset\.json: .*{message}"):
        FaceSet.open(small_set.folder)


def test_a_twin_of_a_face_that_was_not_found_needs_no_clean_face(small_set):
    table = pq.read_table(small_set.folder / "faces.parquet").slice(1)  # without p00's clean face
    pq.write_table(table, small_set.folder / "faces.parquet")
    with pytest.raises(KitError, match=r"'clean_key' names 'faces/p00/0\.jpg'"):
        FaceSet.open(small_set.folder)
    header = "source,identity,condition,clean_key,reason,detail"
    row = "p00/0.jpg,p00,nonmask,,no_face,"
    (small_set.folder / "skipped.csv").write_text(f"{header}\n{row}\n")
    assert len(FaceSet.open(small_set.folder)) == 3


def test_counts_of_another_set_are_said(small_set, capsys):
    path = small_set.folder / "faceset.json"
    path.write_text(json.dumps({"counts": {"faces": 2, "twins": 1, "skipped": 3}}))
    assert len(FaceSet.open(small_set.folder)) == 4
    lines = capsys.readouterr().err.splitlines()
    assert ["counts 1 twins, but" in lines[0], "counts 3 skipped, but" in lines[1]] == [True, True]
    assert len(lines) == 2


def test_a_damaged_length_asks_for_no_memory(tmp_path):
    from mfr_kit.tables import read_parquet

    path = tmp_path / "many.parquet"
    pq.write_table(pa.table({"a": pa.array(np.zeros(2_000_000, np.int8))}), path)
    assert path.stat().st_size < 20_000  # two million rows in a few kilobytes
    with pytest.raises(KitError, match="claim to hold 2000000 rows: the file is damaged"):
        read_parquet(path, "copy it again")
