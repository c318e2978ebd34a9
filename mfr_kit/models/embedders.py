"""Anything that embeds faces, behind one interface: an asset, an ONNX file, a state dict, a run folder of ours, or several of these."""

import json
from pathlib import Path
from typing import Protocol

import numpy as np

from mfr_kit import assets
from mfr_kit.errors import KitError
from mfr_kit.models import preprocess
from mfr_kit.models.ensemble import EnsembleEmbedder
from mfr_kit.models.runtime import open_session

ADAPTED = "student.onnx"  # the result in a run folder of `kit.py adapt`
ASSET_NORMALISATION = {
    "sface": "raw_0_255"
}  # the assets that are recognisers; sface-int8 is what OpenCV alone can run


class Embedder(Protocol):
    """What `load_embedder` returns. `fingerprint` is the sha256 of the weights, `lineage` None where the file does not tell."""

    name: str
    fingerprint: str
    embedding_size: int
    lineage: dict | None

    def embed(self, faces: np.ndarray) -> np.ndarray:
        """(B, 112, 112, 3) uint8 RGB -> (B, D) float32, not normalised; B may be anything from 0."""
        ...


def load_embedder(
    spec: str | Path, *, normalisation: str | None = None, threads: int = 0, device: str = "cpu"
) -> Embedder:
    """Load a recogniser.

    Args:
        spec: an asset ("sface"), a path to an .onnx, a run folder, a weights file inside one, a plain state dict (.pt, .pth) of one of our
            backbones at width 1 such as InsightFace's IResNets, or several of these with commas between them: an ensemble.
        normalisation: one of `preprocess.NORMALISATIONS`; needed for an .onnx that does not carry ours in its metadata.
        threads: CPU threads, 0 for all.
        device: "cpu" or "cuda", for run folders; onnxruntime runs on the CPU.
    Raises:
        KitError: not found, not a recogniser, or a normalisation missing or contradicting the file.
    """
    if str(spec) in ASSET_NORMALISATION:
        if normalisation not in (None, ASSET_NORMALISATION[str(spec)]):
            raise KitError(
                f"asset '{spec}' takes {ASSET_NORMALISATION[str(spec)]}, not --normalisation {normalisation}: leave the flag out"
            )
        entry = assets.asset(str(spec))
        return OnnxEmbedder(
            assets.path(entry.name),
            ASSET_NORMALISATION[entry.name],
            threads,
            name=entry.name,
            lineage=entry.lineage,
        )
    if "," in str(spec):
        parts = str(spec).split(",")
        return EnsembleEmbedder(
            [
                load_embedder(part, normalisation=normalisation, threads=threads, device=device)
                for part in parts
            ]
        )
    path = Path(spec)
    if path.suffix == ".onnx" and path.is_file():
        return OnnxEmbedder(path, normalisation, threads)
    if (path / ADAPTED).is_file() and not (path / "student.pt").is_file():
        return OnnxEmbedder(path / ADAPTED, normalisation, threads, name=path.name)
    if path.is_dir() or (path.suffix in (".pt", ".pth") and path.is_file()):
        if normalisation not in (None, "minus1_to_1"):
            raise KitError(
                f"our backbones take minus1_to_1, not --normalisation {normalisation}: leave the flag out"
            )
        return TorchEmbedder(path, threads, device)
    known = ", ".join(sorted(ASSET_NORMALISATION))
    raise KitError(
        f"no model '{spec}': it is no asset ({known}), no .onnx file, no state dict (.pt, .pth) and no run folder"
    )


class OnnxEmbedder:
    """An ONNX recogniser on the CPU, read from `path`. A graph with a fixed batch size is fed batches of that size, the last one padded."""

    def __init__(
        self,
        path: Path,
        normalisation: str | None,
        threads: int = 0,
        *,
        name: str | None = None,
        lineage: dict | None = None,
    ):
        self.path, self._session = path, open_session(path, threads, quick=True)
        meta = self._session.get_modelmeta().custom_metadata_map
        self.normalisation = _normalisation(
            path, normalisation, meta.get(preprocess.META_NORMALISATION)
        )
        self.name = name or path.stem
        self.fingerprint = assets.sha256_of(path)
        self.lineage = lineage or (
            json.loads(meta[preprocess.META_LINEAGE]) if preprocess.META_LINEAGE in meta else None
        )
        entry, outputs = self._session.get_inputs()[0], self._session.get_outputs()
        if len(entry.shape) != 4 or list(entry.shape[1:]) != [3, 112, 112] or len(outputs) != 1:
            raise KitError(
                f"{path} is no recogniser of 112x112 faces: input {entry.shape}, {len(outputs)} output(s)"
            )
        self._input = entry.name
        self._fixed = entry.shape[0] if isinstance(entry.shape[0], int) else None
        self.embedding_size = self.embed(np.zeros((1, 112, 112, 3), np.uint8)).shape[1]

    def embed(self, faces: np.ndarray) -> np.ndarray:
        """(B, 112, 112, 3) uint8 RGB -> (B, D) float32, not normalised."""
        if len(faces) == 0:
            return np.zeros((0, self.embedding_size), np.float32)
        planes = preprocess.to_input(faces, self.normalisation)
        if self._fixed is None:
            return self._run(planes)
        missing = -len(planes) % self._fixed
        padded = np.concatenate([planes, np.zeros((missing, *planes.shape[1:]), np.float32)])
        return np.concatenate(
            [self._run(part) for part in np.split(padded, len(padded) // self._fixed)]
        )[: len(faces)]

    def _run(self, planes: np.ndarray) -> np.ndarray:
        out = self._session.run(None, {self._input: planes})[0]
        if out.ndim != 2 or len(out) != len(planes):
            raise KitError(
                f"{self.name}: {len(planes)} faces gave an output of shape {out.shape}; a recogniser gives one row per face"
            )
        return np.asarray(out, np.float32)


class TorchEmbedder:
    """The student of one of our runs, or a plain state dict of one of our backbones."""

    def __init__(self, path: Path, threads: int = 0, device: str = "cpu"):
        import torch

        from mfr_kit.models import memory, weights

        memory.keep_freed()
        if threads:
            torch.set_num_threads(threads)
        if path.is_dir() or (path.parent / weights.CONFIG).is_file():
            run = weights.load_run(path)
            self.name, self.fingerprint, self.lineage, self.embedding_size = (
                run.name,
                run.fingerprint,
                run.lineage,
                run.embedding_size,
            )
            model = run.model
        else:
            model, self.embedding_size = weights.backbone_of(weights.read_state(path), str(path))
            self.name, self.fingerprint, self.lineage = path.stem, weights.sha256_of(path), None
        self.model, self._device = model.to(device), device

    def embed(self, faces: np.ndarray) -> np.ndarray:
        """(B, 112, 112, 3) uint8 RGB -> (B, D) float32, not normalised."""
        import torch

        if len(faces) == 0:
            return np.zeros((0, self.embedding_size), np.float32)
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(faces)).to(self._device)
            return self.model(preprocess.to_tensor(batch)).float().cpu().numpy()


def _normalisation(path: Path, given: str | None, stored: str | None) -> str:
    if given and stored and given != stored:
        raise KitError(
            f"{path} was exported for {stored}, but --normalisation says {given}: leave the flag out"
        )
    chosen = given or stored
    if chosen is None:
        names = " or ".join(preprocess.NORMALISATIONS)
        raise KitError(
            f"{path} does not say how its input is normalised: add --normalisation {names}"
        )
    return chosen
