"""Look for what is wrong with a training set: the same photograph twice, one person under two
names, photographs under a wrong name.
"""

import csv
import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from mfr_kit.audit.neighbours import likeness_to_own, nearest, nearest_stranger, twins_within
from mfr_kit.data import lists
from mfr_kit.data.alignment.align import as_crop
from mfr_kit.data.alignment.detection import Detector
from mfr_kit.data.alignment.upright import find_crop_turn, find_upright
from mfr_kit.data.convert import describe, open_any
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.images import decode_rgb
from mfr_kit.data.training_set import TrainingSet, from_names
from mfr_kit.errors import KitError, SetError
from mfr_kit.files import write_text
from mfr_kit.models.embedders import Embedder

BATCH = 64


@dataclass(frozen=True)
class Thresholds:
    """Cosines between embeddings of the model that is used; the defaults are for SFace.

    Measured on LFW's held-out people (1,585 photographs, 600 people): the nearest stranger is at
    0.37 in the median and 0.54 at most, the mean of a person's own photographs at 0.66 in the
    median and above 0.43 for 99 %; the two photographs below 0.2 bear wrong names.
    """

    same_photo: float = 0.95
    same_person: float = 0.65
    label_error: float = 0.2


@dataclass(frozen=True)
class Finding:
    """One row of findings.csv. `exclude`: the photograph is in exclude.txt."""

    kind: str
    person: str
    photo: str
    other_person: str = ""
    other_photo: str = ""
    likeness: float = float("nan")  # cosine
    exclude: bool = False


@dataclass(frozen=True)
class Scan:
    """What one pass over a set keeps of each photograph that is an image."""

    source: TrainingSet
    files: np.ndarray  # (N,) uint64 hash of the file
    pixels: np.ndarray  # (N,) uint64 hash of the decoded pixels
    # (N, D) float32, unit length; None where the photographs are not aligned
    embeddings: np.ndarray | None
    unreadable: tuple[tuple[str, str], ...] = ()  # (person, photograph) of what is no image
    turned: tuple[tuple[int, int], ...] = ()  # (row, quarter turns that bring it upright)

    def of(self, row: int) -> tuple[str, str]:
        """Person and photograph."""
        return self.source.person(row), self.source.names[row]


def open_set(
    path: Path, level: int | None = None, say: Callable[[str], None] = lambda line: None
) -> TrainingSet:
    """Open any training set without its masked twins; a face set's faces under the names of their
    photographs.

    Args:
        path: the set.
        level: see `convert.open_any`.
        say: gets the lines that say what was found.
    """
    chosen, source = open_any(path, level=level)
    for line in describe(source, chosen):
        say(line)
    source = source.select(np.flatnonzero(~source.twins))
    if chosen != "face-set":
        return source
    faces = FaceSet.open(path)
    faces = faces.select(np.array([not key for key in faces.clean_keys], bool))
    return from_names(path, list(faces.identities), list(faces.sources), faces.encoded)


def scan(source: TrainingSet, embedder: Embedder | None, detector: Detector | None = None) -> Scan:
    """Read every photograph once: hash it, decode it, embed it (if all are aligned faces and there
    is an embedder).

    Args:
        source: the set.
        embedder: compares aligned faces.
        detector: finds photographs that lie on their side or upside down.

    Raises:
        KitError: none is an image; or what is wrong concerns the set as a whole.
    """
    files, pixels, parts, batch, kept, bad, turned = [], [], [], [], [], [], []
    for row in range(len(source)):
        try:
            data = source.encoded(row)
            image = decode_rgb(data, f"{source.path}: {source.names[row]}")
        except SetError:
            raise
        except KitError as error:
            bad.append((row, error))
            continue
        kept.append(row)
        files.append(_hash(data))
        pixels.append(_hash(np.ascontiguousarray(image)))
        crop = as_crop(image)
        if detector is not None and (turns := _turns(detector, image, crop)):
            turned.append((len(kept) - 1, turns))
        if crop is None:
            embedder = None
        if embedder is not None:
            batch.append(crop[0])
            if len(batch) == BATCH:
                parts.append(embedder.embed(np.stack(batch)))
                batch = []
    if not kept:
        raise KitError(
            f"{source.path}: none of the {len(source)} photographs can be read: {bad[0][1]}"
        )
    embeddings = None
    if embedder is not None:
        parts += [embedder.embed(np.stack(batch))] if batch else []
        embeddings = np.concatenate(parts).astype(np.float32)
        embeddings /= np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    unreadable = tuple((source.person(row), source.names[row]) for row, _ in bad)
    hashes = np.array(files, np.uint64), np.array(pixels, np.uint64)
    chosen = source.select(np.array(kept))
    return Scan(chosen, *hashes, embeddings, unreadable, tuple(turned))


def _turns(detector: Detector, image: np.ndarray, crop: tuple | None) -> int:
    return find_upright(detector, image)[0] if crop is None else find_crop_turn(detector, crop[0])


