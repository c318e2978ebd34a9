"""Train and measure the cells of a table; every finished cell is one record, and what is
recorded is not done again.
"""

import functools
import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

import numpy as np

from mfr_kit import __version__
from mfr_kit.ablation import inputs
from mfr_kit.ablation.options import AblateOptions
from mfr_kit.ablation.record import SCHEMA, read_record
from mfr_kit.ablation.table import Measured, Setting, Table, read
from mfr_kit.data import lists
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation.compare import measure
from mfr_kit.evaluation.inputs.embed import cache_folder, embed_set
from mfr_kit.evaluation.inputs.faces import from_set
from mfr_kit.evaluation.inputs.overlap import find_overlap
from mfr_kit.evaluation.verification.rates import Plan, figure
from mfr_kit.models import weights
from mfr_kit.models.embedders import Embedder, load_embedder
from mfr_kit.models.run_files import MEASURED_LINE, read_metrics
from mfr_kit.options import as_dict, first_name, names_of_inputs, under_current_names
from mfr_kit.training import average, distill, people
from mfr_kit.training.average_options import AverageOptions
from mfr_kit.training.options import RunOptions, distill_options

TEACHER = "teacher"  # the row that is not trained
MEAN = "mean"  # the "seed" of an average over seeds
SAVE_EVERY = 50  # steps that a stop costs at most
POINTS = 60  # of a training curve in a record


@dataclass(frozen=True)
class Cell:
    """One setting and seed; `seed` is None for the teacher and MEAN for an average over the
    seeds.
    """

    setting: str
    seed: int | str | None

    @property
    def name(self) -> str:
        plain = "".join(
            character if character.isalnum() else "-" for character in self.setting.lower()
        )
        return plain if self.seed is None else f"{plain}-{self.seed}"


def ablate(options: AblateOptions) -> str:
    """Do what is missing of a table.

    Returns:
        What was done, a line a cell.
    Raises:
        KitError: the table, a face set or a run is not usable.
    """
    table = read(options.table)
    for name in options.only or []:
        if name not in {TEACHER, *(setting.name for setting in table.settings)}:
            raise KitError(f"{options.table}: no setting '{name}'")
    sets = {entry.name: _open(entry, options.allow_unknown) for entry in table.sets}
    told = []
    for cell in cells(table):
        if options.only and cell.setting not in options.only:
            continue
        path = options.records / table.name / f"{cell.name}.json"
        key = key_of(table, cell, sets)
        if path.is_file() and is_current(read_record(path), key, table, cell):
            told.append(f"{cell.name}: recorded")
        elif options.dry_run:
            told.append(f"{cell.name}: missing")
        else:
            record = run_cell(table, cell, sets, options)
            path.parent.mkdir(parents=True, exist_ok=True)
            made_from = {"inputs": _inputs(table, cell), "key": key}
            weights.write_text(path, text_of({**record, **made_from}))
            told.append(
                f"{cell.name}: done in "
                f"{record['seconds']['train'] + record['seconds']['measure']:.0f} s"
            )
            print(told[-1], flush=True)
    return "\n".join(told)


def text_of(record: dict) -> str:
    """Write a record as JSON with a line for each of its parts: hundreds of resampled figures a
    line each are read by nobody.
    """
    lines = (
        f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}"
        for name, value in record.items()
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def cells(table: Table) -> Iterator[Cell]:
    """List the cells: the teacher, then all settings seed by seed (so that an early stop leaves
    whole comparisons), then averages.
    """
    yield Cell(TEACHER, None)
    for seed in table.seeds:
        yield from (Cell(setting.name, seed) for setting in table.settings if not setting.average)
    yield from (Cell(setting.name, MEAN) for setting in table.settings if setting.average)


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
            None if cell.setting == TEACHER else _weights_key(table, cell),
        ]
    )


