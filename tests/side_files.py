"""What `fuzz_side_files.py` damages and how it reads it: one campaign a family of side files,
each read as the commands do.
"""

import contextlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests import damage


@dataclass(frozen=True)
class Campaign:
    """`make` writes whole files into a folder, `read` reads them as commands do; `kinds` are the
    damages by a file's pattern.
    """

    make: Callable[[Path], None]
    read: Callable[[Path], None]
    kinds: dict[str, tuple[Callable, ...]]

    def damage(self, folder: Path, rng: random.Random) -> str:
        """Damage one or two files; returns what was done."""
        done = []
        for _ in range(rng.choice((1, 1, 1, 2))):
            pattern = rng.choice(list(self.kinds))
            path = rng.choice(sorted(folder.glob(pattern)))
            how = rng.choice(self.kinds[pattern])
            try:
                _damage_file(path, how, rng)
            except Exception as error:  # noqa: BLE001  a file damaged twice may not be one whose structure can be read
                how = damage.bytes_of
                done.append(f"{type(error).__name__} instead")
                _damage_file(path, how, rng)
            done.append(f"{how.__name__} {path.relative_to(folder)}")
        return ", ".join(done)


def _damage_file(path: Path, how: Callable, rng: random.Random) -> None:
    if how.__name__.endswith("_file"):
        how(path, rng)
    elif how in (damage.bytes_of, damage.npy_of):
        path.write_bytes(how(path.read_bytes(), rng))
    else:
        path.write_text(how(path.read_text("utf-8"), rng), "utf-8", "surrogatepass")


TEXT = (damage.bytes_of, damage.lines_of)


def make_set(folder: Path, people: int = 3) -> None:
    """Write a face set of drawn heads with twins and two skipped photographs, one with an
    awkward name.
    """
    from mfr_kit.data.face_set import faceset
    from mfr_kit.data.face_set.faceset_writer import write_rows
    from tests.conftest import write_faceset

    made = write_faceset(folder, people, 2)
    empty = dict.fromkeys(faceset.SKIPPED_COLUMNS, "")
    lost = [
        {
            **empty,
            "source": 'p00/z,"1.jpg',
            "identity": "p00",
            "condition": "mask",
            "reason": "no_face",
            "detail": "small",
        },
        {
            **empty,
            "source": "stray.txt",
            "reason": "no_person",
            "detail": "not in a person's folder",
        },
    ]
    about = {"kit_version": "test", "options": {"mask_on": "photo", "ratio": 0.5}}
    rows = made.table.to_pylist()
    for row in rows:
        row["mask"] = '{"look": "flat", "coverage": 0.4}' if row["clean_key"] else ""
    write_rows(folder, [(rows, lost)], about)


def read_set(folder: Path) -> None:
    """Open a set and use everything that it says."""
    from mfr_kit.data.face_set.faceset import FaceSet
    from mfr_kit.data.formats import face_set
    from mfr_kit.evaluation.inputs.faces import from_set
    from mfr_kit.evaluation.verification import groups
    from mfr_kit.training.views import drift

    faces = FaceSet.open(folder)
    for name in (
        "people",
        "keys",
        "sources",
        "identities",
        "conditions",
        "clean_keys",
        "masks",
        "scores",
        "similarities",
        "fingerprint",
        "name",
        "counts",
    ):
        getattr(faces, name)
    assert not set(faces.conditions) - {"mask", "nonmask"}
    assert all(isinstance(name, str) and name for name in faces.people)
    for row in {0, len(faces) - 1} if len(faces) else ():
        faces.image(row), faces.points(row)
    for chosen in (faces.clean(), faces.of_people(faces.people[:1])):
        len(chosen.people), chosen.fingerprint
    table = from_set(np.ones((len(faces), 4), np.float32), faces)
    for mask in set(table.masks):
        groups.mask_kind(mask), groups.coverage(mask)
    groups.head_turns(faces)
    if (faces.clean_keys != "").any():
        twins = np.flatnonzero(faces.clean_keys != "")
        assert np.isfinite(
            drift.from_clean_to_twin(faces.similarities[twins], faces.similarities[twins])
        ).all()
    drift.measure_twins(faces)
    len(face_set.open_set(folder))


TINY = {"student": "mobilefacenet", "embedding_size": 8, "width": 0.0625}
LINEAGE = {
    "training_sets": [{"name": "made up", "fingerprint": "ab", "faces": 4, "people": 2}],
    "teacher": {"name": "t", "sha256": "00", "trained_on": ["x"]},
    "initial_weights": None,
    "masks": {"ratio": 0.3, "names": "all"},
    "kit_version": "test",
}


