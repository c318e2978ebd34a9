"""Recognisers that are torch networks, on the CPU or a device: students of ours, plain state
dicts, and ONNX files whose graph is one of our backbones.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mfr_kit import registry
from mfr_kit.errors import KitError
from mfr_kit.models import preprocess
from mfr_kit.models.notes import say_once
from mfr_kit.models.onnx_embedder import OnnxEmbedder
from mfr_kit.seeding import rng_for

if TYPE_CHECKING:
    import torch
    from torch import nn

BACKBONES = "mfr_kit.models.backbones"
PRECISIONS = ("float32", "bf16")
AHEAD = 2  # batches that a device has been given before the first is waited for
# lowest cosine of a converted recogniser to the ONNX file on made-up faces
PARITY = 0.9999


class TorchEmbedder:
    """The student of one of our runs, or a plain state dict of one of our backbones.

    Args:
        path: run folder, weights file in one, or state dict.
        threads: CPU threads, 0 for all.
        device: where it runs.
        precision: "float32", or "bf16" for the products of a device (inputs and results are
            float32 all the same).
    """

    normalisation = "minus1_to_1"
    lineage: dict | None

    def __init__(
        self,
        path: Path,
        threads: int = 0,
        device: "str | torch.device" = "cpu",
        precision: str = "float32",
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
            model, self.embedding_size = weights.backbone_in(read_states(path), str(path))
            self.name, self.fingerprint, self.lineage = path.stem, weights.sha256_of(path), None
        self._put(model, device, precision)

    def _put(self, model: "nn.Module", device: "str | torch.device", precision: str) -> None:
        import torch

        self.place, self.precision = torch.device(device), precision
        self.model, self.device = model.to(self.place).eval(), self.place.type
        if self.place.type == "cuda":
            layout: Any = {"memory_format": torch.channels_last}  # torch's stubs know no such form
            self.model.to(**layout)
        self.architecture = type(model).__name__

    def embed(self, faces: np.ndarray) -> np.ndarray:
        """(B, 112, 112, 3) uint8 RGB -> (B, D) float32, not normalised."""
        return self.begin(faces)()

    def begin(self, faces: np.ndarray, mirrored: bool = False) -> Callable[[], np.ndarray]:
        """Hand faces to the device and return what waits for their embeddings.

        Args:
            faces: (B, 112, 112, 3) uint8 RGB.
            mirrored: also embed their mirror images, which are made on the device: (2 B, D).
        """
        import torch

        if len(faces) == 0:
            return lambda: np.zeros((0, self.embedding_size), np.float32)
        batch = torch.from_numpy(np.ascontiguousarray(faces))
        if self.device != "cuda":
            found = self._forward(batch.to(self.place), mirrored).cpu().numpy()
            return lambda: found
        out = self._forward(batch.pin_memory().to(self.place, non_blocking=True), mirrored)
        host = torch.empty(out.shape, dtype=torch.float32, pin_memory=True)
        host.copy_(out, non_blocking=True)
        done = torch.cuda.Event()
        done.record()

        def wait() -> np.ndarray:
            done.synchronize()
            return host.numpy().copy()

        return wait

    def _forward(self, batch: "torch.Tensor", mirrored: bool) -> "torch.Tensor":
        import torch

        with torch.inference_mode():
            if mirrored:
                batch = torch.cat([batch, batch.flip(2)])
            pixels = preprocess.to_tensor(batch)
            if self.device == "cuda":
                pixels = pixels.contiguous(memory_format=torch.channels_last)
            with torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16"):
                found = self.model(pixels)
            return found.float()


class ConvertedEmbedder(TorchEmbedder):
    """An ONNX recogniser as a torch network of ours, where only torch has the device.

    Args:
        source: the file as onnxruntime runs it, with which it is compared.
        model: of the same weights, from `convert`.
    Raises:
        KitError: the two give different embeddings.
    """

    def __init__(
        self,
        source: OnnxEmbedder,
        model: "nn.Module",
        device: "torch.device",
        precision: str = "float32",
    ):
        self.name, self.fingerprint, self.lineage = source.name, source.fingerprint, source.lineage
        self.embedding_size, self.source = source.embedding_size, source
        self._put(model, device, precision)
        self.parity = _parity(source, self)
        if self.parity < PARITY and precision == "float32":
            raise KitError(
                f"{source.path} gives other embeddings as a torch network (cosine "
                f"{self.parity:.6f}, wanted {PARITY}): use --device cpu"
            )


def convert(path: Path) -> "nn.Module | None":
    """Read an ONNX file into one of the backbones that know its graph; None where none does."""
    for name in registry.names(BACKBONES):
        module = registry.get(BACKBONES, name)
        if not hasattr(module, "state_from_onnx"):
            continue
        try:
            state = module.state_from_onnx(path)
        except KitError:
            continue
        model = module.build()
        model.load_state_dict(state)
        return model
    return None


def on_device(
    source: OnnxEmbedder, device: "torch.device", precision: str, strict: bool
) -> "OnnxEmbedder | ConvertedEmbedder":
    """Bring an ONNX recogniser to a device as a torch network.

    Args:
        source: on the CPU.
        device: asked for.
        precision: see `TorchEmbedder`.
        strict: refuse what only the CPU can run; else it stays there, and a note says so.
    Raises:
        KitError: strict, and no backbone of ours knows the graph.
    """
    if device.type == "cpu":
        return source
    model = convert(source.path)
    if model is not None:
        return ConvertedEmbedder(source, model, device, precision)
    line = f"{source.path} is no graph that torch can run on {device.type}"
    if strict:
        raise KitError(f"{line}: give --device cpu, or the weights as a .pt or .pth file")
    say_once(f"{line}: onnxruntime runs it on the CPU")
    return source


def _parity(one: Any, other: Any) -> float:
    faces = rng_for(0, 2).integers(0, 256, (4, 112, 112, 3), dtype=np.uint8)
    first, second = (
        rows / np.linalg.norm(rows, axis=1, keepdims=True)
        for rows in (one.embed(faces), other.embed(faces))
    )
    return float((first * second).sum(axis=1).min())


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
            first, its, wait = waiting.popleft()
            yield first, its, wait()
    for first, its, wait in waiting:
        yield first, its, wait()


def _at_once(embedder: Any) -> Callable[[np.ndarray, bool], Callable[[], np.ndarray]]:
    def begin(faces: np.ndarray, mirrored: bool) -> Callable[[], np.ndarray]:
        both = np.concatenate([faces, faces[:, :, ::-1]]) if mirrored else faces
        found = embedder.embed(both)
        return lambda: found

    return begin
