"""Several face sets as one, for training on all of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfr_kit.data.face_set.row_file import NO_TWIN
from mfr_kit.data.formats import face_set
from mfr_kit.data.training_set import TrainingSet
from mfr_kit.errors import KitError


def merge(paths: Sequence[Path], dst: Path, in_records: bool = False) -> tuple[int, int]:
    """Write the faces, twins and skipped photographs of several face sets as one set, images'
    bytes unchanged.

    Args:
        paths: of two face sets or more.
        dst: the new set.
        in_records: images in `.rec` files.
    Returns:
        how many faces (with twins) and people the new set has; read back, it equals what was read.
    Raises:
        KitError: a path is no face set or is named twice, a person of the same name is in two of
            them, `dst` exists, or the copy differs.
    """
    if len({Path(path).resolve() for path in paths}) < max(2, len(paths)):
        raise KitError("merge takes two face sets or more, each once")
    merged = concatenate([face_set.open_set(path) for path in paths], dst)
    how = {"merged": [str(path) for path in paths]}
    return face_set.write_proved(dst, merged, in_records, how)[:2]


def concatenate(sources: Sequence[TrainingSet], path: Path) -> TrainingSet:
    """Put face sets of different people one after the other.

    Args:
        sources: opened face sets.
        path: what the whole is called in messages.
    Raises:
        KitError: a person of the same name is in two of them.
    """
    people: dict[str, Path] = {}
    for source in sources:
        for name in (source.people[row] for row in np.unique(source.labels)):
            if name in people:
                raise KitError(
                    f"a person called '{name}' is in {people[name]} and in {source.path}: the same "
                    "one, or another? rename people in one of them, or give one unlabelled set "
                    "identities by `kit.py cluster`"
                )
            people[name] = source.path
    rows = {name: row for row, name in enumerate(people)}
    starts = np.cumsum([0, *(len(source) for source in sources)])
    labels = [np.array([rows.get(name, -1) for name in source.people]) for source in sources]
    return TrainingSet(
        path,
        list(people),
        np.concatenate(
            [names[source.labels] for names, source in zip(labels, sources, strict=True)]
        ).astype(np.int32),
        _Names([source.names for source in sources], starts),
        _Rows([source.encoded for source in sources], starts),
        np.concatenate([_or_none(source, source.masked, False) for source in sources]),
        np.concatenate(
            [_moved(source, start) for source, start in zip(sources, starts[:-1], strict=True)]
        ),
        _Rows([source.facts for source in sources if source.facts], starts),
        tuple(row for source in sources for row in source.skipped),
    )


def _or_none(source: TrainingSet, values: np.ndarray | None, otherwise: Any) -> np.ndarray:
    return np.full(len(source), otherwise) if values is None else values


def _moved(source: TrainingSet, start: int) -> np.ndarray:
    clean = _or_none(source, source.clean, NO_TWIN)
    return np.where(clean >= 0, clean + start, clean)


@dataclass(frozen=True)
class _Rows:
    """A function of a row of the whole, from those of the parts."""

    parts: Sequence[Callable[[int], Any]]
    starts: np.ndarray

    def __call__(self, row: int) -> Any:
        part = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.parts[part](row - int(self.starts[part]))


@dataclass(frozen=True)
class _Names(Sequence):
    """The photographs' names of all parts."""

    parts: Sequence[Sequence[str]]
    starts: np.ndarray

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, row: int) -> str:  # type: ignore[override]  # nobody slices it
        return _Rows([part.__getitem__ for part in self.parts], self.starts)(row)
