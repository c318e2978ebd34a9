"""Ctrl-C and SIGTERM while training: the step is finished and saved, and the run goes on as if
nothing had been.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mfr_kit.cli import main
from mfr_kit.errors import KitError, Stopped
from mfr_kit.interrupts import StopRequest
from mfr_kit.models import weights
from mfr_kit.models.run_files import read_metrics
from mfr_kit.processes import is_gone
from mfr_kit.training import step as loop
from mfr_kit.training.distill import distill
from mfr_kit.training.pulse import SHARED, Pulse
from mfr_kit.training.ranks import Ranks
from mfr_kit.training.settings import SaveRule

ROOT = Path(__file__).parents[2]


def after(monkeypatch, steps, act):
    """Do something in the middle of a step, once so many have been done."""
    real, done = loop.Stepper.step, []

    def step(self, *arguments):
        done.append(0)
        if len(done) == steps + 1:
            act()
        return real(self, *arguments)

    monkeypatch.setattr(loop.Stepper, "step", step)


def send(number):
    return lambda: os.kill(os.getpid(), number)


def equal(first, second):
    first, second = weights.read_state(first), weights.read_state(second)
    return all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_step_is_finished_and_saved(make_options, tmp_path, monkeypatch, capsys, number):
    options = make_options(out=tmp_path / "whole", steps=6, save_every="90min")
    distill(options)
    stopped = replace(options, out=tmp_path / "stopped")
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        after(patch, 2, send(number))
        with pytest.raises(Stopped, match=r"stopped after step 3 of 6, which .*stopped holds"):
            distill(stopped)
    assert signal.getsignal(number) == before
    assert weights.read_file(stopped.out / weights.LAST, "")["step"] == 3
    assert not (stopped.out / weights.STUDENT).exists()
    assert "stopping after this step, which is saved; once more" in capsys.readouterr().err
    distill(replace(stopped, resume=True))
    assert equal(options.out / weights.STUDENT, stopped.out / weights.STUDENT)
    assert read_metrics(stopped.out)[-1]["loss"] == read_metrics(options.out)[-1]["loss"]


def test_the_second_time_it_ends_at_once(make_options, monkeypatch):
    def twice():
        send(signal.SIGINT)()
        send(signal.SIGINT)()

    after(monkeypatch, 2, twice)
    options = make_options(steps=6, save_every=1)
    with pytest.raises(KeyboardInterrupt):
        distill(options)
    assert weights.read_file(options.out / weights.LAST, "")["step"] == 2


def test_workers_hear_nothing_from_their_first_moment_on(make_options, monkeypatch):
    real, blocked = torch.utils.data.DataLoader.__iter__, []

    def start(self):
        blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        return real(self)

    monkeypatch.setattr(torch.utils.data.DataLoader, "__iter__", start)
    distill(make_options(steps=1))
    assert blocked == [{signal.SIGINT, signal.SIGTERM}]


@pytest.mark.slow
def test_what_is_printed_goes_on(make_options, monkeypatch, capsys):
    options = make_options(steps=6)
    flags = ["--data", options.data, "--out", options.out, "--teacher", options.teacher]
    flags += ["--width", 0.125, "--batch-size", 6, "--steps", 6, "--workers", 0, "--threads", 1]
    with monkeypatch.context() as patch:
        after(patch, 2, send(signal.SIGINT))
        assert main(["distill", *map(str, flags)]) == 130
    told = capsys.readouterr().err
    command = told.split("To go on: `")[1].split("`")[0]
    assert command.endswith("--resume")
    assert main(shlex.split(command)[2:]) == 0
    assert (options.out / weights.STUDENT).is_file()


@pytest.mark.slow
def test_a_run_goes_on_by_its_own_options(make_options, monkeypatch, capsys):
    options = make_options(steps=6)
    with monkeypatch.context() as patch:
        after(patch, 2, send(signal.SIGTERM))
        with pytest.raises(Stopped):
            distill(options)
    moved = options.out.rename(options.out.with_name("elsewhere"))
    assert main(["distill", str(moved)]) == 2
    assert f"write --resume {moved}" in capsys.readouterr().err
    assert main(["distill", "--resume", str(moved.parent / "nobody")]) == 2
    assert "no run was begun there (config.toml is missing)" in capsys.readouterr().err
    assert main(["distill", "--resume", str(moved), "--learning-rate", "0.5"]) == 2
    assert "--learning-rate was 0.001, is 0.5" in capsys.readouterr().err
    assert main(["distill", "--resume", str(moved)]) == 0
    assert (moved / weights.STUDENT).is_file()
    assert not options.out.exists()


def test_intervals_are_steps_or_minutes(make_options):
    assert make_options(save_every=7).intervals.save == SaveRule(7, 0.0)
    assert make_options(save_every="7").intervals.save == SaveRule(7, 0.0)
    assert make_options(save_every="2.5min").intervals.save == SaveRule(0, 2.5)
    for wrong in ("0", "-3", "2.5", "5 hours", "min", "0min", "1e3", "", "nan"):
        with pytest.raises(KitError, match=r"--save-every must be steps \(500\) or minutes"):
            make_options(save_every=wrong)


def test_minutes_are_counted_from_the_last_checkpoint(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pulse = Pulse(Ranks(), SaveRule(0, 2.0), StopRequest())
    found = []
    for step in range(1, 8):
        now[0] += 50
        found.append(pulse.saves(step))
    assert found == [False, False, True, False, False, True, False]
    assert not pulse.stops


class Both(Ranks):
    """One of two ranks, of which the other one gives what it is told to."""

    def __init__(self, other):
        super().__init__(0, 2)
        object.__setattr__(self, "other", other)

    def mean(self, value):
        return (value + torch.tensor(self.other)) / 2


def test_ranks_save_and_stop_at_one_step():
    """A signal to one of them is heard by all when they next ask each other."""
    pulse = Pulse(Both([0.0, 1.0]), SaveRule(5, 0.0), StopRequest())
    found = [pulse.saves(step) for step in range(1, SHARED + 1)]
    assert found == [step in (5, SHARED) for step in range(1, SHARED + 1)]
    assert pulse.stops
    mine = Pulse(Both([0.0, 0.0]), SaveRule(0, 1e6), StopRequest(asked=True))
    assert [mine.saves(step) for step in range(1, SHARED + 1)] == [False] * (SHARED - 1) + [True]
    assert mine.stops


def children_of(pid):
    found = subprocess.check_output(["ps", "-o", "pid=", "--ppid", str(pid)], text=True)
    return [int(line) for line in found.split()]


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_go_with_their_parent_and_say_nothing(make_options, tmp_path, number):
    options = make_options(steps=100_000, workers=2, log_every=1)
    config = tmp_path / "long.toml"
    config.write_text(weights.to_toml(given(options)))
    command = [sys.executable, str(ROOT / "kit.py"), "distill", "--config", str(config)]
    run = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    metrics = options.out / "metrics.jsonl"
    until = time.monotonic() + 120
    while not (metrics.is_file() and metrics.stat().st_size) and time.monotonic() < until:
        time.sleep(0.1)
    workers = children_of(run.pid)
    assert len(workers) >= 2
    if number == signal.SIGKILL:
        run.kill()
    else:
        os.killpg(run.pid, number)  # as a terminal does
    _, told = run.communicate(timeout=120)
    assert run.returncode == (-9 if number == signal.SIGKILL else 130)
    assert "Traceback" not in told
    if number != signal.SIGKILL:
        assert "To go on: `python kit.py distill" in told
        assert (options.out / weights.LAST).is_file()
    until = time.monotonic() + 60
    while any(map(is_alive, workers)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(is_alive, workers))


ORPHAN = """
import os, sys, threading
from multiprocessing import Pipe, get_context
from mfr_kit import interrupts

