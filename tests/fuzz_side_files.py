"""Fuzz the readers of side files: `python tests/fuzz_side_files.py [CAMPAIGN ...] [--inputs N]
[--seed S] [--show]`; all campaigns, 4,000 inputs each.

Whole, small files of every kind are damaged with knowledge of their structure (cut, flipped,
spliced; lines doubled, swapped, left out; values of JSON and TOML of another type, empty, huge,
nan, nested; columns left out, renamed, retyped, emptied; entries of torch files left out or
retyped) and read in this process as the commands read them. Allowed outcomes: content or a KitError
of one line. Anything else, more than ten seconds of computing, or a process that grows past 1 GiB
is counted, and the exit code is then 1.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # a pool of threads does not live on in a forked process

import argparse
import collections
import functools
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mfr_kit.errors import KitError
from tests.side_files import CAMPAIGNS

SECONDS, MOST_MIB = 10, 1024
CHUNK = 250  # inputs a process: one that dies of a signal is counted, and takes no others with it


def stop(*_):
    raise TimeoutError(f"over {SECONDS} s")


def where(error: BaseException) -> str:
    """Name the kind of an error and the last line of ours that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/mfr_kit/" in frame.filename] or frames[-1:]
    place = f"{Path(own[-1].filename).name}:{own[-1].lineno}"
    return (
        f"{type(error).__name__} at {place}: "
        f"{str(error).splitlines()[0][:90] if str(error) else ''}"
    )


def try_input(campaign, base: Path, folder: Path, rng: random.Random) -> tuple[str, str]:
    """Damage a copy of the campaign's files and read it; returns (outcome, note)."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder)
    what = campaign.damage(folder, rng)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        campaign.read(folder)
    except KitError as error:
        lines = str(error).splitlines()
        return (
            ("refused", str(error))
            if len(lines) == 1
            else ("bad", f"{len(lines)} lines: {lines[0]}")
        )
    except BaseException as error:  # noqa: BLE001  any other exception is what this script looks for
        return "bad", f"{where(error)} [{what}]"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return "read", what


def run_chunk(campaign, base: Path, numbers: range, seed: int, notes: Path, show: bool) -> None:
    """Try some inputs, noting each outcome as a line of JSON, and its number before it is read."""
    folder = base.parent / "input"
    signal.signal(signal.SIGPROF, stop)
    with notes.open("a") as file:
        for number in numbers:
            file.write(json.dumps(["begin", str(number)]) + "\n")
            file.flush()
            with open(os.devnull, "w") as silent:
                real, sys.stderr = sys.stderr, silent
                outcome, note = try_input(campaign, base, folder, random.Random(f"{seed}-{number}"))
                sys.stderr = real
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            if peak > MOST_MIB:
                outcome, note = "bad", f"the process grew to {peak} MiB at input {number}"
            keep = outcome == "bad" or show
            file.write(json.dumps([outcome, note if keep else ""]) + "\n")
            if peak > MOST_MIB:
                return


def child_status(work, notes: Path) -> int:
    """Do some work in a process of its own; one that notes nothing for three times as long as an
    input may take is killed.
    """
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        if time.time() - notes.stat().st_mtime > 3 * SECONDS + 30:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)


def fuzz(campaign, inputs: int, seed: int, show: bool = False) -> collections.Counter:
    """Run a campaign; returns outcomes by (kind, note)."""
    root = Path(
        tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    )
    base, notes, counts = root / "base", root / "notes.jsonl", collections.Counter()
    base.mkdir()
    notes.write_text("")
    if child_status(lambda: (campaign.make(base), campaign.read(base)), notes):
        raise SystemExit("what is whole is not read")
    start = 0
    while start < inputs:
        numbers = range(start, min(start + CHUNK, inputs))
        notes.write_text("")
        status = child_status(
            functools.partial(run_chunk, campaign, base, numbers, seed, notes, show), notes
        )
        lines = [json.loads(line) for line in notes.read_text().splitlines()]
        begun = sum(kind == "begin" for kind, _ in lines)
        counts.update((kind, note) for kind, note in lines if kind != "begin")
        if status:
            counts["bad", f"the process died, status {status}, at input {start + begun - 1}"] += 1
        start += begun
    shutil.rmtree(root)
    return counts


def main() -> int:
    """Run campaigns and print a histogram each; 1 if anything but content or a KitError came
    out.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("campaigns", nargs="*", help=f"of {', '.join(CAMPAIGNS)}")
    parser.add_argument("--inputs", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", action="store_true", help="print what was refused and read, too")
    options = parser.parse_args()
    failed = False
    for name in options.campaigns or CAMPAIGNS:
        began = time.monotonic()
        counts = fuzz(CAMPAIGNS[name], options.inputs, options.seed, options.show)
        totals = collections.Counter()
        for (kind, _), count in counts.items():
            totals[kind] += count
        told = ", ".join(f"{totals[kind]} {kind}" for kind in ("read", "refused", "bad"))
        print(
            f"{name}: {options.inputs} inputs, {told}; {time.monotonic() - began:.0f} s", flush=True
        )
        for (kind, note), count in counts.most_common():
            if note and (kind == "bad" or options.show):
                print(f"  {count:5} {kind}: {note}")
        failed |= totals["bad"] > 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
