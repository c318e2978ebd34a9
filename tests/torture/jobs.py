"""Commands that write, each run in this process on very small inputs, for the rows of disks."""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

from mfr_kit import assets, claims, leftovers
from tests.conftest import files_of
from tests.torture.refusals import Refusals
from tests.torture.small import write_configs
from tests.torture.written import content

EMBEDDINGS = "home/embeddings"  # a cache: what is not kept there is made again
CACHED = re.compile(
    rf"missing: {EMBEDDINGS}"
    r"|missing: (.*/)?bank(/|$)"  # looked into when it is needed
    r"|left: (.*/)?claims$"  # empty: what it holds is told too
)
NEEDS_MODELS = re.compile(r"inputs/(run|model|report)")
MEASURE = "--far 0.1 --resamples 20 --threads 1"


class Job(NamedTuple):
    """A command line; whether it goes on with all that it left, and files that it replaces."""

    line: str
    grows: bool = False
    old: tuple[str, ...] = ()
    keeps: str = ""  # what of a refused one may stay, for it goes on there; as a pattern


JOBS = {
    "convert rec": Job("convert inputs/faces set.rec"),
    "split": Job("split inputs/faces lists --val 0.3 --holdout 0.3"),
    "convert folder": Job("convert inputs/faces set"),
    "merge": Job("merge inputs/faces inputs/others --out set"),
    "convert tar": Job("convert inputs/faces set.tar"),
    "convert parquet": Job("convert inputs/faces set.parquet"),
    "convert list": Job("convert inputs/faces set.txt"),
    "convert face-set-records": Job("convert inputs/faces set --to face-set-records"),
    "convert recordio": Job("convert inputs/faces set.rec --to recordio-plain"),
    "views": Job("views inputs/faces set"),
    "augment folder": Job("augment inputs/photos set --ratio 1 --shards 2 --workers 0", True),
    "augment rec": Job(
        "augment inputs/photos set --ratio 1 --shards 2 --workers 0 --format rec", True
    ),
    "distill": Job("distill --config inputs/run.toml --out run --resume --workers 0", True),
    "evaluate": Job(
        f"evaluate inputs/run --data inputs/faces {MEASURE} --out report --force",
        old=("report/report.json", "report/report.html"),
    ),
    "compare": Job(
        "compare inputs/report-a/report.json inputs/report-b/report.json --out report --force",
        old=("report/report.html",),
    ),
    "export-onnx": Job(
        "export-onnx inputs/run --out model.onnx --force --faces inputs/train", old=("model.onnx",)
    ),
    "make-submission": Job(
        "make-submission inputs/model.onnx --track unconstrained --out it.zip --force "
        "--features inputs/train",
        old=("it.zip",),
        keeps=".it.features.npy.*.part*",
    ),
    "cluster": Job(
        "cluster inputs/train --out set --model inputs/run --threshold 0.9 --bank bank --threads 1",
        keeps="bank/*",
    ),
    "ablate": Job(
        "ablate inputs/small.toml --work work --records records --workers 0 --threads 1", True
    ),
}


class End(NamedTuple):
    """How a command ended, and what it said on standard error."""

    code: int
    said: str

    def problem(self) -> str | None:
        """Say what is wrong with an end in which the disk refused something."""
        errors = [line for line in self.said.splitlines() if line.startswith("error:")]
        if "Traceback" in self.said:
            return f"traceback: {self.said[-400:]!r}"
        if self.code not in (0, 2) or (self.code == 2 and len(errors) != 1):
            return f"exit code {self.code}, {self.said[-300:]!r}"
        return None


def make_inputs(folder: Path) -> None:
    """Make the photographs and face sets that jobs read."""
    from tests.conftest import write_faceset
    from tests.training.conftest import write_set

    for person in ("s1", "s2"):
        (folder / "photos" / person).mkdir(parents=True)
        for take in ("1.pgm", "2.pgm"):
            shutil.copy(assets.path("orl-faces") / person / take, folder / "photos" / person)
    write_faceset(folder / "faces", people=4, takes=2)
    write_set(folder / "train", people=4, shots=3)
    write_set(folder / "others", people=6, first=20)
    write_configs(folder, training_steps=3, table_steps=2)


