"""An ONNX recogniser, ours or anybody's, that onnxruntime runs, on the CPU or a CUDA device."""

import copy
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.models import identity, input_format, preprocess
from mfr_kit.models import lineage as lineages
from mfr_kit.models.notes import say_once
from mfr_kit.models.onnx_models.bound_session import BoundSession
from mfr_kit.models.onnx_models.onnx_file import printable
from mfr_kit.models.onnx_models.runtime import metadata_of, open_session
from mfr_kit.models.onnx_models.signature import Signature, read_signature
from mfr_kit.providers import Provider
from mfr_kit.seeding import rng_for

# largest difference, of the largest value, between a face alone and the same face in a batch
AGREE = 1e-3


class OnnxEmbedder:
    """An ONNX recogniser on the CPU, read from `path`; `moved` gives it on a device.

    A graph with a fixed batch size is fed batches of that size, the last one padded; one that says
    its batch is free and stops at two faces, or mixes them, is fed one by one.

    Args:
        path: of the file.
        normalisation: as `input_format.canonical` gives it, said for this very file.
        threads: CPU threads, 0 for all.
        name: what it is called; default: the file's name.
        lineage: what it descends from, where the file does not carry it.
        output: the output to keep where there are several.
        usual: the normalisation of files that do not say; needed where this one does not, by its
            metadata or its input's type.
    Raises:
        KitError: the file cannot be opened, is no recogniser of 112x112 faces, or does not run.
    """

    def __init__(
        self,
        path: Path,
        normalisation: str | None,
        threads: int = 0,
        *,
        name: str | None = None,
        lineage: dict | None = None,
        output: str | None = None,
        usual: str | None = None,
    ):
        self.path, self._threads = path, threads
        self.device, self.precision = "cpu", "float32"
        self._bound: BoundSession | None = None
        self._on_cpu: OnnxEmbedder | None = None
        self._session, self._is_quick = open_session(path, threads, quick=True), True
        meta = metadata_of(self._session, str(path))
        self.signature = read_signature(self._session, str(path), output)
        self.normalisation = _normalisation(
            path, normalisation, meta.get(preprocess.META_NORMALISATION), self.signature, usual
        )
        self.name = name or path.stem
        self.fingerprint = _fingerprint(path, self.signature)
        self.output = self.signature.output if self.signature.others else None
        self.lineage = lineage or _lineage(path, meta.get(preprocess.META_LINEAGE))
        # the sha256 of the weights that this file holds unrounded; None where it does not say
        self.exported_from = (
            None if preprocess.META_EDGE in meta else meta.get(preprocess.META_FINGERPRINT)
        )
        if output is not None and output != self.signature.output:
            say_once(
                f"{path} has one output, '{printable(self.signature.output)}': --output {output} "
                "is not for it"
            )
        if self.signature.layout == "NHWC":
            say_once(f"{path} takes faces as (N, 112, 112, 3): they are transposed for it")
        self.batch = self.signature.batch  # faces fed at once, None for any number
        self.embedding_size = self._try_out()

    @property
    def source(self) -> "OnnxEmbedder":
        """This recogniser on the CPU."""
        return self._on_cpu or self

    def moved(self, provider: Provider) -> "OnnxEmbedder":
        """Return this recogniser on a device; this one stays and is its `source`.

        Raises:
            KitError: onnxruntime does not have the provider, cannot start it, or fails on it.
        """
        import torch

        other = copy.copy(self)
        other._on_cpu = self
        other._session = open_session(self.path, self._threads, quick=True, provider=provider)
        place = torch.device("cuda", provider.number)
        other._bound = BoundSession(
            other._session, self.signature, self.normalisation, place, str(self.path)
        )
        other.device = provider.engine
        other.precision = "tf32" if provider.tf32 else "float32"
        other.embed(np.zeros((1, 112, 112, 3), np.uint8))  # what fails, fails here
        return other

    def embed_exact(self, faces: np.ndarray) -> np.ndarray:
        """As `embed`, in float32 on the CPU."""
        return self.source.embed(faces)

    def begin(self, faces: np.ndarray, mirrored: bool = False) -> Callable[[], np.ndarray]:
        """Return what gives the faces' embeddings, and with `mirrored` those of their mirror images
        behind them, which a device makes itself: (2 B, D).
        """
        if self._bound is not None and self.batch is None and len(faces):
            return self._bound.begin(faces, mirrored)
        found = self.embed(np.concatenate([faces, faces[:, :, ::-1]]) if mirrored else faces)
        return lambda: found

    def embed(self, faces: np.ndarray) -> np.ndarray:
        """(B, 112, 112, 3) uint8 RGB -> (B, D) float32, not normalised."""
        if len(faces) == 0:
            return np.zeros((0, self.embedding_size), np.float32)
        if self.batch is None:
            return self._run(faces)
        missing = -len(faces) % self.batch
        padded = np.concatenate([faces, np.zeros((missing, *faces.shape[1:]), faces.dtype)])
        parts = np.split(padded, len(padded) // self.batch)
        return np.concatenate([self._run(part) for part in parts])[: len(faces)]

    def _try_out(self) -> int:
        """Embed made-up faces, find out whether a free batch is one, and return D."""
        faces = rng_for(0, 2).integers(0, 256, (2, 112, 112, 3), dtype=np.uint8)
        if self.batch is not None:
            return self._run(np.repeat(faces[:1], self.batch, axis=0)).shape[1]
        alone = self._run(faces[:1])
        try:
            together = self._run(faces)
        except KitError:
            self.batch, reason = (
                1,
                "its batch is fixed at 1 inside, though its input says it is free",
            )
        else:
            if np.abs(together[:1] - alone).max() > AGREE * np.abs(alone).max():
                self.batch, reason = 1, "faces of a batch change each other's embeddings"
        if self.batch == 1:
            say_once(f"{self.path}: {reason}: faces are run one by one")
        return alone.shape[1]

    def _run(self, faces: np.ndarray) -> np.ndarray:
        if self._bound is not None:
            return self._bound.embed(faces)
        try:
            return self.signature.run(self._session, faces, self.normalisation, str(self.path))
        except KitError:
            if not self._is_quick:
                raise
        # the file as it is: it may run, and where it does not, the reason names the user's own
        # nodes
        self._session, self._is_quick = open_session(self.path, self._threads), False
        return self.signature.run(self._session, faces, self.normalisation, str(self.path))


def _fingerprint(path: Path, signature: Signature) -> str:
    """sha256 of the file and of others that hold its weights, and of the output's name where one
    was chosen of several.
    """
    found = identity.fingerprint_onnx(path)
    if not signature.others:
        return found
    return hashlib.sha256(f"{found} {signature.output}".encode()).hexdigest()


def _lineage(path: Path, stored: str | None) -> dict | None:
    if not stored:
        return None
    try:
        return lineages.parse(stored)
    except ValueError as error:
        say_once(
            f"{path}: metadata {preprocess.META_LINEAGE} cannot be read ({error}): what the "
            "model descends from is unknown"
        )
        return None


def _normalisation(
    path: Path, given: str | None, stored: str | None, signature: Signature, usual: str | None
) -> str:
    if stored is not None and not input_format.is_description(stored):
        say_once(f"{path} says that it takes '{printable(stored)}', which the kit does not know")
        stored = None
    stored = stored and input_format.canonical(stored)
    if signature.takes_pixels:
        stored = _of_pixels(path, given, stored, signature)
    if given and stored and given != stored:
        why = (
            "its input holds pixels only"
            if signature.takes_pixels
            else f"it was exported for {stored}"
        )
        raise KitError(f"{path} takes {stored} ({why}): leave ':{given}' behind it out")
    if stored and given is None and usual not in (None, stored):
        say_once(f"{path} takes {stored}, as it says itself: --normalisation {usual} is not for it")
    chosen = given or stored or usual
    if chosen is None:
        names = ", ".join(input_format.NORMALISATIONS)
        raise input_format.InputUnknown(
            f"{path} does not say how its input is normalised: add --normalisation NAME for "
            f"all models that do not say ({names}, or {input_format.FREE_FORM}), "
            f"or write it behind this one: {path}:{input_format.USUAL}; `kit.py inspect {path}` "
            "tries them"
        )
    return chosen


def _of_pixels(path: Path, given: str | None, stored: str | None, signature: Signature) -> str:
    """What an input of whole numbers takes, in the order of channels that is said."""
    if stored is not None and not input_format.parse(stored).is_pixels:
        raise KitError(
            f"{path} says in its metadata that it takes {stored}, but its input is "
            f"{signature.kind}, which holds pixels only"
        )
    if stored is None and given and input_format.parse(given).is_pixels:
        return given
    return stored or input_format.PIXELS
