"""One pass over a training set: what is kept of each photograph to compare it with others.

Of a photograph some bytes are held in memory; embeddings are in a file without a name, which is
gone with the process.
"""

import hashlib
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mfr_kit.audit.unit_rows import UnitRows
from mfr_kit.data.alignment.align import as_crop
from mfr_kit.data.alignment.detection import Detector
from mfr_kit.data.alignment.upright import find_crop_turn, find_upright
from mfr_kit.data.convert import describe, open_any
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.face_set.row_file import NO_TWIN
from mfr_kit.data.images import decode_rgb
from mfr_kit.data.training_set import TrainingSet, from_codes
from mfr_kit.errors import KitError, SetError
from mfr_kit.models.embedders import Embedder
from mfr_kit.models.picture_stream import embed_pictures
from mfr_kit.models.rounding import tell_rounding
from mfr_kit.progress import step_through

BATCH = 64
BLOCK = 8192  # rows read from a bank at a time


@dataclass(frozen=True)
class Scan:
    """What one pass over a set keeps of each photograph that is an image."""

    source: TrainingSet
    files: np.ndarray  # (N,) uint64 hash of the file
    pixels: np.ndarray  # (N,) uint64 hash of the decoded pixels
    # (N, D) float32, unit length, a memory map; None where the photographs are not aligned
    embeddings: np.ndarray | None
    unreadable: tuple[tuple[str, str], ...] = ()  # (person, photograph) of what is no image
    turned: tuple[tuple[int, int], ...] = ()  # (row, quarter turns that bring it upright)
    kept: Sequence[int] = ()  # (N,) rows of these photographs in the set as opened

    def of(self, row: int) -> tuple[str, str]:
        """Person and photograph."""
        return self.source.person(row), self.source.names[row]


def open_set(
    path: Path,
    level: int | None = None,
    say: Callable[[str], None] = lambda line: None,
    allow_outside: bool = False,
) -> TrainingSet:
    """Open any training set without its masked twins; a face set's faces under the names of their
    photographs.

    Args:
        path: the set.
        level: see `convert.open_any`.
        say: gets the lines that say what was found.
        allow_outside: see `convert.open_any`.
    """
    chosen, source = open_any(path, None, level, allow_outside)
    for line in describe(source, chosen):
        say(line)
    source = source.select(np.flatnonzero(~source.twins))
    if chosen != "face-set":
        return source
    faces = open_faces(path)
    return from_codes(path, faces.names, faces.codes, list(faces.sources), faces.encoded)


def scan(
    source: TrainingSet,
    embedder: Embedder | None,
    detector: Detector | None = None,
    folder: Path | None = None,
) -> Scan:
    """Read every photograph once: hash it, decode it, embed it (if all are aligned faces and there
    is an embedder).

    Args:
        source: the set.
        embedder: compares aligned faces.
        detector: finds photographs that lie on their side or upside down.
        folder: on the disk that embeddings are written to; None for the system's temporary one.

    Raises:
        KitError: none is an image; or what is wrong concerns the set as a whole.
    """
    files, pixels, kept = array("Q"), array("Q"), array("q")
    bad, turned = [], []
    faces: _Faces | _FacesElsewhere | None = None
    if embedder is not None and hasattr(embedder, "embed_blocks"):
        faces = _FacesElsewhere(embedder, source, kept, folder)
    elif embedder is not None:
        faces = _Faces(embedder, str(source.path), folder)
    for row in step_through(range(len(source)), "reading", "photographs"):
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
        pixels.append(_hash(np.ascontiguousarray(image).data))
        crop = as_crop(image)
        if detector is not None and (turns := _turns(detector, image, crop)):
            turned.append((len(kept) - 1, turns))
        if crop is None:
            faces = None
        elif faces is not None:
            faces.add(crop[0])
    if not kept:
        raise KitError(
            f"{source.path}: none of the {len(source)} photographs can be read: {bad[0][1]}"
        )
    embeddings = None if faces is None else faces.finish()
    unreadable = tuple((source.person(row), source.names[row]) for row, _ in bad)
    hashes = np.array(files, np.uint64), np.array(pixels, np.uint64)
    chosen = source.select(np.array(kept))
    return Scan(chosen, *hashes, embeddings, unreadable, tuple(turned), kept)


