"""Anything that embeds faces, behind one interface: an asset, an ONNX file, a state dict, a run folder of ours, or several of these."""

from pathlib import Path
from typing import Protocol

import numpy as np

from mfr_kit import assets
from mfr_kit.errors import KitError
from mfr_kit.models import preprocess
from mfr_kit.models.ensemble import EnsembleEmbedder
from mfr_kit.models.onnx_embedder import OnnxEmbedder

ADAPTED = "student.onnx"  # the result in a run folder of `kit.py adapt`
ASSET_NORMALISATION = {
    "sface": "raw_0_255"
}  # the assets that are recognisers; sface-int8 is what OpenCV alone can run


class Embedder(Protocol):
    """What `load_embedder` returns. `fingerprint` is the sha256 of the weights in all their files (models/identity.py says what else embeddings depend on), `lineage` None where the file does not tell."""

    name: str
    fingerprint: str
    embedding_size: int
    lineage: dict | None

    def embed(self, faces: np.ndarray) -> np.ndarray:
        """(B, 112, 112, 3) uint8 RGB -> (B, D) float32, not normalised; B may be anything from 0."""
        ...


def load_embedder(
    spec: str | Path,
    *,
    normalisation: str | None = None,
    threads: int = 0,
    device: str = "cpu",
    output: str | None = None,
) -> Embedder:
    """Load a recogniser.

    Args:
        spec: an asset ("sface"), a path to an .onnx, a run folder, a weights file inside one, a plain state dict (.pt, .pth) of one of our
            backbones at width 1 such as InsightFace's IResNets, or several of these with commas between them: an ensemble.
        normalisation: one of `preprocess.NORMALISATIONS`; needed for an .onnx that does not carry ours in its metadata.
        threads: CPU threads, 0 for all.
        device: "cpu" or "cuda", for run folders; onnxruntime runs on the CPU.
        output: name of the output to keep of an .onnx that has several.
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
                load_embedder(
                    part,
                    normalisation=normalisation,
                    threads=threads,
                    device=device,
                    output=output,
                )
                for part in parts
            ]
        )
    path = Path(spec)
    if (path / ADAPTED).is_file() and not (path / "student.pt").is_file():
        return OnnxEmbedder(path / ADAPTED, normalisation, threads, name=path.name, output=output)
    if path.suffix.lower() == ".onnx" and path.exists() and not (path / "config.toml").is_file():
        return OnnxEmbedder(path, normalisation, threads, output=output)
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


class TorchEmbedder:
    """The student of one of our runs, or a plain state dict of one of our backbones."""

    normalisation = "minus1_to_1"

    def __init__(self, path: Path, threads: int = 0, device: str = "cpu"):
        import torch

        from mfr_kit.models import memory, weights
        from mfr_kit.models.run_files import is_of_run

        memory.keep_freed()
        if threads:
            torch.set_num_threads(threads)
        if is_of_run(path):
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
        self.model, self.device = model.to(device), device
        self.architecture = type(model).__name__

    def embed(self, faces: np.ndarray) -> np.ndarray:
        """(B, 112, 112, 3) uint8 RGB -> (B, D) float32, not normalised."""
        import torch

        if len(faces) == 0:
            return np.zeros((0, self.embedding_size), np.float32)
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(faces)).to(self.device)
            return self.model(preprocess.to_tensor(batch)).float().cpu().numpy()
