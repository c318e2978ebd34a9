"""Everything that gives files their names: a write, a sync or a rename that fails leaves the old
or the new and nothing beside it, and what has a name was on the disk before it got it.
"""

import errno
import os
import re
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mfr_kit import files, leftovers, outputs, paths, processes
from mfr_kit.data import lists
from mfr_kit.data.convert import convert
from mfr_kit.data.record_writer import RecordWriter
from mfr_kit.errors import KitError
from mfr_kit.models import weights
from mfr_kit.models.stored import StoredArray

ROOT = Path(files.__file__).parent
NAMERS = {"files.py", "claims.py", "block_cache.py", "hf_parquet.py"}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    draw = np.random.default_rng(0)
    for person in ("anna", "ben"):
        (folder / person).mkdir()
        for shot in range(2):
            image = draw.integers(0, 255, (16, 16, 3), np.uint8)
            (folder / person / f"{shot}.png").write_bytes(cv2.imencode(".png", image)[1])
    return folder


def build(out: Path, _: Path) -> None:
    with files.building(out) as folder:
        (folder / "sub").mkdir()
        (folder / "sub/a").write_bytes(b"a" * 100)
        (folder / "b").write_bytes(b"b" * 100)


def write_records(out: Path, _: Path) -> None:
    with RecordWriter(out.with_suffix(".rec")) as writer:
        writer.write(0, b"x" * 100)


WRITERS: dict[str, Callable[[Path, Path], object]] = {
    "bytes": lambda out, _: files.write_bytes(out, b"1" * 100),
    "json": lambda out, _: files.write_json(out, list(range(50))),
    "list": lambda out, _: lists.write_names(out, ["anna", "ben"] * 20),
    "weights": lambda out, _: weights.save(out, {"a": torch.zeros(9)}),
    "folder": build,
    "records": write_records,
    "convert-folder": lambda out, src: convert(src, out),
    "convert-rec": lambda out, src: convert(src, out.with_suffix(".rec")),
    "convert-tar": lambda out, src: convert(src, out.with_suffix(".tar")),
    "convert-parquet": lambda out, src: convert(src, out.with_suffix(".parquet")),
    "convert-list": lambda out, src: convert(src, out.with_suffix(".txt")),
}