class _Faces:
    """Embeds faces as they come, a batch at a time."""

    def __init__(self, embedder: Embedder, where: str, folder: Path | None) -> None:
        self._embedder, self._where = embedder, where
        self._batch: list[np.ndarray] = []
        self._rows = UnitRows(folder)

    def add(self, face: np.ndarray) -> None:
        self._batch.append(face)
        if len(self._batch) == BATCH:
            self._embed()

    def finish(self) -> np.ndarray:
        if self._batch:
            self._embed()
        return self._rows.finish()

    def _embed(self) -> None:
        batch = self._batch
        if not len(self._rows):
            tell_rounding(self._embedder, len(batch), batch.__getitem__, self._where)
        self._rows.add(self._embedder.embed(np.stack(batch)))
        self._batch = []


class _FacesElsewhere:
    """Has actors embed faces, who read them again: what is hashed here and embedded there."""

    def __init__(
        self, embedder: Embedder, source: TrainingSet, kept: Sequence[int], folder: Path | None
    ) -> None:
        self._embedder, self._source, self._kept = embedder, source, kept
        self._rows = UnitRows(folder)

    def add(self, face: np.ndarray) -> None:
        """Do nothing: its row is among those kept."""

    def finish(self) -> np.ndarray:
        crops = _Crops(self._source, np.array(self._kept))
        tell_rounding(self._embedder, min(BATCH, len(crops)), crops.image, crops.name)
        spans = [(0, len(crops))]
        for start, _, found in embed_pictures(self._embedder, crops, spans, BATCH, mirrored=False):
            self._rows.add(found, start)
        return self._rows.finish()


@dataclass(frozen=True)
class _Crops:
    """Aligned faces of a set, as pictures."""

    source: TrainingSet
    rows: np.ndarray
    fingerprint = ""  # nothing of them is kept

    @property
    def name(self) -> str:
        return str(self.source.path)

    def __len__(self) -> int:
        return len(self.rows)

    def image(self, index: int) -> np.ndarray:
        row = self.rows[index]
        where = f"{self.name}: {self.source.names[row]}"
        crop = as_crop(decode_rgb(self.source.encoded(row), where))
        if crop is None:
            raise KitError(f"{where} has changed since it was hashed: start again")
        return crop[0]


def scan_with_bank(
    source: TrainingSet,
    embedder: Embedder,
    root: Path,
    detector: Detector | None = None,
    folder: Path | None = None,
) -> Scan:
    """Do what `scan` does, with embeddings from a bank of the set's faces, as `distill` fills and
    reads it under `root`; what it lacks is computed.

    Raises:
        KitError: the set is no face set, or what `scan` and `bank.store` raise.
    """
    from mfr_kit.training.teacher import bank

    faces = open_faces(source.path)
    scanned = scan(source, None, detector)
    kept = faces if len(scanned.kept) == len(faces) else faces.select(scanned.kept)
    stored = bank.store(root, kept, embedder)
    rows = UnitRows(folder)
    for start in range(0, len(kept), BLOCK):
        rows.add(stored.rows(np.arange(start, min(start + BLOCK, len(kept)))))
    return replace(scanned, embeddings=rows.finish())


def open_faces(path: Path) -> FaceSet:
    """Open a face set without its masked twins.

    Raises:
        KitError: it is none.
    """
    faces = FaceSet.open(path)
    own = np.full(len(faces), True)
    if faces.clean_rows is not None:
        own = faces.clean_rows == NO_TWIN
    if not faces.masked[own].any():
        return faces.clean()  # the selection that distill's banks are named by
    return faces.select(own)


def _turns(detector: Detector, image: np.ndarray, crop: tuple | None) -> int:
    return find_upright(detector, image)[0] if crop is None else find_crop_turn(detector, crop[0])


def _hash(data: bytes | memoryview) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
