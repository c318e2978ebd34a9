"""One pass over a training set: what is kept of each photograph to compare it with others."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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
from mfr_kit.models.rounding import tell_rounding

BATCH = 64


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
    if faces.clean_rows is not None:
        faces = faces.select(faces.clean_rows == NO_TWIN)
    return from_codes(path, faces.names, faces.codes, list(faces.sources), faces.encoded)


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
    files, pixels, batch, kept, bad, turned = [], [], [], [], [], []
    parts: list[np.ndarray] = []

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
        pixels.append(_hash(np.ascontiguousarray(image).data))
        crop = as_crop(image)
        if detector is not None and (turns := _turns(detector, image, crop)):
            turned.append((len(kept) - 1, turns))
        if crop is None:
            embedder = None
        elif embedder is not None:
            batch.append(crop[0])
            if len(batch) == BATCH:
                parts.append(_embed(embedder, batch, source, first=not parts))
                batch = []
    if not kept:
        raise KitError(
            f"{source.path}: none of the {len(source)} photographs can be read: {bad[0][1]}"
        )
    embeddings = None
    if embedder is not None:
        parts += [_embed(embedder, batch, source, first=not parts)] if batch else []
        embeddings = np.concatenate(parts).astype(np.float32)
        embeddings /= np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    unreadable = tuple((source.person(row), source.names[row]) for row, _ in bad)
    hashes = np.array(files, np.uint64), np.array(pixels, np.uint64)
    chosen = source.select(np.array(kept))
    return Scan(chosen, *hashes, embeddings, unreadable, tuple(turned))


def _embed(embedder: Embedder, batch: list, source: TrainingSet, first: bool) -> np.ndarray:
    if first:
        tell_rounding(embedder, len(batch), batch.__getitem__, str(source.path))
    return embedder.embed(np.stack(batch))


def _turns(detector: Detector, image: np.ndarray, crop: tuple | None) -> int:
    return find_upright(detector, image)[0] if crop is None else find_crop_turn(detector, crop[0])


def _hash(data: bytes | memoryview) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
