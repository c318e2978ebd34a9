"""How pixels become a network's input, in one place, and the metadata keys under which an ONNX
file remembers it.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.models.input_format import USUAL, Channels, InputFormat, parse

if TYPE_CHECKING:
    import torch

# change it when the same image file would reach a network as other numbers: stored embeddings are
# then made again
VERSION = 1

META_NORMALISATION = "mfr_kit.normalisation"  # the text of an InputFormat
META_LINEAGE = "mfr_kit.lineage"  # JSON, see models/lineage.py
META_VERSION = "mfr_kit.version"
META_EMBEDDING_SIZE = "mfr_kit.embedding_size"
META_FINGERPRINT = "mfr_kit.fingerprint"  # sha256 of the weights it was exported from
META_OUTPUT = "mfr_kit.output"  # "backbone" or "projected"
META_EDGE = "mfr_kit.edge"  # "float16" or "int8", of a file with rounded weights


def input_of_network(network: Any) -> InputFormat:
    """Say what a torch network takes: its attribute `normalisation`, a text that `parse` reads;
    one without it takes `USUAL`.
    """
    return parse(getattr(network, "normalisation", USUAL))


def mark_input(network: Any, form: InputFormat) -> None:
    """Let a network say what it takes, wherever it goes from here: into training, validation,
    weights files and exports. Whoever builds one from somebody's file calls it.
    """
    if form.text != USUAL or hasattr(network, "normalisation"):
        network.normalisation = form.text


def to_tensor(
    faces: "np.ndarray | torch.Tensor", normalisation: str | InputFormat = USUAL
) -> "torch.Tensor":
    """Turn faces into the input of a network, on the device the faces are on.

    Args:
        faces: (B, H, W, 3) uint8 RGB, NumPy or torch.
        normalisation: see `parse`; the kit's own networks take the usual one.
    Returns:
        (B, 3, H, W) float32; in [-1, 1] it is (x - 127.5) / 127.5, the challenge's normalisation.
    Raises:
        KitError: an unknown normalisation, or faces that are not uint8 NHWC.
    """
    import torch

    form = parse(normalisation) if isinstance(normalisation, str) else normalisation
    batch = (
        torch.from_numpy(np.ascontiguousarray(faces)) if isinstance(faces, np.ndarray) else faces
    )
    if not isinstance(batch, torch.Tensor):
        kind = type(faces).__name__
        raise KitError(f"faces must be one (B, H, W, 3) array, found a {kind}: np.stack joins them")
    _check(batch.shape, batch.dtype == torch.uint8, str(batch.dtype))
    if form.order == "bgr":
        batch = batch.flip(3)
    planes = batch.permute(0, 3, 1, 2).to(torch.float32)

    def operand(values: Channels) -> Any:
        single = len(set(values)) == 1
        return values[0] if single else torch.tensor(values, device=planes.device).view(3, 1, 1)

    if any(form.mean):
        planes = planes.sub_(operand(form.mean))
    return planes if set(form.std) == {1.0} else planes.div_(operand(form.std))


def to_input(faces: np.ndarray, normalisation: str | InputFormat) -> np.ndarray:
    """Turn faces into the input of an ONNX recogniser.

    Args:
        faces: (B, H, W, 3) uint8 RGB.
        normalisation: see `parse`: "minus1_to_1" for (x - 127.5) / 127.5, "raw_0_255" for a graph
            that normalises by itself.
    Returns:
        (B, 3, H, W) float32, contiguous.
    Raises:
        KitError: an unknown normalisation, or faces that are not uint8 NHWC.
    """
    form = parse(normalisation) if isinstance(normalisation, str) else normalisation
    if not isinstance(faces, np.ndarray):
        kind = type(faces).__name__
        raise KitError(f"faces must be one (B, H, W, 3) array, found a {kind}: np.stack joins them")
    _check(faces.shape, faces.dtype == np.uint8, str(faces.dtype))
    ordered = faces[..., ::-1] if form.order == "bgr" else faces
    planes = np.ascontiguousarray(ordered.transpose(0, 3, 1, 2), dtype=np.float32)
    if any(form.mean):
        planes -= np.array(form.mean, np.float32).reshape(3, 1, 1)
    if set(form.std) != {1.0}:
        planes /= np.array(form.std, np.float32).reshape(3, 1, 1)
    return planes


def _check(shape: tuple[int, ...], is_uint8: bool, dtype: str) -> None:
    if len(shape) != 4 or shape[3] != 3 or not is_uint8:
        raise KitError(f"faces must be (B, H, W, 3) uint8 RGB, found {tuple(shape)} {dtype}")
