"""What every training-set format gives and takes: encoded photographs with the name of a person each."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from mfr_kit.errors import KitError

_SIGNATURES = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"P5", ".pgm"),
    (b"P6", ".ppm"),
)


@dataclass(frozen=True)
class TrainingSet:
    """N photographs of P people; photographs are read when asked for. Picklable."""

    path: Path
    people: Sequence[str]  # (P,) names; some may have no photograph
    labels: np.ndarray  # (N,) int32 rows of `people`
    names: Sequence[str]  # (N,) the photographs' paths inside the set
    encoded: Callable[[int], bytes]  # the image file, as stored

    def __len__(self) -> int:
        return len(self.labels)

    def person(self, index: int) -> str:
        """Name the person of a photograph."""
        return self.people[self.labels[index]]

    def by_person(self) -> np.ndarray:
        """(N,) indices, ordered by person and within a person as stored."""
        return np.argsort(self.labels, kind="stable")


def from_names(
    path: Path, identities: Sequence[str], names: Sequence[str], encoded: Callable[[int], bytes]
) -> TrainingSet:
    """Build a set from one identity a photograph; people are sorted by name (by number where all names are numbers)."""
    numeric = all(name.isascii() and name.isdigit() for name in set(identities))
    people = sorted(set(identities), key=(lambda name: (int(name), name)) if numeric else None)
    rows = {name: row for row, name in enumerate(people)}
    return TrainingSet(
        path,
        people,
        np.fromiter((rows[name] for name in identities), np.int32, len(identities)),
        names,
        encoded,
    )


def suffix_of(data: bytes, where: str) -> str:
    """Tell an encoded image's file name suffix from its first bytes.

    Raises:
        KitError: no image format that the kit writes into folders.
    """
    for signature, suffix in _SIGNATURES:
        if data.startswith(signature):
            return suffix
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    raise KitError(
        f"{where}: not an image file (it begins with {bytes(data[:8])!r}); convert to a .rec, or leave it out"
    )


def lay_out(source: TrainingSet) -> Iterator[tuple[int, str, str, bytes]]:
    """Yield `(index, person, path, data)` for writing files `path` = "person/...": ordered by person, no two alike in any letter case.

    Raises:
        KitError: a person's name that cannot name a folder.
    """
    person, taken = None, set()
    for index in source.by_person():
        if source.person(index) != person:
            person, taken = source.person(index), set()
            if person in ("", ".", "..") or any(
                character in person for character in '/\\:*?"<>|\0\n'
            ):
                raise KitError(
                    f"{source.path}: a person is called {person!r}, which cannot name a folder; rename the person first"
                )
        data, name = source.encoded(index), source.names[index]
        suffix = suffix_of(data, f"{source.path}: {name}")
        inner = name.removeprefix(f"{person}/")
        parts = PurePosixPath(inner).parts
        if inner == name or any(part in ("..", "/") for part in parts):
            parts = parts[-1:]
        stem = PurePosixPath(person, *parts)
        stem = stem.with_suffix("") if stem.suffix.lower() in (suffix, ".jpeg", ".tiff") else stem
        path, number = f"{stem}{suffix}", 1
        while path.lower() in taken:
            number += 1
            path = f"{stem}_{number}{suffix}"
        taken.add(path.lower())
        yield index, person, path, data


def digest(source: TrainingSet) -> tuple[int, int, str]:
    """Count photographs and people and sum a hash of (person, image bytes): equal for equal content in any order and format."""
    total, people = 0, set()
    for index in range(len(source)):
        person = source.person(index)
        people.add(person)
        mark = hashlib.blake2b(person.encode() + b"\0", digest_size=16)
        mark.update(source.encoded(index))
        total += int.from_bytes(mark.digest(), "little")
    return len(source), len(people), f"{total % (1 << 128):032x}"


def read_file(path: Path, named_in: Path) -> bytes:
    """Read a file that a list names.

    Raises:
        KitError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise KitError(
            f"{path}: named in {named_in} but cannot be read ({error.strerror})"
        ) from None


@dataclass(frozen=True)
class Files:
    """The `encoded` of a set whose photographs are files below a folder."""

    folder: Path
    names: Sequence[str]
    named_in: Path

    def __call__(self, index: int) -> bytes:
        return read_file(self.folder / self.names[index], self.named_in)
