"""RecordIO: what is written is read back, and whatever is damaged is named."""

import pickle
import struct
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfr_kit.data import record_index, record_reader
from mfr_kit.data.record_reader import RecordReader
from mfr_kit.data.record_writer import RecordWriter
from mfr_kit.data.recordio import MAGIC_BYTES, pack, unpack
from mfr_kit.errors import KitError

PIECES = st.one_of(
    st.binary(max_size=9), st.sampled_from([MAGIC_BYTES, b"\0" * 4, MAGIC_BYTES * 3])
)
FLOATS = st.floats(width=32, allow_nan=False)
PAYLOADS = st.lists(st.lists(PIECES, max_size=6).map(b"".join), max_size=12)


def write(path, payloads, keys=None):
    with RecordWriter(path) as writer:
        for key, payload in zip(keys or range(len(payloads)), payloads, strict=True):
            writer.write(key, payload)
    return path


@settings(max_examples=200, deadline=None)
@given(payloads=PAYLOADS, gaps=st.booleans(), with_index=st.booleans())
def test_what_is_written_is_read_back(tmp_path_factory, payloads, gaps, with_index):
    path = tmp_path_factory.mktemp("rec") / "set.rec"
    keys = (
        [3 + 1000 * number for number in range(len(payloads))]
        if gaps and with_index
        else list(range(len(payloads)))
    )
    write(path, payloads, keys)
    if not with_index:
        path.with_suffix(".idx").unlink()
    reader = RecordReader(path)
    assert reader.rebuilt is not with_index
    assert list(reader.keys) == keys
    assert [bytes(reader.read(key)) for key in keys] == payloads
    assert [(key, bytes(payload)) for key, payload in reader] == list(
        zip(keys, payloads, strict=True)
    )


@settings(deadline=None)
@given(
    label=st.one_of(
        st.floats(width=32, allow_nan=False),
        st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=5),
    ),
    data=st.binary(),
)
def test_image_payloads_survive(label, data):
    record = unpack(pack(label, data, 7, 9), "here")
    assert record.labels == (tuple(label) if isinstance(label, list) else (label,))
    assert (record.id, record.id2, bytes(record.data)) == (7, 9, data)


def test_the_bytes_are_those_of_dmlc(tmp_path):
    """Hand-made from the format's definition: split at the aligned magic number only, the
    padding zero.
    """
    path = write(tmp_path / "a.rec", [b"abcd" + MAGIC_BYTES + b"x", b"ab" + MAGIC_BYTES])
    whole = (
        MAGIC_BYTES
        + struct.pack("<I", 1 << 29 | 4)
        + b"abcd"
        + MAGIC_BYTES
        + struct.pack("<I", 3 << 29 | 1)
        + b"x\0\0\0"
    )
    whole += MAGIC_BYTES + struct.pack("<I", 6) + b"ab" + MAGIC_BYTES + b"\0\0"
    assert path.read_bytes() == whole
    assert path.with_suffix(".idx").read_text() == "0\t0\n1\t24\n"


def test_reading_where_there_is_no_pread(tmp_path, monkeypatch):
    """Windows."""
    monkeypatch.setattr(record_reader, "_pread", None)
    payloads = [b"", MAGIC_BYTES + b"x", b"y" * 5000]
    reader = RecordReader(write(tmp_path / "a.rec", payloads))
    assert [bytes(reader.read(key)) for key in (2, 1, 0)] == payloads[::-1]


def test_long_records_and_many_parts(tmp_path):
    payloads = [b"x" * (3 << 20), MAGIC_BYTES * 1000, b"tail"]
    reader = RecordReader(write(tmp_path / "a.rec", payloads))
    assert [bytes(reader.read(key)) for key in (2, 1, 0)] == payloads[::-1]


def test_an_index_in_any_order(tmp_path):
    path = write(tmp_path / "a.rec", [b"zero", b"one", b"two" * 9000])
    lines = path.with_suffix(".idx").read_text().splitlines()
    path.with_suffix(".idx").write_text("\n".join([lines[2], "", lines[0] + "\r", lines[1]]))
    reader = RecordReader(path)
    assert [bytes(reader.read(key))[:4] for key in range(3)] == [b"zero", b"one", b"twot"]
    assert [key for key, _ in reader] == [0, 1, 2]


@pytest.mark.parametrize(
    ("position", "bytes_", "problem"),
    [(0, b"\0\0\0\0", "wrong magic"), (4, b"\xff\xff\xff\x1f", "ends after 16")],
)
@pytest.mark.parametrize("indexed", [True, False])
def test_damage_names_file_key_and_offset(tmp_path, position, bytes_, problem, indexed):
    path = write(tmp_path / "a.rec", [b"abcdefgh", b"ijkl", b"mnop"])
    data = bytearray(path.read_bytes())
    data[16 + position : 20 + position] = bytes_
    path.write_bytes(data)
    if not indexed:
        path.with_suffix(".idx").unlink()
    with pytest.raises(KitError, match=rf"a\.rec: key 1, offset 16: .*({problem})"):
        RecordReader(path).read(1)
    if indexed:
        with pytest.raises(KitError, match=r"a\.rec: key 1, offset 16"):
            list(RecordReader(path))


