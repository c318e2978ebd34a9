import io
import json
import random
import shutil
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from mfr_kit.cli import main
from mfr_kit.errors import KitError
from mfr_kit.submission import package
from mfr_kit.submission.options import SubmissionOptions
from mfr_kit.submission.rules import FAIL
from mfr_kit.submission.verify import verify


@pytest.fixture(scope="module")
def packed_once(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("packed") / "s.zip"
    package.make_submission(
        SubmissionOptions(model=run / "model.onnx", track="ms1m", out=out, run=run)
    )
    return out


@pytest.fixture
def packed(packed_once, tmp_path):
    return Path(shutil.copy(packed_once, tmp_path))


def failed(path):
    return {row.rule for row in verify(path) if row.verdict == FAIL}


def rewrite(path, change):
    """Copy a zip with its files changed: `change` gets and gives a dictionary of names and bytes
    (or ZipInfo and bytes).
    """
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in change(files).items():
            archive.writestr(name, data)
    path.write_bytes(buffer.getvalue())


@pytest.mark.slow
def test_a_good_package_is_sound(packed, capsys):
    assert failed(packed) == set()
    assert main(["verify", str(packed)]) == 0
    assert "is sound" in capsys.readouterr().out


def link(name):
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    ("extra", "rule"),
    [
        ({"../evil": b"x"}, "names stay inside"),
        ({"/evil": b"x"}, "names stay inside"),
        ({"C:/evil": b"x"}, "names stay inside"),
        ({"a\\..\\evil": b"x"}, "names stay inside"),
        ({link("a"): b"/etc/passwd"}, "plain files"),
        ({"Model.onnx": b"x"}, "names differ"),
        ({"more.txt": b"x"}, "nothing unlisted"),
    ],
)
def test_what_a_stranger_could_put_in(packed, extra, rule):
    rewrite(packed, lambda files: files | extra)
    assert failed(packed) == {rule}


def test_a_bomb_is_not_unpacked(packed):
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(300 * 2**20))
    assert failed(packed) == {"size unpacked"}


def test_an_entry_that_lies_about_its_size(packed):
    data = bytearray(packed.read_bytes())
    with zipfile.ZipFile(packed) as archive:
        size = archive.getinfo("model.onnx").file_size.to_bytes(4, "little")
    where = data.rindex(b"model.onnx") - 46  # in the central directory
    at = data.index(size, where)
    at = data.index(size, at + 4)  # the second: unpacked size
    data[at : at + 4] = (1000).to_bytes(4, "little")
    packed.write_bytes(bytes(data))
    assert "unpacks" in failed(packed)


def test_changed_and_missing_files(packed, run):
    def change(files):
        files["rerun/config.toml"] += b"\n"
        del files["rerun/lineage.json"]
        return files

    rewrite(packed, change)
    assert failed(packed) == {"files as listed", "files unchanged"}


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "nonsense",
        '{"files": 3, "track": {"name": "ms1m"}}',
        '{"files": {}, "track": {"name": "no"}}',
    ],
)
def test_a_manifest_that_is_none(packed, text):
    rewrite(packed, lambda files: files | {"manifest.json": text.encode()})
    assert failed(packed) == {"manifest"}


def test_a_model_that_breaks_the_track_it_is_packed_for(packed):
    def change(files):
        told = json.loads(files["manifest.json"])
        told["track"]["name"] = "glint"
        return files | {"manifest.json": json.dumps(told).encode()}

    rewrite(packed, change)
    assert failed(packed) == {"model: lineage: trained on"}


def test_no_zip_at_all(tmp_path):
    (tmp_path / "s.zip").write_bytes(b"hello")
    with pytest.raises(KitError, match="as a zip"):
        verify(tmp_path / "s.zip")
    assert main(["verify", str(tmp_path / "nothing.zip")]) == 2


def test_archives_that_do_not_unpack_are_a_row(packed):
    data = packed.read_bytes()
    with zipfile.ZipFile(packed) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with zipfile.ZipFile(packed, "w", method) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        broken = bytearray(packed.read_bytes())
        broken[60:90] = b"\xff" * 30  # inside the first member's data
        packed.write_bytes(bytes(broken))
        assert failed(packed) == {"unpacks"}
    packed.write_bytes(data.replace(b"model.onnx", b"\xff\xfe\xfdel.onnx"))
    assert "names stay inside" not in failed(packed)  # an odd name alone is no escape


def test_a_file_where_another_member_needs_a_folder(packed):
    rewrite(packed, lambda files: files | {"a": b"x", "a/b": b"y"})
    assert failed(packed) == {"unpacks"}


def test_a_manifest_nested_without_end_and_names_with_line_breaks(packed):
    rewrite(packed, lambda files: files | {"manifest.json": b"[" * 100_000})
    assert failed(packed) == {"manifest"}
    rewrite(packed, lambda files: files | {"two\nlines": b""})
    assert all("\n" not in row.found for row in verify(packed))


def test_a_pipe_is_not_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / "s.zip")
    with pytest.raises(KitError, match="it is no file"):
        verify(tmp_path / "s.zip")


def test_entries_that_share_their_bytes_are_a_bomb(tmp_path):
    path, noise = tmp_path / "s.zip", random.Random(0).randbytes(10_000)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("000", noise + bytes(990_000))  # a hundred times what it takes
    data = path.read_bytes()
    entry = data[data.index(b"PK\x01\x02") : data.index(b"PK\x05\x06")]
    entries = b"".join(entry.replace(b"000", b"%03d" % number) for number in range(100))
    begin = data.index(b"PK\x01\x02")
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 100, 100, len(entries), begin, 0)
    path.write_bytes(data[:begin] + entries + end)
    assert failed(path) == {"size unpacked"}
    assert [entry.file_size for entry in zipfile.ZipFile(path).infolist()] == [1_000_000] * 100