def content(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


class Disk:
    """Counts syncs and renames, fails at one of them, and knows which files were synced as they
    are.
    """

    def __init__(self, monkeypatch, fails_at: int = 0) -> None:
        self.calls, self._fails_at, self._safe = 0, fails_at, set()
        self._fsync, self._replace = os.fsync, os.replace
        monkeypatch.setattr(os, "fsync", self.fsync)
        monkeypatch.setattr(os, "replace", self.replace)

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self._fails_at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def fsync(self, handle: int) -> None:
        self._count()
        self._fsync(handle)
        self._safe.add(_state(os.fstat(handle)))

    def replace(self, made, target) -> None:
        self._count()
        made = Path(made)
        for path in [made, *made.rglob("*")] if made.is_dir() else [made]:
            assert _state(path.stat()) in self._safe, f"{path} got its name before it was synced"
        self._replace(made, target)
        self._renamed_in = Path(target).parent.stat().st_ino

    def expect_named(self) -> None:
        """The last rename itself is on the disk."""
        assert any(number == self._renamed_in for number, *_ in self._safe)


def _state(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns


@pytest.mark.parametrize("name", WRITERS)
def test_what_gets_a_name_is_on_the_disk_first(name, tmp_path, photographs, monkeypatch):
    disk = Disk(monkeypatch)
    WRITERS[name](tmp_path / "out", photographs)
    disk.expect_named()
    assert disk.calls >= 3


@pytest.mark.parametrize("name", WRITERS)
def test_a_sync_or_rename_that_fails_leaves_old_or_new(name, tmp_path, photographs, monkeypatch):
    write = WRITERS[name]
    (tmp_path / "whole").mkdir()
    with monkeypatch.context() as patch:
        disk = Disk(patch)
        write(tmp_path / "whole/out", photographs)
    whole = content(tmp_path / "whole")
    for number in range(1, disk.calls + 1):
        place = tmp_path / str(number)
        place.mkdir()
        with monkeypatch.context() as patch, pytest.raises(OSError) as caught:
            Disk(patch, number)
            write(place / "out", photographs)
        assert caught.value.errno == errno.EIO
        left = content(place)
        assert left.items() <= whole.items(), f"failure {number}"
        assert not any(leftovers.PART in key for key in left)


@pytest.mark.parametrize("name", ["bytes", "json", "list", "weights"])
def test_what_was_there_stays_when_the_new_fails(name, tmp_path, monkeypatch):
    target = tmp_path / "out"
    target.write_bytes(b"old")
    for number in (1, 2):  # the file's sync, the rename
        with monkeypatch.context() as patch, pytest.raises(OSError):
            Disk(patch, number)
            WRITERS[name](target, tmp_path)
        assert content(tmp_path) == {"out": b"old"}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_cannot_grow_leaves_nothing(name, tmp_path, photographs, monkeypatch):
    """The kernel refuses writes beyond a size, whoever writes: as a full disk would."""
    monkeypatch.setattr(paths, "_PROBE_BYTES", 0)  # it would be refused before the work
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for most in (0, 7, 40, *([300] if name.startswith("convert") else [])):
        place = tmp_path / str(most)
        place.mkdir()
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
        try:
            with pytest.raises(OSError) as caught:
                WRITERS[name](place / "out", photographs)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert caught.value.errno == errno.EFBIG
        assert content(place) == {}


def test_a_cache_that_cannot_be_written_costs_no_result(tmp_path, monkeypatch, capsys):
    kept = StoredArray(tmp_path / "a.npy", {"of": 1})
    for number in range(1, 7):
        with monkeypatch.context() as patch:
            Disk(patch, number)
            kept.write(np.arange(5))
        assert "is not kept" in capsys.readouterr().err
        found = kept.read()
        assert found is None or np.array_equal(found, np.arange(5))
    kept.write(np.arange(5))
    assert np.array_equal(kept.read(), np.arange(5))


def test_many_files_of_a_folder_are_one_sync(tmp_path, monkeypatch):
    disk, whole = Disk(monkeypatch), []
    monkeypatch.setattr(files, "sync_filesystem", whole.append)
    monkeypatch.setattr(os, "replace", disk._replace)
    with files.building(tmp_path / "out") as folder:
        for number in range(files.FEW + 1):
            (folder / str(number)).write_bytes(b"")
    assert len(whole) == 1 and disk.calls == 1  # the folder above
    assert len(list((tmp_path / "out").iterdir())) == files.FEW + 1


def test_the_names_of_new_folders_are_on_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(files, "_sync_folder", synced.append)
    files.write_text(tmp_path / "a/b/c.txt", "")
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a/b"]


def test_the_filesystem_can_be_synced_and_says_what_it_refuses(tmp_path):
    files.sync_filesystem(tmp_path)
    with pytest.raises(OSError, match="nothing"):
        files.sync_filesystem(tmp_path / "nothing")


def test_a_folder_made_meanwhile_is_not_replaced(tmp_path):
    with (
        pytest.raises(files.KitError, match="exists already"),
        files.building(tmp_path / "out") as folder,
    ):
        (folder / "mine").write_bytes(b"")
        (tmp_path / "out").mkdir()
        (tmp_path / "out/theirs").write_bytes(b"")
    assert list(content(tmp_path)) == ["out", "out/theirs"]


def test_modes_follow_the_umask(tmp_path, photographs):
    before = os.umask(0o027)
    try:
        for name, write in WRITERS.items():
            write(tmp_path / name / "out", photographs)
    finally:
        os.umask(before)
    modes = {
        path: stat.S_IMODE(path.stat().st_mode)
        for name in WRITERS
        for path in (tmp_path / name).rglob("*")
    }
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o640}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o750}


def test_nobody_else_gives_files_their_names():
    """What files.py does before a name is taken holds for all, if all names are given there."""
    renames = re.compile(
        r"os\.(replace|rename)\(|shutil\.move\(|\.rename\(|\.replace\([^,()]*\)$", re.M
    )
    found = {
        path.name for path in ROOT.rglob("*.py") if renames.search(path.read_text(encoding="utf-8"))
    }
    assert found <= NAMERS


def dead() -> int:
    """The number of a process that is no more."""
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    return int(done.stdout)


def test_what_killed_processes_left_goes_at_the_next_start(tmp_path, monkeypatch):
    from mfr_kit.training.average_options import AverageOptions

    out = tmp_path / "out"
    out.mkdir()
    own = leftovers.beside(tmp_path / "own")
    own.write_bytes(b"")
    with monkeypatch.context() as patch:
        number = dead()
        patch.setattr(os, "getpid", lambda: number)
        gone = [leftovers.beside(folder / "gone") for folder in (tmp_path, out)]
        gone[0].write_bytes(b"half")
        (gone[1] / "sub").mkdir(parents=True)
        patch.setattr(processes, "HOST", "elsewhere")
        foreign = leftovers.beside(tmp_path / "foreign")
        foreign.write_bytes(b"")
    kept = tmp_path / ".mine.123-abcdef12.part"
    kept.write_bytes(b"")
    outputs.check_outputs(AverageOptions(runs=[tmp_path / "run"], out=out))
    assert set(tmp_path.iterdir()) == {out, own, foreign, kept}
    assert list(out.iterdir()) == []


def test_what_a_killed_convert_left_goes_where_its_set_has_its_name(
    tmp_path, photographs, monkeypatch
):
    convert(photographs, tmp_path / "set.tar")
    leftovers.beside(tmp_path / "set.tar").mkdir()
    monkeypatch.setattr(processes, "is_gone", lambda pid: True)
    with pytest.raises(KitError, match=r"set\.tar exists already"):
        convert(photographs, tmp_path / "set.tar")
    assert list(tmp_path.iterdir()) == [tmp_path / "set.tar"]
