import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from torch.distributed import DistNetworkError

from mfr_kit import cli, files, paths, system_errors
from mfr_kit.errors import KitError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_is_written_whole_and_its_folder_made(tmp_path: Path):
    files.write_text(tmp_path / "a/b.txt", "zwei\n")
    assert (tmp_path / "a/b.txt").read_bytes() == b"zwei\n"
    assert names(tmp_path / "a") == ["b.txt"]


def test_permissions_follow_the_umask(tmp_path: Path):
    before = os.umask(0o027)
    try:
        files.write_bytes(tmp_path / "x", b"1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_a_full_disk_keeps_what_was_there_and_names_the_target(tmp_path: Path, monkeypatch):
    target = tmp_path / "x.json"
    files.write_json(target, {"a": 1})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError) as caught:
        files.write_json(target, {"a": 2})
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(target)
    assert target.read_text() == '{\n  "a": 1\n}\n'
    assert names(tmp_path) == ["x.json"]


def test_a_librarys_error_without_number_is_the_full_disk_below_it(tmp_path: Path):
    def write(path: Path):
        with files.replacing(path):
            try:
                full()
            except OSError:
                raise RuntimeError("PytorchStreamWriter failed writing file") from None

    with pytest.raises(OSError, match=r"x\.pt") as caught:
        write(tmp_path / "x.pt")
    assert caught.value.errno == errno.ENOSPC


def test_another_error_passes_as_it_is(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), files.replacing(tmp_path / "x"):
        raise ZeroDivisionError
    with pytest.raises(KitError, match="mine"), files.replacing(tmp_path / "x"):
        raise KitError("mine")
    assert names(tmp_path) == []


def test_a_link_is_followed_and_a_device_stays_one(tmp_path: Path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    files.write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    files.write_bytes(Path("/dev/null"), b"gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_the_longest_name_there_is_can_be_written(tmp_path: Path):
    name = "é" * 127 + "x"
    paths.check_output(tmp_path / name)
    files.write_bytes(tmp_path / name, b"1")
    with files.building(tmp_path / ("y" * 255)) as folder:
        (folder / "a").write_bytes(b"2")
    assert names(tmp_path) == ["y" * 255, name]


def test_a_folder_is_moved_into_place_or_gone(tmp_path: Path):
    with files.building(tmp_path / "new") as folder:
        (folder / "a").write_text("1")
    assert names(tmp_path) == ["new"]
    with (
        pytest.raises(OSError, match="other/sub/b") as caught,
        files.building(tmp_path / "other") as folder,
    ):
        (folder / "sub/b").write_text("2")
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(KitError, match="exists already"), files.building(tmp_path / "new"):
        pass
    assert names(tmp_path) == ["new"]


@pytest.mark.parametrize("old", [b"", b"old"])
def test_a_move_whose_sync_fails_leaves_no_new_name(tmp_path: Path, monkeypatch, old: bytes):
    made, target = tmp_path / "made", tmp_path / "target"
    made.write_bytes(b"new")
    if old:
        target.write_bytes(old)

    def sync(folder: Path) -> None:
        raise OSError(errno.EIO, "no", folder)

    monkeypatch.setattr(files, "_sync_folder", sync)
    with pytest.raises(OSError, match="no"):
        files.move_into_place(made, target)
    assert names(tmp_path) == (["target"] if old else ["made"])


def test_a_name_that_is_not_utf8_cannot_be_written_as_text(tmp_path: Path):
    with pytest.raises(KitError, match=r"cannot hold b\\udcd5: .*not UTF-8"):
        files.write_text(tmp_path / "t", "a\nb\udcd5\nc\n")
    assert names(tmp_path) == []


def test_reserved_space_is_there(tmp_path: Path, monkeypatch):
    files.reserve(tmp_path / "r", 1 << 20)
    assert (tmp_path / "r").stat().st_blocks * 512 >= 1 << 20
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="s") as caught:
        files.reserve(tmp_path / "s", 10)
    assert caught.value.filename == str(tmp_path / "s")
    assert names(tmp_path) == ["r"]


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("file/x", "file", "file is a file, not a folder"),
        ("file/x/y", "folder", "file is a file, not a folder"),
        ("folder", "file", "is a folder: give the name of a file"),
        ("file", "folder", "is a file, but a folder is to be written"),
        ("n" * 256, "file", "too long|256 bytes"),
        ("new/" + "n" * 256, "folder", "256 bytes, the filesystem takes 255"),
        ("a\0b", "file", "NUL"),
        ("a\udcd5", "folder", r"a\\udcd5: this name is not UTF-8"),
        ("loop", "file", "circle"),
    ],
)
def test_outputs_that_will_not_do(tmp_path: Path, name: str, kind: str, words: str):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(KitError, match=words):
        paths.check_output(tmp_path / name, kind)
    assert names(tmp_path) == ["file", "folder", "loop"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT])
