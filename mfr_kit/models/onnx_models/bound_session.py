"""An ONNX recogniser's session on a device: faces go there as bytes and become its input there;
only embeddings come back.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.models import preprocess
from mfr_kit.models.onnx_models.onnx_file import one_line
from mfr_kit.models.onnx_models.signature import BFLOAT16, FLOATS, PIXELS, Signature, as_rows
from mfr_kit.models.placement import send

if TYPE_CHECKING:
    import onnxruntime
    import torch


class BoundSession:
    """A session whose input is bound to a torch tensor on its device.

    Args:
        session: opened for that device.
        signature: what it takes and gives.
        normalisation: as `input_format.parse` reads it.
        place: the device; the CPU works too.
        name: what errors call the model.
    """

    def __init__(
        self,
        session: "onnxruntime.InferenceSession",
        signature: Signature,
        normalisation: str,
        place: "torch.device",
        name: str,
    ):
        self._session, self._signature, self._normalisation = session, signature, normalisation
        self._place, self._name = place, name
        self._element = _element_of(signature.kind)

    def embed(self, faces: np.ndarray, mirrored: bool = False) -> np.ndarray:
        """Embed (B, 112, 112, 3) uint8 RGB faces -> (B, D) float32, or (2 B, D) with their mirror
        images behind them.

        Raises:
            KitError: onnxruntime stops, or the output is not one row of numbers for each face.
        """
        import torch

        with torch.inference_mode():
            planes = self._input(faces, mirrored)
        if self._place.type == "cuda":
            # the session works on a stream of its own, which does not wait for torch's
            torch.cuda.current_stream(self._place).synchronize()
        where = (self._place.type, self._place.index or 0)
        try:
            binding = self._session.io_binding()
            binding.bind_input(
                self._signature.input,
                *where,
                self._element,
                tuple(planes.shape),
                planes.data_ptr(),
            )
            binding.bind_output(self._signature.output, *where)
            self._session.run_with_iobinding(binding)
            out = binding.get_outputs()[0].numpy()
        except Exception as error:  # noqa: BLE001  onnxruntime's exceptions share no base class below Exception
            raise KitError(f"{self._name} does not run: {one_line(error)}") from None
        return as_rows(out, len(planes), self._name)

    def begin(self, faces: np.ndarray, mirrored: bool = False) -> Callable[[], np.ndarray]:
        """As `embed`, in the form that a stream of batches takes."""
        found = self.embed(faces, mirrored)
        return lambda: found

    def _input(self, faces: np.ndarray, mirrored: bool) -> "torch.Tensor":
        """The faces on the device, as the graph takes them."""
        import torch

        batch = send(torch.from_numpy(np.ascontiguousarray(faces)), self._place)
        return input_of(batch, mirrored, self._signature, self._normalisation)


def input_of(
    batch: "torch.Tensor", mirrored: bool, signature: Signature, normalisation: str
) -> "torch.Tensor":
    """Turn (B, 112, 112, 3) bytes on a device into what a graph takes, contiguous, the mirror
    images behind the faces where they are asked for.
    """
    import torch

    if mirrored:
        batch = torch.cat([batch, batch.flip(2)])
    planes = preprocess.to_tensor(batch, normalisation)
    if signature.layout == "NHWC":
        planes = planes.permute(0, 2, 3, 1)
    if signature.kind == BFLOAT16:
        return planes.to(torch.bfloat16).contiguous()
    kind = np.dtype((FLOATS | PIXELS)[signature.kind]).name
    return planes.to(getattr(torch, kind)).contiguous()


def _element_of(kind: str) -> Any:
    """An input's type as onnxruntime wants it: NumPy's, or ONNX's number where NumPy has none."""
    if kind == BFLOAT16:
        from onnx import TensorProto

        return TensorProto.BFLOAT16
    return (FLOATS | PIXELS)[kind]
