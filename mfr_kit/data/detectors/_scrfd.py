"""InsightFace's SCRFD and RetinaFace over several photographs at once.

insightface shows a network one photograph a call. Its files say so too, with a batch of 1, but what
computes them does not depend on that: the batch is freed, and the answer compared with that of
insightface's session before it is used. Letter-boxing, decoding and order are insightface's.
"""

from typing import Any

import cv2
import numpy as np

from mfr_kit.data.detectors._free_batch import open_free
from mfr_kit.errors import KitError
from mfr_kit.providers import Provider
from mfr_kit.seeding import rng_for

PARITY = 1e-3  # largest difference of an output, which is in strides: 0.03 pixels of the input
Found = tuple[np.ndarray, np.ndarray]  # boxes and scores (F, 5): x0, y0, x1, y1; points (F, 5, 2)


class ScrfdBatch:
    """A network of insightface with a free batch.

    Args:
        network: an `insightface` SCRFD with landmarks, prepared.
        size: (width, height) of its input, where the file does not fix it.
        provider: where it runs; None for the CPU, on one thread.
    Raises:
        KitError: the file computes one photograph at a time.
    """

    def __init__(self, network: Any, size: tuple[int, int], provider: Provider | None) -> None:
        self._network, self.size = network, network.static_input_size or size
        import onnx

        try:
            self._session = open_free(onnx.load_model(network.model_file), provider)
            away = self._compare()
        except KitError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever onnx and onnxruntime raise for a graph that fixes its batch
            raise _refusal(network.model_file, str(error)) from None
        if not away <= PARITY:
            raise _refusal(network.model_file, f"a batch differs by {away:.2g}")

    def find(self, images: list[np.ndarray], threshold: float) -> list[Found]:
        """Find the faces of (H, W, 3) uint8 BGR photographs of any sizes, as insightface does."""
        shown = [_letter_box(image, self.size) for image in images]
        outputs = self._run([picture for picture, _ in shown])
        return [
            self._decode([output[number] for output in outputs], scale, threshold)
            for number, (_, scale) in enumerate(shown)
        ]

    def _blob(self, pictures: list[np.ndarray]) -> dict[str, np.ndarray]:
        network = self._network
        blob = cv2.dnn.blobFromImages(
            pictures, 1.0 / network.input_std, self.size, (network.input_mean,) * 3, swapRB=True
        )
        return {network.input_name: blob.astype(getattr(network, "input_dtype", np.float32))}

    def _run(self, pictures: list[np.ndarray]) -> list[np.ndarray]:
        """The outputs, each (B, rows, width)."""
        outputs = self._session.run(self._network.output_names, self._blob(pictures))
        return [output.reshape(len(pictures), -1, output.shape[-1]) for output in outputs]

    def _compare(self) -> float:
        """The largest difference of two pictures together from each alone in insightface's own
        session.
        """
        rng, shape = rng_for(0), (*self.size[::-1], 3)
        pictures = [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(2)]
        together, names = self._run(pictures), self._network.output_names
        away = []
        for number, picture in enumerate(pictures):
            alone = self._network.session.run(names, self._blob([picture]))
            away += [
                np.abs(batch[number] - single.reshape(batch[number].shape)).max()
                for batch, single in zip(together, alone, strict=True)
            ]
        return float(np.max(away))

    def _decode(self, outputs: list[np.ndarray], scale: float, threshold: float) -> Found:
        """Turn one picture's outputs to faces in its photograph's pixels."""
        network, (width, _) = self._network, self.size
        strides, anchors = network._feat_stride_fpn, network._num_anchors
        parts = [outputs[start :: len(strides)] for start in range(len(strides))]
        boxes, points, scores = [], [], []
        for stride, (score, box, point) in zip(strides, parts, strict=True):
            kept = np.flatnonzero(score[:, 0] >= threshold)
            cells = kept // anchors
            across = width // stride
            corner = np.stack([cells % across, cells // across], axis=1).astype(np.float32) * stride
            ends = box[kept] * stride
            boxes.append(np.hstack([corner - ends[:, :2], corner + ends[:, 2:]]) / scale)
            spread = (point[kept] * stride).reshape(-1, 5, 2)
            points.append((corner[:, None] + spread) / scale)
            scores.append(score[kept])
        found = np.hstack([np.vstack(boxes), np.vstack(scores)]).astype(np.float32, copy=False)
        order = np.argsort(-found[:, 4], kind="stable")
        found, placed = found[order], np.vstack(points)[order]
        best = network.nms(found)
        return found[best], placed[best]


def _letter_box(image: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, float]:
    """Shrink or enlarge a photograph into the top left of a black picture of `size` (width,
    height); with the scale.
    """
    width, height = size
    ratio = float(image.shape[0]) / image.shape[1]
    if ratio > float(height) / width:
        inner = (int(height / ratio), height)
    else:
        inner = (width, int(width * ratio))
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: inner[1], : inner[0]] = cv2.resize(image, inner)
    return picture, float(inner[1]) / image.shape[0]


def _refusal(file: str, why: str) -> KitError:
    return KitError(
        f"{file}: this detector computes one photograph at a time ({why.splitlines()[0][:200]}): "
        "leave --detect-batch out"
    )