def test_a_folder_that_takes_nothing_is_refused(tmp_path: Path, monkeypatch, number: int):
    def refuse(path, data):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(KitError, match=system_errors.remedy(number)[:20]):
        paths.check_output(tmp_path / "x/y.json")


def test_outputs_that_will_do_leave_nothing(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    paths.check_output(tmp_path / "a/b/c.json")
    paths.check_output(tmp_path / "a/b", "folder", existing="refuse")
    paths.check_output(tmp_path / "empty", "folder", existing="refuse")
    paths.check_output(Path("/dev/null"))
    assert names(tmp_path) == ["empty"]
    (tmp_path / "empty/x").write_text("")
    paths.check_output(tmp_path / "empty", "folder")
    with pytest.raises(KitError, match="exists already"):
        paths.check_output(tmp_path / "empty", "folder", existing="refuse")


def wrapped() -> RuntimeError:
    try:
        try:
            full()
        except OSError:
            raise RuntimeError("unexpected pos 64 vs 0")  # noqa: B904
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "no", "/x/y"), "/x/y: the disk is full"),
        (OSError(errno.EMFILE, "no"), "ulimit -n"),
        (
            OSError(
                "Caught OSError in DataLoader worker process 0.\n...\nOSError: [Errno 13] "
                "Permission denied: '/a/b'\n"
            ),
            "/a/b: permission denied",
        ),
        (OSError("1000 requested and 24 written"), "the disk is full"),
        (wrapped(), "the disk is full"),
        (FileNotFoundError(errno.ENOENT, "no", b"/x/\xd5"), r"/x/\udcd5: no such file"),
        (MemoryError(), "out of memory"),
        (np._core._exceptions._ArrayMemoryError((1 << 50,), np.dtype("u1")), "out of memory"),
        (
            RuntimeError("DataLoader worker (pid 3) is killed by signal: Bus error."),
            "a worker process died",
        ),
        (DistNetworkError("Failed to recv, got 0 bytes."), "another rank is gone"),
        (
            RuntimeError("[/x/gloo/transport/tcp/pair.cc:534] Connection closed by peer [::1]:3"),
            "another rank is gone",
        ),
        (UnicodeEncodeError("utf-8", "a\udcd5", 1, 2, "no"), r"a\udcd5: this name is not UTF-8"),
        (UnicodeEncodeError("ascii", "Žofie", 0, 1, "no"), "Žofie: cannot be written as ascii"),
    ],
)
def test_what_the_system_refuses_is_one_line_and_exit_code_2(error, words, monkeypatch, capsys):
    def run():
        raise error

    monkeypatch.setattr(cli, "build_app", lambda: lambda **_: run())
    assert cli.main([]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1
    assert words in printed


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        OSError("cannot identify"),
        FileNotFoundError(errno.ENOENT, "no"),
        RuntimeError("shape"),
        UnicodeDecodeError("utf-8", b"\xd5", 0, 1, "no"),
    ],
)
def test_a_bug_of_ours_keeps_its_traceback(error, monkeypatch):
    def run():
        raise error

    monkeypatch.setattr(cli, "build_app", lambda: lambda **_: run())
    with pytest.raises(type(error)):
        cli.main([])
