"""What `fuzz_side_files.py` damages and how it reads it: one campaign a family of side files, each read as the commands do."""

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


SET_KINDS = {
    "faces.parquet": (damage.bytes_of, damage.parquet_file, damage.parquet_file),
    "skipped.csv": (*TEXT, damage.csv_of, damage.csv_of),
    "faceset.json": (*TEXT, damage.json_of, damage.json_of, damage.json_of),
}

CAMPAIGNS = {
    "sets": Campaign(make_set, read_set, SET_KINDS),
    "parquet": Campaign(make_set, read_set, {"faces.parquet": SET_KINDS["faces.parquet"]}),
}
