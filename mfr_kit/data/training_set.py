"""What every training-set format gives and takes: encoded photographs with the name of a person
each.
"""

import contextlib
import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mfr_kit.data.image_headers import kind_of
from mfr_kit.data.named_files import read_named
from mfr_kit.data.photographs.masked_names import find_twins
from mfr_kit.errors import KitError
from mfr_kit.progress import Progress, step_through

MARKS = 1 << 128
GONE = -2  # in `clean`: a twin whose clean face is not there
_SUFFIXES = {"jpeg": ".jpg", "tiff": ".tif", "jpeg2000": ".jp2"}  # of other kinds their name
_ANYMAPS = {1: ".pbm", 2: ".pgm", 3: ".ppm", 4: ".pbm", 5: ".pgm", 6: ".ppm"}


@dataclass(frozen=True)
class TrainingSet:
    """N photographs of P people; photographs are read when asked for. Picklable."""

    path: Path
    people: Sequence[str]  # (P,) names; some may have no photograph
    labels: np.ndarray  # (N,) int32 rows of `people`
    names: Sequence[str]  # (N,) the photographs' paths inside the set
    encoded: Callable[[int], bytes]  # the image file, as stored
    masked: np.ndarray | None = None  # (N,) bool, the face wears a mask; None: none is known to
    clean: np.ndarray | None = None  # (N,) int64, of a twin its clean face's row, GONE, or -1
    facts: Callable[[int], dict] | None = None  # the row of a face set, where it is one
    skipped: tuple[dict, ...] = ()  # rows of SKIPPED_COLUMNS: what is there and cannot be used
    remarks: tuple[str, ...] = ()  # lines that say what was found where it was looked for

    def __len__(self) -> int:
        return len(self.labels)

    def person(self, index: int) -> str:
        """Name the person of a photograph."""
        return self.people[self.labels[index]]

    def is_masked(self, index: int) -> bool:
        """Whether the face is known to wear a mask, drawn or real."""
        return self.masked is not None and bool(self.masked[index])

    def clean_row(self, index: int) -> int:
        """Of a masked twin the row of its clean face; negative where there is none."""
        return -1 if self.clean is None else int(self.clean[index])

    @property
    def twins(self) -> np.ndarray:
        """(N,) bool: the photograph is a clean face's masked twin."""
        return np.zeros(len(self), bool) if self.clean is None else self.clean != -1

    def by_person(self) -> np.ndarray:
        """(N,) indices, ordered by person and within a person as stored, but a twin directly
        after its clean face.
        """
        if self.clean is None:
            return np.argsort(self.labels, kind="stable")
        rows, twins = np.arange(len(self)), self.clean >= 0
        return np.lexsort((rows, twins, np.where(twins, self.clean, rows), self.labels))

    def select(self, rows: np.ndarray) -> "TrainingSet":
        """Keep some photographs, by ascending index; a twin whose clean face goes stays a masked
        twin.
        """
        rows = np.asarray(rows, np.int64)
        if len(rows) == len(self):
            return self
        clean = None
        if self.clean is not None:
            moved = np.full(len(self), GONE, np.int64)
            moved[rows] = np.arange(len(rows))
            clean = np.where(self.clean[rows] < 0, self.clean[rows], moved[self.clean[rows]])
        return replace(
            self,
            labels=self.labels[rows],
            names=_Chosen(self.names, rows),
            encoded=_Moved(self.encoded, rows),
            masked=None if self.masked is None else self.masked[rows],
            clean=clean,
            facts=None if self.facts is None else _Moved(self.facts, rows),
        )


@dataclass(frozen=True)
class _Chosen(Sequence):
    """Some of the names."""

    names: Sequence[str]
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> str:  # type: ignore[override]  # nobody slices it
        return self.names[int(self.rows[row])]


@dataclass(frozen=True)
class _Moved:
    """A function of a row, with the rows numbered anew."""

    function: Callable[[int], Any]
    rows: np.ndarray

    def __call__(self, row: int) -> Any:
        return self.function(int(self.rows[row]))


