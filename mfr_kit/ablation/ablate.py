"""Train and measure the cells of a table; every finished cell is one record, and what is
recorded is not done again.
"""

import functools
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from mfr_kit import __version__
from mfr_kit.ablation import runs
from mfr_kit.ablation.cells import TEACHER, Cell, cells
from mfr_kit.ablation.keys import inputs_of, is_current, key_of
from mfr_kit.ablation.measurement import measure_set, open_set
from mfr_kit.ablation.options import AblateOptions
from mfr_kit.ablation.record import SCHEMA, read_record
from mfr_kit.ablation.runs import Workplace
from mfr_kit.ablation.table import Table, read
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.overlap import find_overlap
from mfr_kit.files import write_text
from mfr_kit.models.embedders import Embedder, load_embedder
from mfr_kit.progress import step_through
from mfr_kit.registry import unknown


def ablate(options: AblateOptions) -> str:
    """Do what is missing of a table.

    Returns:
        What was done, a line a cell.
    Raises:
        KitError: the table, a face set or a run is not usable.
    """
    table = read(options.table)
    names = [TEACHER, *(setting.name for setting in table.settings)]
    for name in options.only or []:
        if name not in names:
            raise KitError(f"{options.table}: {unknown('setting', name, names)}")
    sets = {entry.name: open_set(entry, options.allow_unknown) for entry in table.sets}
    place = Workplace(options.work, options.workers, options.threads, options.allow_unknown)
    lines = []
    chosen = [cell for cell in cells(table) if not options.only or cell.setting in options.only]
    for cell in step_through(chosen, "ablate", "cells", shown=not options.dry_run):
        path = options.records / table.name / f"{cell.name}.json"
        key = key_of(table, cell, sets)
        if _is_recorded(path, key, table, cell):
            lines.append(f"{cell.name}: recorded")
        elif options.dry_run:
            lines.append(f"{cell.name}: missing")
        else:
            with runs.sole_cell(place.folder, table, cell):
                line = _record(path, key, table, cell, sets, place, options.allow_overlap)
            lines.append(line)
            print(line, flush=True)
    return "\n".join(lines)


def _is_recorded(path: Path, key: str, table: Table, cell: Cell) -> bool:
    return path.is_file() and is_current(read_record(path), key, table, cell)


def _record(
    path: Path,
    key: str,
    table: Table,
    cell: Cell,
    sets: dict[str, FaceSet],
    place: Workplace,
    allow_overlap: bool,
) -> str:
    """Make a cell's record, unless another process has by now; returns the line about it."""
    if _is_recorded(path, key, table, cell):
        return f"{cell.name}: recorded"
    record = run_cell(table, cell, sets, place, allow_overlap)
    made_from = {"inputs": inputs_of(table, cell), "key": key}
    write_text(path, text_of({**record, **made_from}))
    seconds = record["seconds"]["train"] + record["seconds"]["measure"]
    return f"{cell.name}: done in {seconds:.0f} s"


def text_of(record: dict) -> str:
    """Write a record as JSON with a line for each of its parts: hundreds of resampled figures a
    line each are read by nobody.
    """
    lines = (
        f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}"
        for name, value in record.items()
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def run_cell(
    table: Table, cell: Cell, sets: dict[str, FaceSet], place: Workplace, allow_overlap: bool
) -> dict[str, Any]:
    """Train a cell's weights where they are missing, and measure them on every set.

    Args:
        table: of the cell.
        cell: to train and measure.
        sets: the faces of the table's sets, by name.
        place: where runs are made.
        allow_overlap: measure people that the weights were trained on, too.
    Returns:
        The record, but for `inputs` and `key`.
    Raises:
        KitError: what `kit.py distill` or `kit.py average` refuses, or people trained on.
    """
    started = time.perf_counter()
    spec: str = table.teacher
    about: dict[str, Any] = {}
    if cell.setting != TEACHER:
        run = runs.make_weights(table, cell, place)
        spec, about = str(run), runs.describe(run)
    trained = time.perf_counter()
    if overlap := _overlap(spec, sets, allow_overlap):
        about["overlap"] = overlap

    @functools.cache
    def load(spec: str) -> Embedder:
        return load_embedder(spec, normalisation=_normalisation(table), threads=place.threads)

    figures = {
        entry.name: measure_set(
            load(spec), entry, sets[entry.name], table.resamples, lambda: load(table.teacher)
        )
        for entry in table.sets
    }
    return {
        "schema": SCHEMA,
        "table": table.name,
        "title": table.title,
        "setting": cell.setting,
        **({"against": list(table.against)} if table.against else {}),
        "seed": cell.seed,
        "sets": figures,
        **about,
        "resamples": table.resamples,
        "seconds": {
            "train": round(trained - started, 1),
            "measure": round(time.perf_counter() - trained, 1),
        },
        "kit_version": __version__,
        "commit": _commit(),
    }


def _overlap(spec: str, sets: dict[str, FaceSet], allowed: bool) -> dict[str, int]:
    """Count the people of each set that a model was trained on, and say so."""
    found = {}
    for name, faces in sets.items():
        for row in find_overlap([spec], faces.people, allowed):
            print(f"WARNING: set {name}: {row['text']}: its figures flatter", flush=True)
            found[name] = row["people"]
    return found


def _normalisation(table: Table) -> str | None:
    """The input of a teacher that does not say: the first trained row's."""
    trained = next((setting for setting in table.settings if setting.of is None), None)
    if trained is None:
        return None
    return table.options(trained, out=Path("-"), seed=0).normalisation


def _commit() -> str | None:
    """The commit the kit's folder is at, None where it is no checkout."""
    asked = ["git", "-C", str(Path(__file__).resolve().parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
