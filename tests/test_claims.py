"""Claims on parts of a folder: taken by one process, given back, and taken over from one that is
gone.
"""

import errno
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfr_kit import claims
from mfr_kit.claims import Claims
from mfr_kit.data.convert import convert
from mfr_kit.errors import KitError


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(claims, "BEAT_S", 0.05)
    monkeypatch.setattr(claims, "STALE_S", 0.5)
    monkeypatch.setattr(claims, "POLL_S", 0.01)


def foreign(folder: Path, name: str) -> Path:
    """A claim of another machine, which nobody touches."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text('{"host": "elsewhere", "pid": 1, "claim": "x"}')
    return folder / name


def test_a_part_is_taken_once_and_comes_back(tmp_path):
    with Claims(tmp_path / "c") as first, Claims(tmp_path / "c") as second:
        assert first.take("a") and not second.take("a")
        assert first.is_held("a") and not second.is_held("a")
        second.release("a")  # what is another's stays
        assert first.is_held("a")
        first.release("a")
        assert second.take("a")
    assert not (tmp_path / "c").exists()


def test_a_holder_at_work_is_refused_or_waited_for(tmp_path):
    with Claims(tmp_path) as first, Claims(tmp_path) as second:
        assert first.take("a")
        time.sleep(2 * claims.STALE_S)
        message = rf"busy here \(process {os.getpid()} on "
        with pytest.raises(KitError, match=message), second.hold("a", "works", "busy here"):
            pass
        assert first.is_held("a")


def test_a_silent_holder_is_waited_for_and_replaced(tmp_path):
    claim = foreign(tmp_path, "a")
    started = time.monotonic()
    with Claims(tmp_path) as own, own.hold("a", "works", "busy"):
        assert own.is_held("a")
        assert time.monotonic() - started >= claims.STALE_S
    assert not claim.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[" * 100_000,
        b"\xff",
        b"[]",
        b'{"host": "x", "space": "", "pid": Infinity}',
        b'{"host": "x", "space": ""}',
        b'{"host": 1, "space": "", "pid": 1}',
    ],
    ids=["empty", "deep", "bytes", "list", "infinity", "no pid", "no host"],
)
def test_what_is_no_claim_stands_until_it_is_stale(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with Claims(tmp_path) as own:
        assert not own.take("a") and own.holder("a") == "another process"
        with own.hold("a", "works"):
            assert own.is_held("a")
    assert not tmp_path.exists()


def test_a_holder_that_stood_still_learns_that_it_lost_its_part(tmp_path):
    with Claims(tmp_path) as own:
        assert own.take("a")
        (tmp_path / "a").unlink()
        assert not own.is_held("a")
        claim = foreign(tmp_path, "a")
        touched = claim.stat().st_mtime
        time.sleep(4 * claims.BEAT_S)
        assert claim.stat().st_mtime == touched
    assert claim.exists()  # nor is it taken away at the end


def test_one_process_at_a_time_makes_a_thing(tmp_path):
    """Four processes want one array: one computes it, and the others read what it kept."""
    code = (
        "import os, sys, numpy as np\n"
        "from pathlib import Path\n"
        "from mfr_kit.models.stored import StoredArray\n"
        "def compute():\n"
        "    Path(sys.argv[1], f'made-{os.getpid()}').touch()\n"
        "    return np.arange(1 << 16)\n"
        "kept = StoredArray(Path(sys.argv[1], 'a.npy'), {'of': 1})\n"
        "assert kept.obtain('counts', compute)[-1] == (1 << 16) - 1\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(4)]
    ends = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0, 0], ends
    assert ends == [b"", b"", b"", b""]
    assert len(list(tmp_path.glob("made-*"))) == 1
    assert not (tmp_path / claims.CLAIMS).exists()


def test_a_claim_of_another_numbering_of_processes_is_not_judged_by_its_number(
    tmp_path, monkeypatch
):
    """A container with this machine's name: its process 1 is none of ours."""
    claim = foreign(tmp_path, "a")
    about = {"host": claims.processes.HOST, "space": "elsewhere", "pid": 1 << 22, "claim": "x"}
    claim.write_text(json.dumps(about))
    with Claims(tmp_path) as own:
        assert not own.take("a")
        about["space"] = claims.processes.space()
        claim.write_text(json.dumps(about))
        assert own.take("a")


def test_a_full_disk_leaves_no_claim(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Claims(tmp_path / "c") as own:
        for most in (0, 7):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
            try:
                with pytest.raises(OSError) as caught:
                    own.take("a")
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            assert caught.value.errno == errno.EFBIG
            assert list((tmp_path / "c").iterdir()) == []
        assert own.take("a")


def test_a_set_has_one_writer(tmp_path):
    image = cv2.imencode(".png", np.zeros((16, 16, 3), np.uint8))[1]
    (tmp_path / "src/anna").mkdir(parents=True)
    (tmp_path / "src/anna/0.png").write_bytes(image)
    dst = tmp_path / "new/a.rec"
    with (
        claims.sole(claims.claims_beside(dst), "set", "writes"),
        pytest.raises(KitError, match=r"another command is writing it.*\(process "),
    ):
        convert(tmp_path / "src", dst)
    assert list((tmp_path / "new").iterdir()) == []
    assert convert(tmp_path / "src", dst).photographs == 1


def test_what_dead_processes_claimed_is_cleared_away(tmp_path):
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()
    with Claims(tmp_path / "c") as mine:
        assert mine.take("a")
        about = json.loads((tmp_path / "c" / "a").read_text())
        (tmp_path / "c" / "b").write_text(json.dumps({**about, "pid": gone.pid}))
        foreign(tmp_path / "c", "d")
        with Claims(tmp_path / "c"):
            assert {path.name for path in (tmp_path / "c").iterdir()} == {"a", "d"}
    (tmp_path / "c" / "d").write_text(json.dumps({**about, "pid": gone.pid}))
    claims.clear(tmp_path / "c")
    assert not (tmp_path / "c").exists()