def make_models(folder: Path) -> None:
    """Make the run, its model and its reports that some jobs read."""
    from mfr_kit.submission.export import export_run
    from tests.submission.conftest import write_run

    write_run(folder / "run", embedding_size=16, width=0.125)
    export_run(folder / "run")
    (folder / "run/model.onnx").rename(folder / "model.onnx")
    shutil.rmtree(folder / "run/cache", ignore_errors=True)
    for name, flip in (("a", "--no-flip"), ("b", "--flip")):
        line = f"evaluate run --data faces {MEASURE} {flip} --out report-{name}"
        if (end := run(Job(line), folder)).code:
            raise RuntimeError(f"report {name}: {end}")


def lay_out(inputs: Path, folder: Path, job: Job) -> dict[str, bytes]:
    """Fill a folder to run a job in, and return what of it the job finds there."""
    (folder / "home").mkdir(parents=True)
    (folder / "inputs").symlink_to(inputs)
    for entry in assets.home().iterdir():
        if entry.name != "embeddings":
            (folder / "home" / entry.name).symlink_to(entry)
    for name in ("mine.txt", *job.old):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"old")
    return tree(folder)


def run(job: Job, folder: Path) -> End:
    """Run a job in a folder; an exception that escapes is its traceback and exit code 1."""
    from mfr_kit.cli import main

    before, home, said = Path.cwd(), os.environ.get("MFR_KIT_HOME"), io.StringIO()
    os.environ["MFR_KIT_HOME"] = str(folder / "home")
    os.chdir(folder)
    words = job.line.split()
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(said),
            mock.patch.object(sys, "argv", ["kit.py", *words]),
        ):
            try:
                code = main(words)
            except Exception:  # noqa: BLE001  as the interpreter would
                traceback.print_exc()
                code = 1
    finally:
        os.chdir(before)
        os.environ.pop("MFR_KIT_HOME")
        if home is not None:
            os.environ["MFR_KIT_HOME"] = home
    return End(code, said.getvalue())


def whole(name: str, shared: Path) -> dict[str, Any]:
    """Return what an undisturbed job leaves, by path; it is run at the first use."""
    folder = shared / "whole" / name.replace(" ", "-")
    if NEEDS_MODELS.search(JOBS[name].line) and not (shared / "inputs/report-b").is_dir():
        make_models(shared / "inputs")
    if not folder.is_dir():
        making = folder.with_name(f"{folder.name}.making")
        shutil.rmtree(making, ignore_errors=True)
        lay_out(shared / "inputs", making, JOBS[name])
        with Refusals(making) as calls:
            end = run(JOBS[name], making)
        if end.code:
            raise RuntimeError(f"{name}, undisturbed: {end}")
        folder.with_name(f"{folder.name}.calls").write_text(json.dumps(calls.kinds))
        making.rename(folder)
    return tree(folder)


def calls_of(name: str, shared: Path) -> list[str]:
    """Return the kinds of calls of an undisturbed job, run before, that could be refused."""
    return json.loads((shared / "whole" / f"{name.replace(' ', '-')}.calls").read_text())


def syncs_of(name: str, shared: Path) -> int:
    """Return how many of them sync or rename."""
    return sum("sync" in kind or kind == "os.rename" for kind in calls_of(name, shared))


def tree(folder: Path) -> dict[str, Any]:
    """Read all that lies below a folder, but for the inputs and the kit's assets, by path; what
    changes from time to time is left out of it, and a folder is None.
    """
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.split("/")[0] == "inputs" or (name.startswith("home") and EMBEDDINGS not in name):
            continue
        found[name] = content(path) if path.is_file() else None
    return found


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Say which paths are missing, too many or other than they should be."""
    notes = [f"missing: {name}" for name in sorted(wanted.keys() - found.keys())]
    notes += [f"left: {name}" for name in sorted(found.keys() - wanted.keys())]
    both = sorted(found.keys() & wanted.keys())
    return notes + [f"differs: {name}" for name in both if found[name] != wanted[name]]


def without_cache(notes: list[str]) -> list[str]:
    """Leave out that a cache does not have what it could."""
    return [note for note in notes if not CACHED.match(note)]


def digest_inputs(inputs: Path) -> int:
    """Return a number of all that the inputs are."""
    return hash(tuple(sorted(files_of(inputs).items())))


@contextlib.contextmanager
def mortal() -> Iterator[None]:
    """Let temporary names and claims of this process look like a dead one's."""
    gone = subprocess.Popen([sys.executable, "-S", "-c", ""])
    gone.wait()

    class Mortal(SimpleNamespace):
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

    dead = Mortal(getpid=lambda: gone.pid)
    with mock.patch.object(leftovers, "os", dead), mock.patch.object(claims, "os", dead):
        yield