@pytest.mark.parametrize("flag", [2, 3, 4, 7])
def test_a_part_is_not_a_record(tmp_path, flag):
    path = write(tmp_path / "a.rec", [b"abcd", b"efgh"])
    data = bytearray(path.read_bytes())
    data[16:20] = struct.pack("<I", flag << 29 | 4)
    path.write_bytes(data)
    with pytest.raises(
        KitError, match=rf"key 1, offset 12: continuation flag {flag} is out of place"
    ):
        RecordReader(path).read(1)


@pytest.mark.parametrize("cut", [1, 5, 12, 17])
def test_a_truncated_file(tmp_path, cut):
    path = write(tmp_path / "a.rec", [b"abcd", b"efghijkl"])
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(KitError, match=r"key 1"):
        RecordReader(path).read(1)
    path.with_suffix(".idx").unlink()
    if cut < 16:
        with pytest.raises(KitError, match=r"a\.rec: key 1, offset 12"):
            RecordReader(path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0\t0\n1\t9999\n", r"key 1: offset 9999 lies past the end"),
        ("0\t0\n0\t12\n", "key 0 comes twice"),
        ("0\t0\none\t12\n", r"line 2: .*'one"),
        ("0\t0\n1\n", "line 2"),
        ("0\t0\n1\t-12\n", "line 2"),
        ("0\t0\n1\t" + "1" * 30 + "\n", "past the end"),
        ("0\t0\n" + "x" * 200, "line 2"),
    ],
)
def test_a_bad_index(tmp_path, text, problem):
    path = write(tmp_path / "a.rec", [b"abcd", b"efgh"])
    path.with_suffix(".idx").write_text(text)
    with pytest.raises(KitError, match=problem):
        RecordReader(path)


@pytest.mark.parametrize("key", [-1, 2, 1 << 40])
def test_unknown_keys(tmp_path, key):
    with pytest.raises(KitError, match=rf"no key {key}; its 2 keys lie in 0 \.\. 1"):
        RecordReader(write(tmp_path / "a.rec", [b"a", b"b"])).read(key)
    sparse = RecordReader(write(tmp_path / "b.rec", [b"a", b"b"], [5, 900]))
    with pytest.raises(KitError, match=r"its 2 keys lie in 5 \.\. 900"):
        sparse.read(key)
    assert bytes(sparse.read(900)) == b"b"


def test_missing_files(tmp_path):
    with pytest.raises(KitError, match="cannot be read"):
        RecordReader(tmp_path / "none.rec")
    with pytest.raises(KitError, match="cannot be read"):
        RecordReader(write(tmp_path / "a.rec", [b"a"]), tmp_path / "none.idx")


def test_a_failed_write_leaves_nothing_and_keeps_the_old(tmp_path):
    path = write(tmp_path / "a.rec", [b"old"])
    with pytest.raises(KitError, match="keys must ascend"), RecordWriter(path) as writer:
        writer.write(1, b"new")
        writer.write(1, b"new")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.idx", "a.rec"]
    assert bytes(RecordReader(path).read(0)) == b"old"


def read_in_worker(reader, keys):
    return [bytes(reader.read(key)) for key in keys]


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_worker_processes_read_what_the_parent_reads(tmp_path, method):
    payloads = [bytes([number]) * number for number in range(50)]
    reader = RecordReader(write(tmp_path / "a.rec", payloads))
    with ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
        futures = [pool.submit(read_in_worker, reader, range(start, 50, 2)) for start in (0, 1)]
        assert [future.result() for future in futures] == [payloads[0::2], payloads[1::2]]


def test_a_set_changed_under_a_pickled_reader_is_refused(tmp_path):
    path = write(tmp_path / "a.rec", [b"a" * 40])
    state = pickle.dumps(RecordReader(path))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(KitError, match="44 bytes now, 48 when"):
        pickle.loads(state)


def test_cut_short_while_open_is_an_error_not_a_crash(tmp_path):
    path = write(tmp_path / "a.rec", [b"a" * 4000] * 3)
    reader = RecordReader(path)
    with path.open("r+b") as file:
        file.truncate(10)
    with pytest.raises(
        KitError, match="key 2, offset 8016: the file was cut from 12024 to 10 bytes"
    ):
        reader.read(2)


def test_views_outlive_the_release_of_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(record_reader, "RESIDENT_BYTES", 100)
    payloads = [bytes([number]) * 64 for number in range(60)]
    kept = [payload for _, payload in RecordReader(write(tmp_path / "a.rec", payloads))]
    assert [bytes(payload) for payload in kept] == payloads


def test_index_memory_is_eight_bytes_a_record(tmp_path, monkeypatch):
    monkeypatch.setattr(record_index, "BLOCK_BYTES", 1 << 16)
    count, path = 200_000, tmp_path / "a.idx"
    path.write_text("".join(f"{key}\t{key * 12}\n" for key in range(count)))
    tracemalloc.start()
    table = record_index.read_index(path, 12 * count)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(table) == count and table.find(count - 2) == (12 * (count - 2), 12)
    assert held < 9 * count and peak < 8 * count + (2 << 20)


def test_numpy_labels_are_packed_like_lists():
    assert pack(np.array([1.0, 2.0], np.float32), b"x") == pack([1.0, 2.0], b"x")
    assert pack(np.float32(3), b"x") == pack(3, b"x")


def test_short_payloads_are_refused():
    with pytest.raises(KitError, match=r"here: 5 bytes are too few"):
        unpack(b"short", "here")
    with pytest.raises(KitError, match=r"here: the header announces 4294967295 labels"):
        unpack(struct.pack("<IfQQ", 0xFFFFFFFF, 0, 0, 0), "here")