def is_current(record: dict, key: str, table: Table, cell: Cell) -> bool:
    """Whether a record is still that of its cell: the key says so, the files that it names are
    what they were, and no default has changed since that its run took over.
    """
    if record["key"] != key:
        return False
    if "inputs" in record and inputs.changed(record["inputs"], _inputs(table, cell)):
        return False
    if cell.setting == TEACHER or table.setting(cell.setting).of is not None:
        return True
    now = as_dict(table.options(table.setting(cell.setting), out=Path("-"), seed=cell.seed))
    before = under_current_names(distill_options(), record["options"], f"the record of {cell.name}")
    compared = names_of_inputs(distill_options()) - {"embedding_size"}
    return all(now[name] == value for name, value in before.items() if name in compared)


def _inputs(table: Table, cell: Cell) -> dict[str, str]:
    """Digest the files that a cell is made from."""
    if cell.setting == TEACHER:
        return inputs.digests_of(table.teacher, None)
    setting = table.setting(cell.setting)
    source = setting if setting.of is None else table.setting(setting.of)
    return inputs.digests_of(table.teacher, table.options(source, out=Path("-"), seed=0))


def _weights_key(table: Table, cell: Cell) -> str:
    """Name what a cell's weights depend on: part of its folder's name, so that another setting
    never finds this one's run.

    Options at their defaults are left out, so that a new option of `kit.py distill` outdates no
    record.
    """
    setting = table.setting(cell.setting)
    source = setting if setting.of is None else table.setting(setting.of)
    options = table.options(source, out=Path("-"), seed=0)
    given, known = as_dict(options), distill_options().__dataclass_fields__
    told = {
        first_name(known[name]): given[name]
        for name, value in default_options().items()
        if name != "seed" and getattr(options, name) != value
    }
    seeds = list(table.seeds) if cell.seed == MEAN else [cell.seed]
    return _digest(
        [told, _fingerprint(given["data"]), setting.of is not None, setting.weight_share, seeds]
    )


@functools.cache
def default_options() -> dict[str, object]:
    """Defaults of the options that a key or a record tells: what a run has whose record is older
    than an option.

    `is_current` outdates a record whose defaults have changed since, so today's are also those it
    was made with.
    """
    told = names_of_inputs(distill_options())
    return {
        entry.name: entry.default
        for entry in fields(distill_options())
        if entry.default is not MISSING and entry.name in told
    }


@functools.cache
def _fingerprint(data: str) -> str:
    """Of a training set, which every cell's key asks for and no cell changes."""
    return FaceSet.open(Path(data)).fingerprint


def _digest(parts: list) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _folder(table: Table, cell: Cell, options: AblateOptions) -> Path:
    """A cell's run folder: under the table's name, unless a run of these very options lies under
    another row's or table's.
    """
    key = _weights_key(table, cell)[:8]
    return next(
        iter(sorted(options.work.glob(f"*/*-{key}"))),
        options.work / table.name / f"{cell.name}-{key}",
    )


def _open(entry: Measured, allow_unknown: bool) -> FaceSet:
    faces = FaceSet.open(entry.data)
    if not entry.people:
        return faces
    choice = faces.chosen(entry.people, f"the people of set '{entry.name}'", allow_unknown)
    lists.echo(
        f"people of set {entry.name}", [choice], f"{len(faces.of_people(choice.found)):,} faces"
    )
    return faces.of_people(choice.found)


