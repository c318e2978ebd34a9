"""What `fuzz_side_files.py` damages and how it reads it: one campaign a family of side files, each read as the commands do."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests import damage


@dataclass(frozen=True)
class Campaign:
    """`make` writes whole files into a folder, `read` reads them as commands do; `kinds` are the damages by a file's pattern."""

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
    """Write a face set of drawn heads with twins and two skipped photographs, one with an awkward name."""
    from mfr_kit.data import faceset
    from tests.conftest import write_faceset

    made = write_faceset(folder, people, 2)
    empty = dict.fromkeys(faceset.SKIPPED_COLUMNS, "")
    lost = [
        {**empty, "source": "p00/z,\"1.jpg", "identity": "p00", "condition": "mask", "reason": "no_face", "detail": "small"},
        {**empty, "source": "stray.txt", "reason": "no_person", "detail": "not in a person's folder"},
    ]  # fmt: skip
    about = {"kit_version": "test", "options": {"mask_on": "photo", "ratio": 0.5}}
    rows = made.table.to_pylist()
    for row in rows:
        row["mask"] = '{"look": "flat", "coverage": 0.4}' if row["clean_key"] else ""
    faceset.write_rows(folder, [(rows, lost)], about)


def read_set(folder: Path) -> None:
    """Open a set and use everything that it says."""
    from mfr_kit.data.faceset import FaceSet
    from mfr_kit.data.formats import face_set
    from mfr_kit.evaluation import groups
    from mfr_kit.evaluation.faces import from_set
    from mfr_kit.training import drift

    faces = FaceSet.open(folder)
    for name in ("people", "keys", "sources", "identities", "conditions", "clean_keys", "masks", "scores", "similarities", "fingerprint", "name", "counts"):  # fmt: skip
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
        assert np.isfinite(drift.from_clean_to_twin(faces.similarities[twins], faces.similarities[twins])).all()  # fmt: skip
    drift.measured(faces)
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
    """Load a run as a model, as a start, for a record, for its options, and go on with its journal."""
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
    checkpoint.save(folder, state)


def read_checkpoint(folder: Path) -> None:
    """Restore a run and make a step."""
    import torch

    from mfr_kit.training import checkpoint

    state = _state(folder)
    if checkpoint.restore(folder, state, 10):
        assert 0 <= state.step <= 10 and all(torch.isfinite(value).all() for value in state.result().values())  # fmt: skip
        _step(state)


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


SET_KINDS = {
    "faces.parquet": (damage.bytes_of, damage.parquet_file, damage.parquet_file),
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
}
