"""Who is trained on and who is validated on: two selections of one face set that never share a
person.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mfr_kit.data import lists
from mfr_kit.data.face_set.bystanders import refuse_bystanders
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.models import trained_people as trained
from mfr_kit.models.run_files import LAST

VALIDATED = "val_people.txt"  # in a run folder: whom its weights were chosen on


@dataclass(frozen=True)
class PeopleLists:
    """Files of names that divide the people of a face set; without `train` all that the others do
    not name are trained on.

    Where `allow_shared`, lists may share people; where `allow_unknown`, they may name people who
    are not there.
    """

    train: Path | None = None
    val: Path | None = None
    holdout: Sequence[Path] = ()
    allow_shared: bool = False
    allow_unknown: bool = False


class Split(NamedTuple):
    """Faces by what they are for."""

    train: FaceSet  # clean faces to train on
    held: FaceSet | None  # clean and masked faces to validate on
    seen: FaceSet  # clean and masked faces of the training people: what may be measured of them


def split(data: Path, given: PeopleLists, ancestors: dict[str, str], echo: bool = True) -> Split:
    """Open the face set and divide its people; what each list did is said on stderr.

    Args:
        data: the face set.
        given: the lists that divide it.
        ancestors: the models that leave a trace in the run, by what they are to it.
        echo: False for all but one of several processes.
    Raises:
        KitError: lists that share people (unless --allow-shared-people) or name nobody of the set;
            a name that nobody of the set has (unless --allow-unknown).
    """
    everything = FaceSet.open(data)
    refuse_bystanders(everything, "training")
    validation = _names([given.val] if given.val else [], "val", everything, given, echo)
    kept_out = _names(given.holdout, "holdout", everything, given, echo)
    if given.train is not None:
        wanted = _names([given.train], "train", everything, given, echo)
        _refuse_shared(given, wanted & validation, "--train-people", "--val-people")
        _refuse_shared(given, wanted & kept_out, "--train-people", "--holdout-people")
    _refuse_shared(given, validation & kept_out, "--val-people", "--holdout-people")
    for kind, groups in _groups_of(ancestors).items():
        for names, flag in ((validation, "--val-people"), (kept_out, "--holdout-people")):
            shared = set(trained.among(groups, names))
            _refuse_shared(given, shared, flag, f"the people that the {kind} was trained on")
    if given.train is None:
        seen = everything.without_people(validation | kept_out)
    else:
        seen = everything.of_people(wanted)
    train = seen.clean()
    if train.identity_count < 2:
        raise KitError(
            f"{data} has clean faces of {train.identity_count} training people; at "
            "least two are needed (--train-people; `kit.py cluster` gives identities to faces "
            "that have none)"
        )
    if echo and train.identity_count == len(train):
        print(
            f"note: in {data} every face is a person of its own; where two show one person, each "
            "is taken for a stranger to the other: `kit.py cluster` gives identities",
            file=sys.stderr,
        )
    if not validation:
        return Split(train, None, seen)
    chosen = everything.of_people(validation)
    if len(chosen) == 0:
        raise KitError(f"none of the people in {given.val} has a face in {data}")
    return Split(train, chosen, seen)


def ancestors_of(teacher: str, init: str, uses_teacher: bool) -> dict[str, str]:
    """Name the models that leave a trace in a run, by what they are to it: "teacher", "initial
    weights".

    Args:
        teacher: where it lies.
        init: "random", "teacher", or where the initial weights lie.
        uses_teacher: whether the student learns from the teacher.
    """
    specs = {"teacher": teacher} if uses_teacher else {}
    if init != "random":
        specs["initial weights"] = teacher if init == "teacher" else init
    return specs


def _groups_of(specs: dict[str, str]) -> dict[str, list[trained.Group]]:
    """Read whom models were trained on."""
    return {
        kind: trained.as_ancestors(trained.groups_of(spec), Path(spec).name)
        for kind, spec in specs.items()
    }


def remember(folder: Path, faces: FaceSet, held: FaceSet | None, ancestors: dict[str, str]) -> None:
    """Write beside the run whom it is trained on, itself and through its ancestors, and whom it
    is validated on.

    Args:
        folder: of the run.
        faces: trained on.
        held: validated on, None for nobody.
        ancestors: as in `split`.
    """
    if (folder / LAST).is_file() and (folder / trained.TRAINED).is_file():
        return  # a run that goes on has said so, when the files of its ancestors were there
    groups = [group for part in _groups_of(ancestors).values() for group in part]
    trained.store(folder, faces.names, trained.digested(groups, faces.fingerprint))
    (folder / VALIDATED).unlink(missing_ok=True)  # of a start that was refused
    if held is not None:
        lists.write_names(folder / VALIDATED, held.people)


def expect_same(folder: Path, faces: FaceSet, held: FaceSet | None) -> None:
    """Refuse to resume a run with other people than it began with, wherever their lists lie now.

    Raises:
        KitError: says how many came and went; a run of an earlier kit, which did not store them, is
            not checked.
    """
    for name, now, file in (
        ("training", set(faces.names), trained.TRAINED),
        ("validation", set() if held is None else set(held.people), VALIDATED),
    ):
        if not (folder / trained.TRAINED).is_file():
            return
        stored = folder / file
        before = set(lists.read_names(stored)) if stored.is_file() else set()
        came, went = len(now - before), len(before - now)
        if came or went:
            raise KitError(
                f"--resume cannot continue {folder} with other {name} people: {came:,} came "
                f"and {went:,} went ({stored} lists those it began with)"
            )


OUTCOMES = {
    "train": "{} faces",
    "val": "{} faces to validate on",
    "holdout": "{} faces left out",
}


def _names(
    paths: Sequence[Path], role: str, everything: FaceSet, given: PeopleLists, echo: bool
) -> set[str]:
    """Look the people of some lists up in the set."""
    flag = f"--{role}-people"
    choices = [everything.chosen(Path(path), flag, given.allow_unknown) for path in paths]
    names = {person for choice in choices for person in choice.found}
    if choices and echo:
        theirs = everything.of_people(names)
        count = len(theirs if role == "val" else theirs.clean())
        faces = OUTCOMES[role].format(f"{count:,}")
        lists.echo(role, choices, faces + theirs.without_face())
    return names


def _refuse_shared(given: PeopleLists, shared: set[str], first: str, second: str) -> None:
    if not shared:
        return
    some = (
        f"{first} and {second} share {len(shared)} people "
        f"({', '.join(sorted(shared)[:5])}{', ...' if len(shared) > 5 else ''})"
    )
    if not given.allow_shared:
        raise KitError(
            f"{some}: take them out of one of the lists; with --allow-shared-people figures "
            "measured on them flatter"
        )
    print(f"{some}: figures measured on them flatter (--allow-shared-people)")