def make_run(folder: Path) -> None:
    """Write a run folder of a tiny network."""
    import torch

    from mfr_kit.models import weights

    torch.manual_seed(0)
    model = weights.build_backbone(*TINY.values())
    config = {**TINY, "init": "random", "data": "set", "teacher": "sface", "epochs": 3.0}
    weights.write_text(folder / weights.CONFIG, weights.to_toml(config | {"masks": ["surgical"]}))
    weights.write_text(folder / weights.LINEAGE, json.dumps(LINEAGE))
    weights.save_student(folder / weights.STUDENT, model.state_dict(), torch.zeros(4, 8))
    lines = [{"step": step, "epoch": 0.1, "loss": 1.5, "terms": {"fcd": 1.5}} for step in range(4)]
    lines.append({"step": 3, "validation": {"score": 0.5, "clean": 0.6, "masked": 0.4}})
    weights.write_text(folder / weights.METRICS, "".join(json.dumps(line) + "\n" for line in lines))


def read_run(folder: Path) -> None:
    """Load a run as a model, as a start, for a record, for its options, and go on with its
    journal.
    """
    from mfr_kit.models import weights
    from mfr_kit.models.lineage import ancestor, trained_on
    from mfr_kit.models.run_files import MEASURED_LINE, read_metrics
    from mfr_kit.training.average import _lineage, check_runs
    from mfr_kit.training.journal import Journal

    run = weights.load_run(folder)
    read_metrics(folder, MEASURED_LINE), weights.to_toml(run.config), json.dumps(run.lineage)
    trained_on(run.lineage), ancestor(run.name, run.fingerprint, run.lineage)
    assert run.projector is None or run.projector.shape[1] == run.embedding_size
    check_runs([run])
    _lineage([run, run], 1.0)
    Journal(folder, 2, 4, shown=False).close()
    read_metrics(folder)


def make_checkpoint(folder: Path) -> None:
    """Write the last.pt of a tiny run that has made two steps."""
    import torch

    from mfr_kit.training import checkpoint

    state = _state(folder)
    for _ in range(2):
        _step(state)
    torch.manual_seed(0)
    state.step, state.best = 2, 0.5
    checkpoint.save(folder, checkpoint.content_of(state, course().division))


def read_checkpoint(folder: Path) -> None:
    """Restore a run and make a step."""
    import torch

    from mfr_kit.training import checkpoint

    state = _state(folder)
    if checkpoint.restore(folder, state, course()):
        assert 0 <= state.step <= 10 and all(
            torch.isfinite(value).all() for value in state.result().values()
        )
        _step(state)


def course(world: int = 2, batch_size: int = 8):
    """Return the course of the tiny run."""
    from mfr_kit.training.settings import Course, Division

    return Course(4.0, 10, 1, Division(world, batch_size))


def _state(folder: Path):
    import torch
    from torch import nn

    from mfr_kit.training.checkpoint import State

    torch.manual_seed(1)
    student = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    head = nn.Linear(4, 2)
    groups = [{"params": list(student.parameters())}, {"params": list(head.parameters())}]
    optimiser = torch.optim.AdamW(groups, lr=1e-3)
    initial = {key: value.clone() for key, value in student.state_dict().items()}
    return State(student, nn.Identity(), head, optimiser, initial, dict(initial))


def _step(state) -> None:
    import torch

    state.head(state.student(torch.ones(2, 3))).sum().backward()
    state.optimiser.step()


EMBEDDED = [f"faces/p{number}/0.jpg" for number in range(6)]