def from_names(
    path: Path,
    identities: Sequence[str],
    names: Sequence[str],
    encoded: Callable[[int], bytes],
    masked: np.ndarray | None = None,
) -> TrainingSet:
    """Build a set from one identity a photograph; people are sorted by name (by number where all
    names are numbers).

    Args:
        path: of the set.
        identities: (N,) names of people.
        names: (N,) paths of the photographs, with /.
        encoded: reads an image.
        masked: (N,) bool; twins are found among them by their names.
    """
    people = _sort_people(set(identities))
    rows = {name: row for row, name in enumerate(people)}
    labels = np.fromiter((rows[name] for name in identities), np.int32, len(identities))
    if masked is None or not masked.any():
        return TrainingSet(path, people, labels, names, encoded)
    clean = find_twins(names, labels, masked)
    return TrainingSet(path, people, labels, names, encoded, masked, clean)


def from_codes(
    path: Path,
    known: Sequence[str],
    codes: np.ndarray,
    names: Sequence[str],
    encoded: Callable[[int], bytes],
) -> TrainingSet:
    """Build what `from_names` builds from (N,) whole numbers, rows of the names `known`, each of
    which at least one photograph has.
    """
    people = _sort_people(known)
    rows = {name: row for row, name in enumerate(people)}
    places = np.array([rows[name] for name in known], np.int32)
    return TrainingSet(path, people, places[codes], names, encoded)


def _sort_people(names: Collection[str]) -> list[str]:
    """Sort by name, or by number where all names are numbers."""
    numeric = all(name.isascii() and name.isdigit() for name in names)
    return sorted(names, key=(lambda name: (int(name), name)) if numeric else None)


def suffix_of(data: bytes, where: str) -> str:
    """Tell an encoded image's file name suffix from its first bytes.

    Raises:
        KitError: no image format that the kit writes into folders.
    """
    kind = kind_of(bytes(data[:32]))
    if kind == "pnm":
        return _ANYMAPS[int(data[1:2])]
    if kind is not None:
        return _SUFFIXES.get(kind, f".{kind}")
    raise KitError(
        f"{where}: not an image file (it begins with {bytes(data[:8])!r}); convert to a .rec, or "
        "leave it out"
    )


@contextlib.contextmanager
def showing_progress(source: TrainingSet) -> Iterator[TrainingSet]:
    """Lend a set that shows how many of its photographs a writer has taken."""
    with Progress(len(source), "writing", "photographs") as progress:

        def encoded(index: int) -> bytes:
            progress.move_to(min(progress.done + 1, progress.total))
            return source.encoded(index)

        yield replace(source, encoded=encoded)


def digest(source: TrainingSet) -> tuple[int, int, str]:
    """Count photographs and people and sum `mark`s: equal for equal content in any order and
    format.
    """
    total, people = 0, set()
    for index in step_through(range(len(source)), "reading back", "photographs"):
        people.add(source.person(index))
        total += mark(source, index, source.encoded(index))
    return len(source), len(people), f"{total % MARKS:032x}"


def mark(source: TrainingSet, index: int, data: bytes) -> int:
    """Hash a photograph: its person, its bytes and, where it is masked, that it is, and whether
    it is a twin.
    """
    kind = b"" if not source.is_masked(index) else b"mask\0"
    kind += b"twin\0" if source.clean_row(index) >= 0 else b""
    person = source.person(index).encode("utf-8", "surrogateescape")
    found = hashlib.blake2b(person + b"\0" + kind, digest_size=16)
    found.update(data)
    return int.from_bytes(found.digest(), "little")


@dataclass(frozen=True)
class Files:
    """The `encoded` of a set whose photographs are files below a folder (see `read_named`)."""

    folder: Path
    names: Sequence[str]
    named_in: Path
    allow_outside: bool = False

    def __call__(self, index: int) -> bytes:
        return read_named(self.folder, self.names[index], self.named_in, self.allow_outside)