class NoThread:
    def __init__(self, **_): pass
    def start(self): pass

def work(connection, cut):
    threading.Thread = NoThread  # the thread that ends it comes second, as it may
    interrupts.serve_parent()
    connection.send("ready")
    if cut == "bug":
        sys.excepthook(ValueError, ValueError("a bug"), None)
    try:
        connection.recv()
    except (EOFError, OSError):
        sys.excepthook(*sys.exc_info())  # as multiprocessing.resource_sharer does

if __name__ == "__main__":
    context = get_context("spawn")
    here, there = context.Pipe()
    context.Process(target=work, args=(there, sys.argv[1])).start()
    there.close()
    here.recv()
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(("cut", "told"), [("killed", ""), ("bug", "ValueError: a bug\n")])
def test_a_connection_cut_by_the_parents_end_is_no_error(tmp_path, cut, told):
    (tmp_path / "orphan.py").write_text(ORPHAN)
    run = subprocess.run(
        [sys.executable, str(tmp_path / "orphan.py"), cut],
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,  # waits for the worker too, which has the same pipes
        text=True,
        timeout=60,
    )
    assert run.returncode == -9
    assert run.stderr == told


def given(options):
    from mfr_kit.options import as_dict

    return {key: value for key, value in as_dict(options).items() if value is not None}


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the rank in /proc")
def test_a_rank_ends_with_the_torchrun_that_started_it():
    rank = (
        "import time; from mfr_kit.interrupts import follow_torchrun; follow_torchrun()\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    launcher = (
        "import subprocess, sys\n"
        f"rank = subprocess.Popen([sys.executable, '-c', {rank!r}], stdout=subprocess.PIPE)\n"
        "rank.stdout.readline(); print(rank.pid, flush=True); rank.wait()"
    )
    environment = {**os.environ, "TORCHELASTIC_RUN_ID": "none", "PYTHONPATH": str(ROOT)}
    agent = subprocess.Popen(
        [sys.executable, "-c", launcher], stdout=subprocess.PIPE, text=True, env=environment
    )
    number = int(agent.stdout.readline())
    assert not is_gone(number)
    agent.kill()
    agent.wait()
    until = time.monotonic() + 30
    while not is_gone(number) and time.monotonic() < until:
        time.sleep(0.05)
    assert is_gone(number)