def make_embeddings(folder: Path) -> None:
    """Write embeddings of six faces, once as .npy and twice as parquet: a column of lists, and
    numbered columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    np.save(folder / "rows.npy", rows)
    lists = pa.array(rows.tolist(), pa.list_(pa.float32()))
    pq.write_table(pa.table({"key": EMBEDDED, "embedding": lists}), folder / "lists.parquet")
    columns = {f"e{number}": rows[:, number] for number in range(8)}
    pq.write_table(pa.table({"name": EMBEDDED, **columns}), folder / "columns.parquet")
    features = pa.table({"name": EMBEDDED, "embedding": lists})
    pq.write_table(features, folder / "features.parquet")


def read_embeddings(folder: Path) -> None:
    """Read embeddings as a model, as distractors and as the features of a package; the first
    error is raised when all were read.
    """
    from mfr_kit.errors import KitError
    from mfr_kit.evaluation.inputs.embedding_file import EmbeddingFile, read_rows
    from mfr_kit.evaluation.inputs.faces import strangers_from
    from mfr_kit.submission.features import npy, parquet

    readers = [
        lambda path=path: strangers_from(*read_rows(path)) for path in sorted(folder.iterdir())
    ]
    readers += [
        lambda path=path: EmbeddingFile(path, np.array(EMBEDDED, object))
        for path in sorted(folder.iterdir())
    ]
    readers.append(lambda: np.asarray(npy.read(folder / "rows.npy", EMBEDDED)))
    readers.append(lambda: parquet.read(folder / "features.parquet", EMBEDDED))
    refused = []
    for reader in readers:
        try:
            reader()
        except KitError as error:
            refused.append(error)
    if refused:
        raise refused[0]


def make_lists(folder: Path) -> None:
    """Write lists of people, groups and pairs; and the images that the pairs name."""
    (folder / "people.txt").write_text("# chosen\nAnna B\n\nBo\n", "utf-8")
    (folder / "groups.csv").write_text('identity,group,age\np0,a,3\n"p,1",b,4\n', "utf-8")
    rows = "".join(f"{n % 4}.jpg,{(n + 1) % 4}.jpg,{n % 2},0,1\n" for n in range(20))
    head = "left,right,same,left_masked,right_masked\n"
    (folder / "pairs.csv").write_text(head + rows, "utf-8")
    (folder / "lfw.txt").write_text("2\t1\na\t1\t2\na\t1\tb\t1\nb\t1\t2\nb\t2\ta\t2\n", "utf-8")
    mlfw = "".join(f"a{n}.jpg b{n}.jpg {n % 2}\n" for n in range(20))
    (folder / "mlfw.txt").write_text(mlfw, "utf-8")
    for number in range(4):
        (folder / f"{number}.jpg").write_bytes(b"\xff\xd8\xff")


def read_lists(folder: Path) -> None:
    """Read every list; the first error is raised when all were read."""
    from mfr_kit.data.lists import read_names
    from mfr_kit.data.verification_sets.pairs import open_pairs
    from mfr_kit.errors import KitError
    from mfr_kit.evaluation.verification.groups import read_groups
    from mfr_kit.evaluation.verification.pair_list import read_list

    refused = []
    for read, name in (
        (read_names, "people.txt"),
        (read_groups, "groups.csv"),
        (open_pairs, "pairs.csv"),
        (read_list, "lfw.txt"),
        (read_list, "mlfw.txt"),
    ):
        try:
            read(folder / name)
        except KitError as error:
            refused.append(error)
    if refused:
        raise refused[0]


def make_records(folder: Path) -> None:
    """Write four records of a table: the teacher, and a setting with two seeds beside another."""
    for name, seed in (("teacher", None), ("base", 0), ("base", 1), ("masks 0.5", 0)):
        rate = {"far": 0.1, "tar": 0.8, "false_accepts": 200, "resampled": [0.7, 0.8, 0.9, None]}
        measured = {"fingerprint": "ab", "faces": 9, "people": 3}
        protocols = {"nonmask-nonmask": [rate], "mask-nonmask": [rate, {**rate, "far": 0.01}]}
        record = {"schema": "mfr-kit/ablation/1", "table": "t", "title": "T", "setting": name}
        record |= {"seed": seed, "sets": {"val": {**measured, "protocols": protocols}}}
        if seed is not None:
            record["options"] = {"mask_ratio": 0.5 if "masks" in name else 0.3, "epochs": 2.0}
            record |= {"curve": [[1, 2.5], [2, 1.5]], "validation": [], "training_sets": []}
        record |= {"resamples": 4, "seconds": {"train": 1.0, "measure": 2.0}}
        record |= {"kit_version": "test", "commit": None, "key": "ab"}
        path = folder / "t" / f"{name}-{seed}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(record), "utf-8")


def read_records(folder: Path) -> None:
    """Make the page of results."""
    from mfr_kit.ablation.results import write

    write(folder, folder / "results.md")


TABLE = """
title = "T"
seeds = [0, 1]
teacher = "sface"
resamples = 100
common = {data = "set", epochs = 2.0, masks = ["surgical"], mask_ratio = 0.3}
sets = [
  {name = "val", data = "set", fars = [0.1, 0.01], protocols = ["nonmask-nonmask"], flip = true},
]
setting = [
  {name = "base"},
  {name = "wide", width = 0.5, val-every = 3},
  {name = "half", of = "base", weight_share = 0.5, average = true},
]
"""
RECIPE = (
    'data = "set"\nout = "run"\nmethod = "coupleface"\nepochs = 2\nwidth = 1.0\nseed = '
    '3\nholdout_people = ["a.txt"]\nresume = false\n'
)


def make_tomls(folder: Path) -> None:
    """Write a table of settings and a recipe."""
    (folder / "table.toml").write_text(TABLE, "utf-8")
    (folder / "recipe.toml").write_text(RECIPE, "utf-8")


def read_tomls(folder: Path) -> None:
    """Read the table with the options of every run of it, and the recipe."""
    from mfr_kit.ablation import cells, table
    from mfr_kit.options import as_dict, load
    from mfr_kit.training.options import distill_options

    read = table.read(folder / "table.toml")
    for setting in read.settings:
        if setting.of is None:
            json.dumps(as_dict(read.options(setting, out=Path("-"), seed=read.seeds[0])))
    names = [cell.name for cell in cells.cells(read)]
    assert len(set(names)) == len(names)
    load(distill_options(), folder / "recipe.toml", {})


def make_journal(folder: Path) -> None:
    """Write the journal and the plan of an interrupted run."""
    from mfr_kit.data.alignment.align import TEMPLATE
    from mfr_kit.data.face_set import faceset

    work = folder / "set.part" / "work"
    work.mkdir(parents=True)
    row = {"key": "faces/p/1.jpg", "source": "p/1.jpg", "identity": "p", "condition": "nonmask"}
    row |= {"landmarks": TEMPLATE.ravel().tolist(), "similarity": [1.0, 0.0, 0.0, 0.0]}
    row |= {"score": 0.9, "clean_key": "", "mask": "", "digest": "ab", "shard": 0, "record": 1}
    lost = dict.fromkeys(faceset.SKIPPED_COLUMNS, "") | {
        "source": "p/2.jpg",
        "reason": "unreadable",
    }
    note = {"photos": ["p/1.jpg", "p/2.jpg", "00"], "count": 2, "position": [90, 9, 2]}
    line = json.dumps({**note, "faces": [row], "skipped": [lost]}, separators=(",", ":"))
    (work / "00000.jsonl").write_text(f"{line}\n{line}\n", "utf-8")
    (work / "plan.json").write_text(json.dumps({"found": "ab", "options": {}}), "utf-8")


def read_journal(folder: Path) -> None:
    """Read what an interrupted run left, as one that goes on and one that ends do."""
    from mfr_kit.augment import journal, shards, workplace
    from mfr_kit.data.face_set.faceset_writer import write_rows
    from mfr_kit.errors import KitError

    building = folder / "set.part"
    with contextlib.suppress(KitError):  # no plan is the one that is asked for here
        workplace._expect_same_plan(building, {}, folder)
    if not building.exists():  # what holds no face is not worth keeping
        return
    with journal.journal_of(building, 0).open("r+b") as file:
        journal.read_back(file)
    list(shards._spans(building, 0))
    chunks = ((note["faces"], note["skipped"]) for note in journal.read_journal(building, 0))
    write_rows(building, chunks, {}, in_records=True)


SET_KINDS = {
    "faces.parquet": (damage.bytes_of, damage.parquet_file, damage.parquet_file),
    "faces.arrow": (damage.bytes_of,),
    "skipped.csv": (*TEXT, damage.csv_of, damage.csv_of),
    "faceset.json": (*TEXT, damage.json_of, damage.json_of, damage.json_of),
}

RUN_KINDS = {
    "config.toml": (*TEXT, damage.toml_of, damage.toml_of, damage.toml_of),
    "lineage.json": (*TEXT, damage.json_of, damage.json_of, damage.json_of),
    "metrics.jsonl": (*TEXT, damage.jsonl_of),
    "student.pt": (damage.bytes_of, damage.torch_file),
}

CAMPAIGNS = {
    "sets": Campaign(make_set, read_set, SET_KINDS),
    "parquet": Campaign(make_set, read_set, {"faces.parquet": SET_KINDS["faces.parquet"]}),
    "runs": Campaign(make_run, read_run, RUN_KINDS),
    "checkpoints": Campaign(
        make_checkpoint, read_checkpoint, {"last.pt": (damage.bytes_of, damage.torch_file)}
    ),
    "embeddings": Campaign(
        make_embeddings,
        read_embeddings,
        {
            "*.npy": (damage.bytes_of, damage.npy_of, damage.npy_of, damage.npy_of),
            "*.parquet": (damage.bytes_of, damage.parquet_file, damage.parquet_file),
        },
    ),
    "lists": Campaign(
        make_lists, read_lists, {"*.txt": TEXT, "*.csv": (*TEXT, damage.csv_of, damage.csv_of)}
    ),
    "records": Campaign(
        make_records, read_records, {"t/*.json": (damage.bytes_of, *(damage.json_of,) * 4)}
    ),
    "tomls": Campaign(make_tomls, read_tomls, {"*.toml": (*TEXT, *(damage.toml_of,) * 4)}),
    "journals": Campaign(
        make_journal,
        read_journal,
        {
            "set.part/work/00000.jsonl": (*TEXT, *(damage.jsonl_of,) * 3),
            "set.part/work/plan.json": (damage.bytes_of, damage.json_of),
        },
    ),
}
