"""Claims on parts of a folder: taken by one process, given back, and taken over from one that is
gone.
"""

import os
import time
from pathlib import Path

import pytest

from mfr_kit import claims
from mfr_kit.claims import Claims
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
