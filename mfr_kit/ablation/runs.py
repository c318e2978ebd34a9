"""The runs behind a table's cells: trained, gone on with, or taken from where they lie."""

import hashlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfr_kit.ablation import inputs
from mfr_kit.ablation.cells import Cell, seeds_of
from mfr_kit.ablation.keys import inputs_of, weights_key
from mfr_kit.ablation.table import Setting, Table
from mfr_kit.claims import CLAIMS, clear, sole
from mfr_kit.errors import Stopped
from mfr_kit.models import weights
from mfr_kit.models.run_files import MEASURED_LINE, read_metrics
from mfr_kit.option_names import under_current_names
from mfr_kit.training import average, distill, people
from mfr_kit.training.average_options import AverageOptions
from mfr_kit.training.options import distill_options

SAVE_EVERY = 50  # steps that a stop costs at most
POINTS = 60  # of a training curve in a record


@dataclass(frozen=True)
class Workplace:
    """Where runs are made and with what: a folder, loader processes, CPU threads (0 for all), and
    whether lists may name people that are not there.
    """

    folder: Path
    workers: int
    threads: int
    allow_unknown: bool


def make_weights(table: Table, cell: Cell, place: Workplace) -> Path:
    """Train what a cell needs and is missing; returns the folder of the cell's run.

    Raises:
        KitError: a run that was made from other files or people than the table names, or anything
            that `kit.py distill` refuses.
    """
    setting = table.setting(cell.setting)
    if setting.of is not None:
        return _derive(table, setting, cell, place)
    (seed,) = seeds_of(table, cell)
    return _train(table, setting, seed, place)


def sole_cell(work: Path, table: Table, cell: Cell) -> AbstractContextManager:
    """Wait while another process with the same --work makes a cell, and keep others from it."""
    name = hashlib.blake2b(f"{table.name}/{cell.name}".encode(), digest_size=8).hexdigest()
    return sole(work / CLAIMS, f"{name}.cell", f"makes {cell.name} of {table.name}")


def _sole_run(work: Path, table: Table, cell: Cell) -> AbstractContextManager:
    """The same of a run, which cells and tables share."""
    return sole(work / CLAIMS, f"{weights_key(table, cell)[:16]}.run", f"trains {cell.name}")


def _train(table: Table, setting: Setting, seed: int, place: Workplace) -> Path:
    """Train a cell's run, or go on with it, or take it as it is."""
    cell = Cell(setting.name, seed)
    with _sole_run(place.folder, table, cell):
        return _train_here(table, setting, cell, place)


def _train_here(table: Table, setting: Setting, cell: Cell, place: Workplace) -> Path:
    seed = cell.seed
    out = _folder(table, cell, place.folder)
    own: dict[str, Any] = {
        "out": out,
        "bank": place.folder / "bank",
        "seed": seed,
        "workers": place.workers,
        "threads": place.threads,
        "save_every": SAVE_EVERY,
    }
    if place.allow_unknown:
        own["allow_unknown"] = True
    made_from = inputs_of(table, cell)
    inputs.expect_same(out, made_from)
    options = table.options(setting, **own, resume=(out / weights.CONFIG).is_file())
    if (out / weights.STUDENT).is_file():
        clear(out / CLAIMS)  # of a process that was killed at its end
        # it was found by the paths of its lists, and what they hold may have changed since
        given, ancestors = options.lists, options.ancestors
        faces, held, _ = people.split(options.data, given, ancestors, echo=False)
        people.expect_same(out, faces, held)
        return out
    if not out.exists():
        inputs.store(out, made_from)
    try:
        distill.distill(options)
    except Stopped as stopped:
        stopped.adding = ()  # the same table goes on as it is
        raise
    return out


def _derive(table: Table, setting: Setting, cell: Cell, place: Workplace) -> Path:
    """Make weights from the runs of another setting, which are trained first where they are
    missing.
    """
    source = table.source(setting)
    runs = [_train(table, source, seed, place) for seed in seeds_of(table, cell)]
    with _sole_run(place.folder, table, cell):
        out = _folder(table, cell, place.folder)
        made_from = inputs_of(table, cell)
        inputs.expect_same(out, made_from)
        if not (out / weights.STUDENT).is_file():
            average.average(AverageOptions(runs=runs, out=out, weight_share=setting.weight_share))
            inputs.store(out, made_from)
        return out


def _folder(table: Table, cell: Cell, work: Path) -> Path:
    """A cell's run folder: under the table's name, unless a run of these very options lies under
    another row's or table's.
    """
    key = weights_key(table, cell)[:8]
    return next(iter(sorted(work.glob(f"*/*-{key}"))), work / table.name / f"{cell.name}-{key}")


def describe(run: Path) -> dict:
    """Compose what a record keeps of a run: its options, training sets and training curve.

    Raises:
        KitError: what lies there is no whole run.
    """
    loaded = weights.load_run(run)
    config = under_current_names(distill_options(), loaded.config, f"{run / weights.CONFIG}")
    lines = read_metrics(run, MEASURED_LINE)
    steps = [line for line in lines if "loss" in line]
    chosen = steps[:: max(1, -(-len(steps) // POINTS))]
    checks = [line["validation"] | {"step": line["step"]} for line in lines if "validation" in line]
    return {
        "options": {
            name: value for name, value in config.items() if name not in ("out", "bank", "data")
        },
        "training_sets": loaded.lineage["training_sets"],
        "curve": [[line["step"], round(line["loss"], 5)] for line in chosen],
        "validation": checks,
    }
