"""What a cell depends on: the key under which it is recorded, and whether a record still holds."""

import functools
import hashlib
import json
from dataclasses import MISSING, fields
from pathlib import Path

from mfr_kit.ablation import inputs
from mfr_kit.ablation.cells import TEACHER, Cell, seeds_of
from mfr_kit.ablation.table import Table
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.option_names import first_name, under_current_names
from mfr_kit.options import as_dict, names_of_inputs
from mfr_kit.training.options import distill_options


def key_of(table: Table, cell: Cell, sets: dict[str, FaceSet]) -> str:
    """Name what a record depends on: the options of the runs, the training set, the sets
    measured and how.
    """
    measured = [
        (
            entry.name,
            sets[entry.name].fingerprint,
            entry.fars,
            entry.protocols,
            *(["flip"] if entry.flip else []),
        )
        for entry in table.sets
    ]
    return _digest(
        [
            table.teacher,
            table.resamples,
            measured,
            None if cell.setting == TEACHER else weights_key(table, cell),
        ]
    )


def is_current(record: dict, key: str, table: Table, cell: Cell) -> bool:
    """Whether a record is still that of its cell: the key says so, the files that it names are
    what they were, and no default has changed since that its run took over.
    """
    if record["key"] != key:
        return False
    if "inputs" in record and inputs.changed(record["inputs"], inputs_of(table, cell)):
        return False
    if cell.setting == TEACHER or table.setting(cell.setting).of is not None:
        return True
    now = as_dict(table.options(table.setting(cell.setting), out=Path("-"), seed=cell.seed))
    before = under_current_names(distill_options(), record["options"], f"the record of {cell.name}")
    compared = names_of_inputs(distill_options()) - {"embedding_size"}
    return all(now[name] == value for name, value in before.items() if name in compared)


def inputs_of(table: Table, cell: Cell) -> dict[str, str]:
    """Digest the files that a cell is made from."""
    if cell.setting == TEACHER:
        return inputs.digests_of_teacher(table.teacher)
    run = table.options(table.source(table.setting(cell.setting)), out=Path("-"), seed=0)
    people = {
        "train_people": [run.train_people] if run.train_people else [],
        "val_people": [run.val_people] if run.val_people else [],
        "holdout_people": run.holdout_people or [],
    }
    drawn_from = (run.mask_folder, run.mask_mix, run.drift_table)
    return inputs.digests_of_run(table.teacher, run.origin, people, *drawn_from)


def weights_key(table: Table, cell: Cell) -> str:
    """Name what a cell's weights depend on: part of its folder's name, so that another setting
    never finds this one's run.

    Options at their defaults are left out, so that a new option of `kit.py distill` outdates no
    record.
    """
    setting = table.setting(cell.setting)
    options = table.options(table.source(setting), out=Path("-"), seed=0)
    given, known = as_dict(options), distill_options().__dataclass_fields__
    changed = {
        first_name(known[name]): given[name]
        for name, value in default_options().items()
        if name != "seed" and getattr(options, name) != value
    }
    trained_on, is_derived = _fingerprint(given["data"]), setting.of is not None
    return _digest([changed, trained_on, is_derived, setting.weight_share, seeds_of(table, cell)])


@functools.cache
def default_options() -> dict[str, object]:
    """Defaults of the options that a key or a record names: what a run has whose record is older
    than an option.

    `is_current` outdates a record whose defaults have changed since, so today's are also those it
    was made with.
    """
    inputs_of_runs = names_of_inputs(distill_options())
    return {
        entry.name: entry.default
        for entry in fields(distill_options())
        if entry.default is not MISSING and entry.name in inputs_of_runs
    }


def telling_options() -> set[str]:
    """Name the options that tell settings apart: the inputs of a run, whatever its seed."""
    return names_of_inputs(distill_options()) - {"seed"}


@functools.cache
def _fingerprint(data: str) -> str:
    """Of a training set, which every cell's key asks for and no cell changes."""
    return FaceSet.open(Path(data)).fingerprint


def _digest(parts: list) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
