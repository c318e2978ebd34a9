"""How pixels become a network's input, in one place, and the metadata keys under which an ONNX
file remembers it.
"""

from typing import TYPE_CHECKING

import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.registry import unknown

if TYPE_CHECKING:
    import torch

NORMALISATIONS = ("minus1_to_1", "raw_0_255")
# change it when the same image file would reach a network as other numbers: stored embeddings are
# then made again
VERSION = 1

META_NORMALISATION = "mfr_kit.normalisation"  # one of NORMALISATIONS
META_LINEAGE = "mfr_kit.lineage"  # JSON, see models/lineage.py
META_VERSION = "mfr_kit.version"
META_EMBEDDING_SIZE = "mfr_kit.embedding_size"
META_FINGERPRINT = "mfr_kit.fingerprint"  # sha256 of the weights it was exported from
META_OUTPUT = "mfr_kit.output"  # "backbone" or "projected"


def to_tensor(
    faces: "np.ndarray | torch.Tensor", normalisation: str = "minus1_to_1"
) -> "torch.Tensor":
    """Turn faces into the input of a network, on the device the faces are on.

    Args:
        faces: (B, H, W, 3) uint8 RGB, NumPy or torch.
        normalisation: see `to_input`; the kit's own networks take the usual one.
    Returns:
        (B, 3, H, W) float32; in [-1, 1] it is (x - 127.5) / 127.5, the challenge's normalisation.
    """
    import torch

    batch = (
        torch.from_numpy(np.ascontiguousarray(faces)) if isinstance(faces, np.ndarray) else faces
    )
    if not isinstance(batch, torch.Tensor):
        kind = type(faces).__name__
        raise KitError(f"faces must be one (B, H, W, 3) array, found a {kind}: np.stack joins them")
    _check(batch.shape, batch.dtype == torch.uint8, str(batch.dtype))
    planes = batch.permute(0, 3, 1, 2).to(torch.float32)
    return planes.sub_(127.5).div_(127.5) if normalisation == "minus1_to_1" else planes


def to_input(faces: np.ndarray, normalisation: str) -> np.ndarray:
    """Turn faces into the input of an ONNX recogniser.

    Args:
        faces: (B, H, W, 3) uint8 RGB.
        normalisation: "minus1_to_1" for (x - 127.5) / 127.5, "raw_0_255" for a graph that
            normalises by itself.
    Returns:
        (B, 3, H, W) float32, contiguous.
    Raises:
        KitError: an unknown normalisation, or faces that are not uint8 NHWC.
    """
    if normalisation not in NORMALISATIONS:
        raise KitError(unknown("value for --normalisation", normalisation, list(NORMALISATIONS)))
    if not isinstance(faces, np.ndarray):
        kind = type(faces).__name__
        raise KitError(f"faces must be one (B, H, W, 3) array, found a {kind}: np.stack joins them")
    _check(faces.shape, faces.dtype == np.uint8, str(faces.dtype))
    planes = np.ascontiguousarray(faces.transpose(0, 3, 1, 2), dtype=np.float32)
    if normalisation == "minus1_to_1":
        planes -= 127.5
        planes /= 127.5
    return planes


def _check(shape: tuple[int, ...], is_uint8: bool, dtype: str) -> None:
    if len(shape) != 4 or shape[3] != 3 or not is_uint8:
        raise KitError(f"faces must be (B, H, W, 3) uint8 RGB, found {tuple(shape)} {dtype}")
