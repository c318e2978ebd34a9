"""Who is trained on and who is validated on: two selections of one face set that never share a person."""

from mfr_kit.data.faceset import FaceSet, read_people
from mfr_kit.errors import KitError
from mfr_kit.training.options import RunOptions


def split(options: RunOptions) -> tuple[FaceSet, FaceSet | None]:
    """Open the face set and return its clean faces to train on, and the faces (clean and masked) to validate on.

    Raises:
        KitError: lists that share people or name nobody of the set.
    """
    everything = FaceSet.open(options.data)
    validation = _names(options, "val_people")
    kept_out = _names(options, "holdout_people")
    if options.train_people is None:
        wanted = set(everything.people) - validation - kept_out
    else:
        wanted = _names(options, "train_people")
        _refuse_shared(wanted & validation, "--train-people", "--val-people")
        _refuse_shared(wanted & kept_out, "--train-people", "--holdout-people")
    _refuse_shared(validation & kept_out, "--val-people", "--holdout-people")
    train = everything.of_people(wanted).clean()
    if len(set(train.identities)) < 2:
        raise KitError(
            f"{options.data} has clean faces of {len(set(train.identities))} training people; at least two are needed (--train-people)"
        )
    if not validation:
        return train, None
    chosen = everything.of_people(validation)
    if len(chosen) == 0:
        raise KitError(f"none of the people in {options.val_people} has a face in {options.data}")
    return train, chosen


def _names(options: RunOptions, name: str) -> set[str]:
    value = getattr(options, name)
    paths = value if isinstance(value, list) else [value] if value else []
    return {person for path in paths for person in read_people(path)}


def _refuse_shared(shared: set[str], one: str, other: str) -> None:
    if shared:
        some = ", ".join(sorted(shared)[:5]) + (" ..." if len(shared) > 5 else "")
        raise KitError(f"{one} and {other} share {len(shared)} people ({some}): take them out of one of the lists")