def within(one: Scan, limits: Thresholds) -> Iterator[Finding]:
    """Find what is wrong inside a set, the certain before the likely."""
    yield from _single(one)
    told = set()
    for kind, hashes in (("same file", one.files), ("same pixels", one.pixels)):
        for first, row in _repeats(hashes):
            if row not in told:
                told.add(row)
                yield from _duplicate(one, kind, first, row)
    if one.embeddings is not None:
        for first, row, likeness in twins_within(
            one.embeddings, one.source.labels, limits.same_photo
        ):
            if row not in told:
                told.add(row)
                yield Finding("near duplicate", *one.of(row), *one.of(first), likeness, True)
        yield from _names(one, limits, told)
    _, rows, counts = np.unique(one.source.labels, return_index=True, return_counts=True)
    for row in rows[counts == 1]:
        yield Finding("one photo", *one.of(int(row)))


def _single(one: Scan) -> Iterator[Finding]:
    """Find what concerns a photograph alone."""
    for person, photo in one.unreadable:
        yield Finding("unreadable", person, photo, exclude=True)
    for row in one.source.skipped:
        yield Finding(f"left out ({row['reason']})", row["identity"], row["source"])
    for row, turns in one.turned:
        yield Finding(f"turned by {90 * turns} degrees", *one.of(row))


def between(one: Scan, other: Scan, limits: Thresholds) -> Iterator[Finding]:
    """Find the photographs of the first set whose photograph or person is in the second too."""
    by_pixels = {int(value): row for row, value in enumerate(other.pixels)}
    people = {other.source.person(row): row for row in range(len(other.source) - 1, -1, -1)}
    best = (
        nearest(one.embeddings, other.embeddings)
        if one.embeddings is not None and other.embeddings is not None
        else None
    )
    for row in range(len(one.source)):
        person = one.source.person(row)
        if int(one.pixels[row]) in by_pixels:
            yield Finding(
                "photo in both", *one.of(row), *other.of(by_pixels[int(one.pixels[row])]), 1.0, True
            )
        elif person in people:
            yield Finding("name in both", *one.of(row), *other.of(people[person]), exclude=True)
        elif best is not None and best[1][row] >= limits.same_person:
            yield Finding(
                "person in both",
                *one.of(row),
                *other.of(int(best[0][row])),
                float(best[1][row]),
                True,
            )


def save(findings: list[Finding], folder: Path) -> int:
    """Write findings.csv and exclude.txt (one photograph a line, for `augment --exclude`);
    return how many are to be excluded.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(Finding))
    for item in findings:
        *texts, likeness, exclude = astuple(item)
        writer.writerow([*texts, "" if np.isnan(likeness) else f"{likeness:.3f}", int(exclude)])
    write_text(folder / "findings.csv", text.getvalue())
    excluded = sorted({item.photo for item in findings if item.exclude})
    lists.write_names(folder / "exclude.txt", excluded)
    return len(excluded)


def _names(one: Scan, limits: Thresholds, told: set[int]) -> Iterator[Finding]:
    """Find people under two names (the one with fewer photographs is to be excluded) and
    photographs unlike the rest of their person's.
    """
    labels, count = one.source.labels, np.bincount(one.source.labels)
    stranger, likeness = nearest_stranger(one.embeddings, labels)
    pairs = {}
    for row in np.flatnonzero(likeness >= limits.same_person):
        pair = tuple(
            sorted(
                (int(labels[row]), int(labels[stranger[row]])),
                key=lambda label: (count[label], -label),
            )
        )
        if pair not in pairs or likeness[row] > pairs[pair][2]:
            rows = (int(row), int(stranger[row]))
            pairs[pair] = (
                *(rows if labels[rows[0]] == pair[0] else rows[::-1]),
                float(likeness[row]),
            )
    for pair, (first, second, value) in sorted(pairs.items(), key=lambda item: -item[1][2]):
        for row in np.flatnonzero(labels == pair[0]):
            yield Finding(
                "two names",
                *one.of(int(row)),
                *one.of(second),
                value if row == first else float("nan"),
                True,
            )
    own = likeness_to_own(one.embeddings, labels)
    for row in np.flatnonzero((own < limits.label_error) & (likeness > own)):
        if int(row) not in told:
            yield Finding(
                "likely label error",
                *one.of(int(row)),
                *one.of(int(stranger[row])),
                float(own[row]),
                True,
            )


def _duplicate(one: Scan, kind: str, first: int, row: int) -> Iterator[Finding]:
    """One person's second copy goes; of a photograph under two names every copy goes, for nobody
    knows whose it is.
    """
    torn = one.source.labels[first] != one.source.labels[row]
    yield Finding(f"{kind}, two names" if torn else kind, *one.of(row), *one.of(first), 1.0, True)
    if torn:
        yield Finding(f"{kind}, two names", *one.of(first), *one.of(row), 1.0, True)


def _repeats(hashes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield (first, later) rows of equal hashes."""
    order = np.argsort(hashes, kind="stable")
    same = hashes[order][1:] == hashes[order][:-1]
    first = 0
    for position, repeated in enumerate(same, 1):
        if repeated:
            yield int(order[first]), int(order[position])
        else:
            first = position


def _hash(data: bytes | np.ndarray) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
