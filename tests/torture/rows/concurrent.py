"""Two or four commands at once on one thing: the same output, or a bank, an embedding cache, an
ablation's folder that they share. Each ends well or, where another has the output, with one line;
what lies there in the end is what one of them alone writes.
"""

import json
import random
import shutil
import time
from pathlib import Path

from tests.torture.commands import COMMANDS, lay_out, make_inputs, words
from tests.torture.launch import RANKS, Running
from tests.torture.outcome import Outcome
from tests.torture.whole import LIMIT_S, differences

TITLE = "two and four commands at once on one output, bank, cache, ablation"
WANTED = "200 rounds, no wrong byte"
ROUNDS, SHORT = 200, 1
REFUSED = 2  # exit code
GRACE_S = 2.0  # for what a command has started
# commands in folders of their own, whose `common` is one
SHARING = {
    "embedding cache": words(
        "evaluate inputs/run inputs/model.onnx --data inputs/faces --far 0.1 --resamples 20 "
        "--out report --threads 1"
    ),
    "bank": words("distill --config inputs/run.toml --out run --bank common/bank --workers 0"),
    "ablation": words(
        "ablate inputs/small.toml --work common/work --records records --workers 0 --threads 1"
    ),
}
ALL = {**SHARING, **COMMANDS}


def prepare(shared: Path) -> None:
    """Make the inputs; what a command writes alone is made when it is first needed."""
    make_inputs(shared / "inputs")


def attempt(number: int, shared: Path, folder: Path) -> Outcome:
    """Run one command several times at once, begun at random within the time that it takes."""
    names, rng, outcome = list(ALL), random.Random(number), Outcome()
    name, count = names[number % len(names)], rng.choice([2, 4])
    wanted, seconds = _alone(name, shared)
    places = _places(name, shared / "inputs", folder, count)
    outcome.trials[f"{count} x {name}"] += 1
    running: list[Running] = []
    try:
        for place in places:
            running.append(Running(ALL[name], place))
            time.sleep(rng.uniform(0, seconds / count) * rng.choice([0, 1]))
        notes = [note for one in running for note in _look(one, name in SHARING)]
        codes = [one.process.exitcode for one in running]
        outcome.trials["ended well"] += codes.count(0)
        outcome.trials["refused"] += len(codes) - codes.count(0)
        notes += [] if 0 in codes else ["nobody ended well"]
    finally:
        for one in running:
            one.end()
    for place in [*places, folder / "common"]:
        alone = wanted / ("common" if place.name == "common" else "place-0")
        notes += [f"{place.name}: {note}" for note in differences(place, alone)]
    outcome.wrong += [f"{count} x {name}: {note}" for note in dict.fromkeys(notes)]
    return outcome


def _alone(name: str, shared: Path) -> tuple[Path, float]:
    """Return the folder of a command that ran alone, made at the first use, and its seconds."""
    folder = shared / "alone" / name.replace(" ", "-")
    about = folder / "about.json"
    if not about.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        one = Running(ALL[name], *_places(name, shared / "inputs", folder, 1))
        try:
            code = one.wait(LIMIT_S)
            if code != 0:
                raise RuntimeError(f"{name}, alone: {code}, {one.said()[-300:]}")
        finally:
            one.end()
        about.write_text(json.dumps(one.seconds))
    return folder, json.loads(about.read_text())


def _places(name: str, inputs: Path, folder: Path, count: int) -> list[Path]:
    """Lay out where commands work: one folder under several names, or several with one `common`."""
    (folder / "common/embeddings").mkdir(parents=True)
    places = [folder / f"place-{number}" for number in range(count)]
    for place in places:
        if name not in SHARING and place != places[0]:
            place.symlink_to(places[0])
            continue
        lay_out(inputs, place)
        (place / "common").symlink_to(folder / "common")
        (place / "home/embeddings").symlink_to(folder / "common/embeddings")
    return places


def _look(one: Running, must_end_well: bool) -> list[str]:
    """Say what is wrong with how a command ended."""
    code = one.wait(LIMIT_S)
    if code is None:
        return [f"still runs after {LIMIT_S:g} s"]
    said = one.said()
    errors = [line for line in said.splitlines() if line.startswith("error:")]
    code = REFUSED if RANKS in one.words and code == 1 else code  # torchrun's for any other
    good = code == 0 or (code == REFUSED and not must_end_well)
    notes = [] if good else [f"{code}, {said[-300:]!r}"]
    if one.traceback():
        notes.append(f"traceback: {one.traceback()!r}")
    if code == REFUSED and len(errors) != 1:
        notes.append(f"{len(errors)} lines of error: {said[-300:]!r}")
    left = one.orphans(GRACE_S)[1]
    return notes + [f"process {pid} still lives" for pid in left]
