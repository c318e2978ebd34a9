"""YuNet by onnxruntime: the faces of `yunet` but for the last digits, faster, several photographs a
call, and on a GPU. `--detector-model`: the ONNX file; else the asset 'yunet'.
"""

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from mfr_kit import assets, providers
from mfr_kit.data.alignment.detection import Detection
from mfr_kit.data.detectors._free_batch import open_free
from mfr_kit.data.detectors.yunet import (
    ATTEMPTS,
    MOST_FACES,
    NMS_IOU,
    Attempt,
    prepare,
    repeats,
    restore,
)
from mfr_kit.dequantize import write_float32
from mfr_kit.errors import KitError
from mfr_kit.providers import Provider

if TYPE_CHECKING:
    import onnx

STRIDES = (8, 16, 32)
KINDS = ("cls", "obj", "bbox", "kps")
OUTPUTS = [f"{kind}_{stride}" for kind in KINDS for stride in STRIDES]


class YuNetOnnx:
    """YuNet, tried in the ways of `yunet` until it finds something.

    Args:
        session: an onnxruntime session of the network, its batch, height and width free.
        attempts: ways to look, in this order.
    """

    def __init__(self, session: Any, attempts: tuple[Attempt, ...] = ATTEMPTS) -> None:
        self._session, self._attempts = session, attempts
        self._input = session.get_inputs()[0].name

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Find the faces of an (H, W, 3) uint8 RGB photograph."""
        return self.detect_many([image])[0]

    def detect_many(self, images: list[np.ndarray]) -> list[list[Detection]]:
        """Find the faces of several photographs; those that are shown in one size, together."""
        found: list[list[Detection]] = [[] for _ in images]
        for number, attempt in enumerate(self._attempts):
            tried = [
                row
                for row, image in enumerate(images)
                if not found[row] and not repeats(number, attempt, image)
            ]
            faces = self._show([images[row] for row in tried], attempt)
            for row, own in zip(tried, faces, strict=True):
                found[row] = own
        return found

    def detect_in_crop(self, image: np.ndarray) -> list[Detection]:
        """Find the face of a crop."""
        return self._show([image], Attempt(max(image.shape[:2]), 1.0, 0.0, 0.3))[0]

    def refine(self, image: np.ndarray, face: Detection) -> Detection:
        """Keep the face as it was found."""
        return face

    def _show(self, images: list[np.ndarray], attempt: Attempt) -> list[list[Detection]]:
        shown = [prepare(image, attempt) for image in images]
        alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for row, view in enumerate(shown):
            alike[view.image.shape].append(row)
        found: list[list[Detection]] = [[] for _ in images]
        for rows in alike.values():
            faces = self._run([shown[row].image for row in rows], attempt.threshold)
            for row, own in zip(rows, faces, strict=True):
                found[row] = restore(own, shown[row])
        return found

    def _run(self, pictures: list[np.ndarray], threshold: float) -> list[np.ndarray]:
        """YuNet's rows of each (H, W, 3) RGB picture: box, five points, score."""
        # black to the right and below, up to a multiple of the widest stride, as OpenCV does
        high, wide = (-(-side // STRIDES[-1]) * STRIDES[-1] for side in pictures[0].shape[:2])
        planes = np.zeros((len(pictures), 3, high, wide), np.float32)
        for plane, picture in zip(planes, pictures, strict=True):
            plane[:, : picture.shape[0], : picture.shape[1]] = picture[..., ::-1].transpose(2, 0, 1)
        maps = dict(zip(OUTPUTS, self._session.run(OUTPUTS, {self._input: planes}), strict=True))
        found = []
        for row in range(len(pictures)):
            parts = [
                _decode([maps[f"{kind}_{stride}"][row] for kind in KINDS], stride, wide)
                for stride in STRIDES
            ]
            found.append(_suppress(np.concatenate(parts), threshold))
        return found


def _decode(maps: list[np.ndarray], stride: int, wide: int) -> np.ndarray:
    """Turn the maps of one stride and KINDS, each (cells, width), into rows of 15."""
    sure, there, box, points = maps
    cells = np.arange(len(sure))
    corner = np.stack([cells % (wide // stride), cells // (wide // stride)], axis=1)
    corner = corner.astype(np.float32)
    size = np.exp(box[:, 2:]) * stride
    start = (corner + box[:, :2]) * stride - size / 2
    placed = (points.reshape(-1, 5, 2) + corner[:, None]) * stride
    score = np.sqrt(np.clip(sure, 0, 1) * np.clip(there, 0, 1))
    return np.hstack([start, size, placed.reshape(-1, 10), score])


def _suppress(rows: np.ndarray, threshold: float) -> np.ndarray:
    """Drop rows below the threshold, and of boxes that overlap all but the surest, as OpenCV does:
    by boxes of whole pixels.
    """
    rows = rows[rows[:, 14] >= threshold]
    if len(rows) < 2:
        return rows
    boxes = rows[:, :4].astype(int).tolist()
    best = cv2.dnn.NMSBoxes(boxes, rows[:, 14].tolist(), threshold, NMS_IOU, 1.0, MOST_FACES)
    return rows[np.asarray(best, int).ravel()]


def load(model: Path | None = None, provider: Provider | None = None) -> YuNetOnnx:
    """Load the detector; on the CPU it has one thread.

    Raises:
        KitError: the model is missing or no YuNet, or the provider cannot be started.
    """
    path = assets.path("yunet", model)
    if provider is not None:
        providers.refuse_missing(provider, str(path))
    try:
        session = open_free(_read_float32(path), provider, sides=True)
    except KitError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a broken .onnx makes onnx or onnxruntime raise
        raise KitError(f"{path}: onnxruntime cannot load it as YuNet ({error})") from None
    missing = set(OUTPUTS) - {output.name for output in session.get_outputs()}
    if missing:
        raise KitError(
            f"{path}: no output '{min(missing)}': YuNet of 2023 or later has {', '.join(OUTPUTS)}"
        )
    return YuNetOnnx(session)


def _read_float32(path: Path) -> "onnx.ModelProto":
    """Read a network; weights in blocks of int8, which onnxruntime refuses, become float32."""
    import onnx

    model = onnx.load_model(str(path))
    if all(node.op_type != "DequantizeLinear" for node in model.graph.node):
        return model
    with tempfile.TemporaryDirectory() as folder:
        write_float32(path, Path(folder) / "yunet.onnx", {})
        return onnx.load_model(str(Path(folder) / "yunet.onnx"))
