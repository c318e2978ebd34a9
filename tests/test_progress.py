"""How far a job is: lines without a terminal, a bar on one, and what is left to do."""

import fcntl
import io
import os
import struct
import termios

import pytest

from mfr_kit import console, progress
from mfr_kit.console import OutputFlags
from mfr_kit.progress import Progress, duration, step_through


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_say_how_much_how_fast_and_how_long(capsys):
    clock = Clock()
    with Progress(1000, "augment", "photos", clock=clock) as meter:
        clock.now += 4
        meter.advance(100)
        clock.now += 6
        meter.advance(100)
        clock.now += 29
        meter.advance(100)
        clock.now += 1
        meter.note({"loss": 0.51234})
        meter.advance(100)
        clock.now += 10
        meter.advance(600)
    first, second, last = capsys.readouterr().err.splitlines()
    assert first == "augment: 200 of 1,000 photos (20 %), 20 photos/s, 40 s left"
    assert (
        second == "augment: 400 of 1,000 photos (40 %), 10 photos/s, 1 min 00 s left, loss 0.5123"
    )
    # a job that began to talk says how it ended
    assert last == "augment: 1,000 of 1,000 photos (100 %), 20 photos/s, loss 0.5123"


def test_the_last_line_comes_once(capsys):
    clock = Clock()
    with Progress(2, "check", "groups", clock=clock) as meter:
        clock.now += 31
        meter.advance(2)
    assert capsys.readouterr().err.count("\n") == 1


def test_a_short_job_says_nothing(capsys):
    list(step_through(range(3), "measuring", "protocols"))
    assert capsys.readouterr() == ("", "")


def test_what_an_earlier_run_did_counts_as_done_but_not_as_speed(capsys):
    clock = Clock()
    meter = Progress(100, "bank", "faces", done=50, clock=clock)
    clock.now += 10
    meter.advance(10)
    assert capsys.readouterr().err == "bank: 60 of 100 faces (60 %), 1 faces/s, 40 s left\n"
    meter.skip(80)  # by somebody else, in no time
    clock.now += 40
    meter.advance(0)
    assert "80 of 100 faces (80 %), 5 s each, 1 min 40 s left" in capsys.readouterr().err


def test_before_anything_is_done_the_time_is_unknown(capsys):
    clock = Clock()
    meter = Progress(5, "ablate", "cells", clock=clock)
    clock.now += 31
    meter.advance(0)
    assert capsys.readouterr().err == "ablate: 0 of 5 cells (0 %), time left unknown\n"


def test_an_empty_job_is_no_division_by_nothing(capsys):
    clock = Clock()
    with Progress(0, "validation", "faces", clock=clock) as meter:
        clock.now += 31
        meter.advance(0)
    assert "0 of 0 faces (100 %)" in capsys.readouterr().err


def test_a_rank_that_is_not_shown_says_nothing(capsys, tmp_path):
    clock = Clock()
    with (
        console.opened(OutputFlags(log_file=tmp_path / "log")),
        Progress(10, "distil", "steps", shown=False, clock=clock) as meter,
    ):
        clock.now += 60
        meter.advance()
        meter.say("step 1")
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "log").read_text(encoding="utf-8") == ""


def test_no_carriage_return_without_a_terminal_and_a_bar_on_one(monkeypatch, capsys):
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    with Progress(10, "distil", "steps") as meter:
        meter.advance(5)
        meter.say("step 5: score 0.9")
    assert "\r" in stream.getvalue() and "distil" in stream.getvalue()
    assert capsys.readouterr().out == "step 5: score 0.9\n"
    plain = io.StringIO()
    monkeypatch.setattr("sys.stderr", plain)
    clock = Clock()
    with Progress(10, "distil", "steps", clock=clock) as meter:
        clock.now += 30
        meter.advance(5)
    assert "\r" not in plain.getvalue() and "5 of 10 steps" in plain.getvalue()


def test_the_bar_of_a_resumed_job_begins_where_it_stood(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    with Progress(10, "distil", "steps", done=7):
        pass
    assert "7/10" in stream.getvalue()


def test_quiet_shows_neither_bar_nor_line(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    clock = Clock()
    with (
        console.opened(OutputFlags(quiet=True)),
        Progress(10, "distil", "steps", clock=clock) as meter,
    ):
        clock.now += 60
        meter.advance()
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_a_generator_that_is_left_closes_its_bar(monkeypatch):
    closed = []
    monkeypatch.setattr(progress.Progress, "close", lambda self: closed.append(self.done))
    for item in step_through(range(5), "reading", "photographs"):
        if item == 2:
            break
    assert closed == [2]


def test_a_terminal_without_a_size_gets_lines():
    """As in a container without -t: a bar would be drawn on no line, and nothing be seen."""
    pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream:
        assert stream.isatty()
        for lines, drawn in ((0, False), (40, True)):
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, 100, 0, 0))
            assert progress._takes_bar(stream) is drawn
    os.close(master)