def run_cell(table: Table, cell: Cell, sets: dict[str, FaceSet], options: AblateOptions) -> dict:
    started = time.perf_counter()
    spec, about = table.teacher, {}
    if cell.setting != TEACHER:
        setting = table.setting(cell.setting)
        spec = (
            _derived(table, setting, cell, options)
            if setting.of
            else _trained(table, setting, cell.seed, options)
        )
        about = _about_run(Path(spec))
    trained = time.perf_counter()
    for entry in table.sets:
        for row in find_overlap([spec], sets[entry.name].people, options.allow_overlap):
            print(f"WARNING: set {entry.name}: {row['text']}: its figures flatter", flush=True)
            about.setdefault("overlap", {})[entry.name] = row["people"]
    embedder = load_embedder(spec, normalisation=_normalisation(table), threads=options.threads)
    figures = {
        entry.name: _measured(embedder, entry, sets[entry.name], table.resamples)
        for entry in table.sets
    }
    return {
        "schema": SCHEMA,
        "table": table.name,
        "title": table.title,
        "setting": cell.setting,
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


def _normalisation(table: Table) -> str | None:
    """The input of a teacher that does not say: the first trained row's."""
    trained = next((setting for setting in table.settings if setting.of is None), None)
    if trained is None:
        return None
    return table.options(trained, out=Path("-"), seed=0).normalisation


def _trained(table: Table, setting: Setting, seed: int, options: AblateOptions) -> str:
    """Train a cell's run, or go on with it, or take it as it is; returns its folder."""
    out = _folder(table, Cell(setting.name, seed), options)
    own = {
        "out": out,
        "bank": options.work / "bank",
        "seed": seed,
        "workers": options.workers,
        "threads": options.threads,
    }
    own["save_every"] = SAVE_EVERY
    if options.allow_unknown:
        own["allow_unknown"] = True
    made_from = _inputs(table, Cell(setting.name, seed))
    inputs.expect_same(out, made_from)
    if (out / weights.STUDENT).is_file():
        _expect_same_people(table.options(setting, **own))
    else:
        if not out.exists():
            inputs.store(out, made_from)
        distill.distill(table.options(setting, **own, resume=(out / weights.CONFIG).is_file()))
    return str(out)


def _expect_same_people(options: RunOptions) -> None:
    """A run is found by the paths of its lists; what they hold may have changed since it was
    trained.
    """
    faces, held, _ = people.split(options, echo=False)
    people.expect_same(options, faces, held)


def _derived(table: Table, setting: Setting, cell: Cell, options: AblateOptions) -> str:
    """Make weights from the runs of another setting, which are trained first where they are
    missing.
    """
    seeds = table.seeds if setting.average else (cell.seed,)
    runs = [Path(_trained(table, table.setting(setting.of), seed, options)) for seed in seeds]
    out = _folder(table, cell, options)
    made_from = _inputs(table, cell)
    inputs.expect_same(out, made_from)
    if not (out / weights.STUDENT).is_file():
        average.average(AverageOptions(runs=runs, out=out, weight_share=setting.weight_share))
        inputs.store(out, made_from)
    return str(out)


def _about_run(run: Path) -> dict:
    """What a record keeps of a run: its options, lineage and training curve."""
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


def _measured(embedder: Embedder, entry: Measured, faces: FaceSet, resamples: int) -> dict:
    """TARs of a model on a set by protocol and FAR, with those of the resamples (the same people
    for every model) for paired intervals.
    """
    embedded = from_set(embed_set(embedder, faces, flip=entry.flip, cache=cache_folder()), faces)
    found = measure(embedded, Plan(entry.fars, resamples), entry.protocols)
    told = {}
    for protocol, outcome in found.items():
        rows = []
        for row in outcome.result["tar_at_far"]:
            values = outcome.resampled.get(figure(row["far"]), np.array([]))
            kept = [None if np.isnan(value) else round(float(value), 4) for value in values]
            rows.append(
                {
                    "far": row["far"],
                    "tar": row["tar"],
                    "false_accepts": row["false_accepts"],
                    "resampled": kept,
                }
            )
        told[protocol] = rows
    return {
        "fingerprint": faces.fingerprint,
        "faces": len(faces),
        "people": len(faces.people),
        "protocols": told,
    }


def _commit() -> str | None:
    """The commit the kit's folder is at, None where it is no checkout."""
    asked = ["git", "-C", str(Path(__file__).resolve().parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
