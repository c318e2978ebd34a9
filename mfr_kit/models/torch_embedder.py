"""Recognisers that are torch networks, on the CPU or a device: students of ours and plain state
dicts; and streams of batches through any recogniser.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mfr_kit.models import input_format, preprocess
from mfr_kit.models.placement import products_in, refuse_precision

if TYPE_CHECKING:
    import torch
    from torch import nn

AHEAD = 2  # batches that a device has been given before the first is waited for


class TorchEmbedder:
    """The student of one of our runs, or a plain state dict of one of our backbones.

    Args:
        path: run folder, weights file in one, or state dict.
        threads: CPU threads, 0 for all.
        device: where it runs.
        precision: one of `placement.PRECISIONS`, of the products (inputs and results are float32
            all the same).
        normalisation: said for this very file, as `input_format.parse` reads it; a plain state
            dict takes it whatever its publisher's networks take.
    Raises:
        KitError: no weights of one of our backbones, or a precision that the device cannot have.
    """

    normalisation = input_format.USUAL  # a network of somebody's file may say another
    lineage: dict | None

    def __init__(
        self,
        path: Path,
        threads: int = 0,
        device: "str | torch.device" = "cpu",
        precision: str = "float32",
        normalisation: str | None = None,
    ):
        import torch

        from mfr_kit.models import memory, weights
        from mfr_kit.models.run_files import is_of_run
        from mfr_kit.models.weights_file import read_states

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
            model, self.embedding_size = weights.backbone_in(
                read_states(path), str(path), normalisation
            )
            self.name, self.fingerprint, self.lineage = path.stem, weights.sha256_of(path), None
        self.normalisation = preprocess.input_of_network(model).text
        self._put(model, device, precision)

    def _put(self, model: "nn.Module", device: "str | torch.device", precision: str) -> None:
        import torch

        self.place, self.precision = torch.device(device), precision
        refuse_precision(precision, self.place.type, self.name)
        self.model, self.device = model.to(self.place).eval(), self.place.type
        if self.place.type == "cuda":
            layout: Any = {"memory_format": torch.channels_last}  # torch's stubs know no such form
            self.model.to(**layout)
        self.architecture = type(model).__name__

    def embed(self, faces: np.ndarray) -> np.ndarray:
        """(B, 112, 112, 3) uint8 RGB -> (B, D) float32, not normalised."""
        return self.begin(faces)()

    def embed_exact(self, faces: np.ndarray) -> np.ndarray:
        """As `embed`, in float32 whatever the precision."""
        return self._begin(faces, False, "float32")()

    def begin(self, faces: np.ndarray, mirrored: bool = False) -> Callable[[], np.ndarray]:
        """Hand faces to the device and return what waits for their embeddings.

        Args:
            faces: (B, 112, 112, 3) uint8 RGB.
            mirrored: also embed their mirror images, which are made on the device: (2 B, D).
        """
        return self._begin(faces, mirrored, self.precision)

    def _begin(self, faces: np.ndarray, mirrored: bool, precision: str) -> Callable[[], np.ndarray]:
        import torch

        if len(faces) == 0:
            return lambda: np.zeros((0, self.embedding_size), np.float32)
        batch = torch.from_numpy(np.ascontiguousarray(faces))
        if self.device != "cuda":
            found = self._forward(batch.to(self.place), mirrored, precision).cpu().numpy()
            return lambda: found
        sent = batch.pin_memory().to(self.place, non_blocking=True)
        out = self._forward(sent, mirrored, precision)
        host = torch.empty(out.shape, dtype=torch.float32, pin_memory=True)
        host.copy_(out, non_blocking=True)
        done = torch.cuda.Event()
        done.record()

        def wait() -> np.ndarray:
            done.synchronize()
            return host.numpy().copy()

        return wait

    def _forward(self, batch: "torch.Tensor", mirrored: bool, precision: str) -> "torch.Tensor":
        import torch

        with torch.inference_mode():
            if mirrored:
                batch = torch.cat([batch, batch.flip(2)])
            pixels = preprocess.to_tensor(batch, self.normalisation)
            if self.device == "cuda":
                pixels = pixels.contiguous(memory_format=torch.channels_last)
            with products_in(precision, self.device):
                found = self.model(pixels)
            return found.float()


def embed_stream(
    embedder: Any, batches: Iterable[tuple[int, np.ndarray]], mirrored: bool
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Embed batch after batch; a device works on the next ones while the caller looks at one.

    Args:
        embedder: any; only those with `begin` on a device work ahead.
        batches: (number, (B, 112, 112, 3) uint8 RGB).
        mirrored: also embed the mirror images, behind the faces.
    Yields:
        (number, faces, (B or 2 B, D) float32), in the order of `batches`.
    """
    begin = getattr(embedder, "begin", None) or _at_once(embedder)
    ahead = AHEAD if getattr(embedder, "device", "cpu") == "cuda" else 0
    waiting: deque = deque()
    for number, faces in batches:
        waiting.append((number, faces, begin(faces, mirrored)))
        if len(waiting) > ahead:
            first, images, wait = waiting.popleft()
            yield first, images, wait()
    for first, images, wait in waiting:
        yield first, images, wait()


def _at_once(embedder: Any) -> Callable[[np.ndarray, bool], Callable[[], np.ndarray]]:
    def begin(faces: np.ndarray, mirrored: bool) -> Callable[[], np.ndarray]:
        both = np.concatenate([faces, faces[:, :, ::-1]]) if mirrored else faces
        found = embedder.embed(both)
        return lambda: found

    return begin
