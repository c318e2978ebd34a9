"""Who is trained on and who is validated on: two selections of one face set that never share a
person.
"""

from pathlib import Path
from typing import NamedTuple

from mfr_kit.data import lists
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.models import trained_people as trained
from mfr_kit.training import prepare
from mfr_kit.training.options import RunOptions

VALIDATED = "val_people.txt"  # in a run folder: whom its weights were chosen on


class Split(NamedTuple):
    """Faces by what they are for."""

    train: FaceSet  # clean faces to train on
    held: FaceSet | None  # clean and masked faces to validate on
    seen: FaceSet  # clean and masked faces of the training people: what may be measured of them


def split(options: RunOptions, echo: bool = True) -> Split:
    """Open the face set and divide its people; what each list did is said on stderr.

    Args:
        options: of the run.
        echo: False for all but one of several processes.
    Raises:
        KitError: lists that share people (unless --allow-shared-people) or name nobody of the set;
            a name that nobody of the set has (unless --allow-unknown).
    """
    everything = FaceSet.open(options.data)
    validation = _names(options, everything, "val_people", echo)
    kept_out = _names(options, everything, "holdout_people", echo)
    if options.train_people is None:
        wanted = set(everything.people) - validation - kept_out
    else:
        wanted = _names(options, everything, "train_people", echo)
        _refuse_shared(options, wanted & validation, "--train-people", "--val-people")
        _refuse_shared(options, wanted & kept_out, "--train-people", "--holdout-people")
    _refuse_shared(options, validation & kept_out, "--val-people", "--holdout-people")
    for kind, groups in ancestors(options).items():
        for names, flag in ((validation, "--val-people"), (kept_out, "--holdout-people")):
            shared = set(trained.among(groups, names))
            _refuse_shared(options, shared, flag, f"the people that the {kind} was trained on")
    seen = everything.of_people(wanted)
    train = seen.clean()
    if len(set(train.identities)) < 2:
        raise KitError(
            f"{options.data} has clean faces of {len(set(train.identities))} training people; at "
            "least two are needed (--train-people)"
        )
    if not validation:
        return Split(train, None, seen)
    chosen = everything.of_people(validation)
    if len(chosen) == 0:
        raise KitError(f"none of the people in {options.val_people} has a face in {options.data}")
    return Split(train, chosen, seen)


def ancestors(options: RunOptions) -> dict[str, list[trained.Group]]:
    """Read whom the models were trained on that leave a trace in the run, by what they are to
    it: "teacher", "initial weights".
    """
    specs = {}
    if not isinstance(options, RunOptions) or prepare.uses_teacher(options):
        specs["teacher"] = options.teacher
    init = getattr(options, "init", "random")
    if init != "random":
        specs["initial weights"] = options.teacher if init == "teacher" else init
    return {
        kind: trained.as_ancestors(trained.groups_of(spec), Path(spec).name)
        for kind, spec in specs.items()
    }


def remember(options: RunOptions, faces: FaceSet, held: FaceSet | None) -> None:
    """Write beside the run whom it is trained on, itself and through its ancestors, and whom it
    is validated on.
    """
    groups = [group for part in ancestors(options).values() for group in part]
    trained.store(options.out, faces.identities, trained.digested(groups, faces.fingerprint))
    (options.out / VALIDATED).unlink(missing_ok=True)  # of a start that was refused
    if held is not None:
        lists.write_names(options.out / VALIDATED, held.people)


def expect_same(options: RunOptions, faces: FaceSet, held: FaceSet | None) -> None:
    """Refuse to resume a run with other people than it began with, wherever their lists lie now.

    Raises:
        KitError: says how many came and went; a run of an earlier kit, which did not store them, is
            not checked.
    """
    for name, now, file in (
        ("training", set(faces.identities), trained.TRAINED),
        ("validation", set() if held is None else set(held.people), VALIDATED),
    ):
        if not (options.out / trained.TRAINED).is_file():
            return
        stored = options.out / file
        before = set(lists.read_names(stored)) if stored.is_file() else set()
        came, went = len(now - before), len(before - now)
        if came or went:
            raise KitError(
                f"--resume cannot continue {options.out} with other {name} people: {came:,} came "
                f"and {went:,} went ({stored} lists those it began with)"
            )


OUTCOMES = {
    "train_people": "{} faces",
    "val_people": "{} faces to validate on",
    "holdout_people": "{} faces left out",
}


def _names(options: RunOptions, everything: FaceSet, name: str, echo: bool) -> set[str]:
    """Look the people of an option's lists up in the set."""
    value = getattr(options, name)
    paths = value if isinstance(value, list) else [value] if value else []
    flag = "--" + name.replace("_", "-")
    choices = [everything.chosen(Path(path), flag, options.allow_unknown) for path in paths]
    names = {person for choice in choices for person in choice.found}
    if choices and echo:
        role = name.removesuffix("_people")
        theirs = everything.of_people(names)
        count = len(theirs if name == "val_people" else theirs.clean())
        faces = OUTCOMES[name].format(f"{count:,}")
        lists.echo(role, choices, faces + theirs.without_face())
    return names


def _refuse_shared(options: RunOptions, shared: set[str], one: str, other: str) -> None:
    if not shared:
        return
    some = (
        f"{one} and {other} share {len(shared)} people "
        f"({', '.join(sorted(shared)[:5])}{', ...' if len(shared) > 5 else ''})"
    )
    if not options.allow_shared_people:
        raise KitError(
            f"{some}: take them out of one of the lists; with --allow-shared-people figures "
            "measured on them flatter"
        )
    print(f"{some}: figures measured on them flatter (--allow-shared-people)")
