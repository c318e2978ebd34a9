"""From photographs to a package by the very commands a user types, one after the other; what is
done is written down, and the same call goes on behind it.
"""

import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mfr_kit import console
from mfr_kit.errors import KitError, RuleError, Stopped
from mfr_kit.files import write_json
from mfr_kit.options import read_toml
from mfr_kit.records import read_json
from mfr_kit.submission.tracks import load
from mfr_kit.training.preflight import holds_run

STATE = "pipeline.json"  # in OUT: the commands, and how many of them are done
SHAPE = {"commands": [[str]], "done": int}
ADVICE = "choose another OUT"
_LEFT = {  # outputs that a killed call may have left behind, to be made again
    "evaluate": ("report",),
    "export-onnx": ("student.onnx", "MODEL_CARD.md"),
    "make-submission": ("submission.zip",),
}
Run = Callable[[list[str]], int]  # runs a command line without the program; gives its exit code


@dataclass(frozen=True)
class Lists:
    """Who is trained on (None: everybody else), chosen on and reported on."""

    train: Path | None
    val: Path | None
    holdout: Path


@dataclass(frozen=True)
class Work:
    """What is made of which photographs.

    Attributes:
        recipe: TOML of `distill`.
        photos: a folder of people's folders.
        out: gets faces, lists, run, report, student.onnx and submission.zip.
        track: the package's.
        ratio: share of faces with a masked twin.
        split: flags of `split`.
        lists: of people, in place of `split`.
        training: flags of `distill` that win over the recipe.
        measuring: flags of `evaluate`.
    """

    recipe: Path
    photos: Path
    out: Path
    track: str
    ratio: float = 1.0
    split: tuple[str, ...] = ()
    lists: Lists | None = None
    training: tuple[str, ...] = ()
    measuring: tuple[str, ...] = ()

    @property
    def teacher(self) -> str:
        """Whom the recipe's student is compared with."""
        return str(read_toml(self.recipe, "the recipe").get("teacher", "sface"))

    def commands(self) -> list[list[str]]:
        """The whole as command lines.

        Raises:
            KitError: the recipe cannot be read, or there is no such track.
        """
        load(self.track)
        faces, run, student = (str(self.out / name) for name in ("faces", "run", "student.onnx"))
        report, lists = self.out / "report", self.lists
        held = [["split", faces, str(self.out / "lists"), *self.split]] if lists is None else []
        if lists is None:
            folder = self.out / "lists"
            lists = Lists(None, folder / "val.txt", folder / "holdout.txt")
        people = [("train", lists.train), ("val", lists.val), ("holdout", lists.holdout)]
        named = [
            word
            for part, path in people
            if path is not None
            for word in (f"--{part}-people", str(path))
        ]
        known = ["--report", str(report / "report.json")]
        entering = ["--track", self.track, "--run", run]
        return [
            ["augment", str(self.photos), faces, "--ratio", f"{self.ratio:g}"],
            *held,
            [
                *("distill", "--config", str(self.recipe), "--data", faces),
                *(*named, *self.training, "--out", run),
            ],
            [
                *("evaluate", self.teacher, run, "--data", faces, "--people", str(lists.holdout)),
                *(*self.measuring, "--out", str(report)),
            ],
            ["export-onnx", run, "--out", student, *known],
            ["check", student, *entering],
            [
                *("make-submission", student, *entering, *known),
                *("--out", str(self.out / "submission.zip")),
            ],
        ]


def work_through(work: Work, run: Run, *, owned: bool = False) -> None:
    """Run the commands that are not done.

    Args:
        work: what to make.
        run: runs one of them.
        owned: OUT is the caller's, whatever lies there.
    Raises:
        KitError: OUT is not empty and none of this command's, was begun with others, or a command
            failed; RuleError where a rule of the track fails; Stopped after Ctrl-C.
    """
    commands = work.commands()
    done = _begin(work.out, commands, owned)
    for number, command in enumerate(commands[done:], done + 1):
        words = _to_do(work.out, command)
        print(f"\n[{number}/{len(commands)}] $ python kit.py {shlex.join(words or command)}")
        if words is None:
            print("is done")
        else:
            with console.opened(console.OutputFlags(advice=False)):
                _expect_success(command[0], run(words))
        write_json(work.out / STATE, {"commands": commands, "done": number})


def _begin(out: Path, commands: list[list[str]], owned: bool) -> int:
    """Find out how many commands an earlier call has done, or begin."""
    path = out / STATE
    if not path.is_file():
        if not owned and out.is_dir() and any(out.iterdir()):
            raise KitError(f"{out} is not empty and was not begun by this command: {ADVICE}")
        write_json(path, {"commands": commands, "done": 0})
        return 0
    found = read_json(path, SHAPE, ADVICE)
    for before, now in zip(found["commands"], commands, strict=False):
        if before != now:
            raise KitError(
                f"{out} was begun with `kit.py {shlex.join(before)}`, not `kit.py "
                f"{shlex.join(now)}`: give the former photographs and options, or {ADVICE}"
            )
    if len(found["commands"]) != len(commands) or not 0 <= found["done"] <= len(commands):
        raise KitError(f"{path} is damaged: {ADVICE}")
    if found["done"]:
        print(f"{out}: {found['done']} of {len(commands)} commands are done")
    return found["done"]


def _to_do(out: Path, command: list[str]) -> list[str] | None:
    """Word a command so that it goes on with what a killed call left; None if it had finished."""
    name = command[0]
    if name == "augment" and (out / "faces" / "faces.parquet").is_file():
        return None
    if name == "split" and (out / "lists").is_dir():
        shutil.rmtree(out / "lists")  # perhaps not all three
    if name == "distill" and (out / "run" / "student.pt").is_file():
        return None
    if name == "distill" and holds_run(out / "run"):
        return [*command, "--resume"]
    if name in _LEFT and any((out / left).exists() for left in _LEFT[name]):
        return [*command, "--force"]
    return command


def _expect_success(name: str, code: int) -> None:
    if code == Stopped.exit_code:
        raise Stopped(f"stopped in `kit.py {name}`; what was finished is kept")
    if code:
        kind = RuleError if code == RuleError.exit_code else KitError
        raise kind(
            f"`kit.py {name}` ended with exit code {code}; its message stands above. The same "
            "command goes on from there"
        )
