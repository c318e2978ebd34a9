"""Find the face of a photograph with YuNet and align it to 112x112. Needs onnxruntime, OpenCV
and NumPy, nothing else.
"""

import cv2
import numpy as np
import onnxruntime

SIDE, STRIDES = 640, (8, 16, 32)
SCORE, OVERLAP = 0.5, 0.3
TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)


def open_session(path):
    """Open a model on one CPU thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class FaceDetector:
    def __init__(self, path):
        self.session = open_session(path)
        self.outputs = [item.name for item in self.session.get_outputs()]

    def detect(self, image):
        """(H, W, 3) uint8 BGR -> (N, 15) float: left, top, width, height, five points, score; in
        the image's pixels.
        """
        rows = self.look(image, 1.0)
        return rows if len(rows) else self.look(image, 2.0)

    def look(self, image, enlarge):
        """Detect in the image shrunk to the canvas, or enlarged by at most a factor."""
        height, width = image.shape[:2]
        scale = min(SIDE / max(height, width), enlarge)
        small = cv2.resize(image, (max(1, round(width * scale)), max(1, round(height * scale))))
        canvas = np.zeros((SIDE, SIDE, 3), np.float32)
        canvas[: small.shape[0], : small.shape[1]] = small
        planes = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])
        maps = self.session.run(None, {self.session.get_inputs()[0].name: planes})
        found = dict(zip(self.outputs, maps))  # noqa: B905  Python 3.8 too
        rows = np.concatenate([decode(found, stride) for stride in STRIDES])
        rows = suppress(rows[rows[:, 14] >= SCORE])
        rows[:, :14] /= scale
        return rows


def decode(found, stride):
    """Turn the maps of one stride into boxes, points and scores in the canvas's pixels."""
    side = SIDE // stride
    row, column = (axis.ravel() for axis in np.mgrid[:side, :side])
    box, points = found[f"bbox_{stride}"][0], found[f"kps_{stride}"][0].reshape(-1, 5, 2)
    centre = (np.stack([column, row], 1) + box[:, :2]) * stride
    size = np.exp(box[:, 2:]) * stride
    points = (points + np.stack([column, row], 1)[:, None]) * stride
    score = np.sqrt(
        np.clip(found[f"cls_{stride}"][0, :, 0], 0, 1)
        * np.clip(found[f"obj_{stride}"][0, :, 0], 0, 1)
    )
    return np.concatenate([centre - size / 2, size, points.reshape(-1, 10), score[:, None]], 1)


def suppress(rows):
    """Keep the best of boxes that overlap."""
    kept: list = []
    for row in rows[np.argsort(-rows[:, 14], kind="stable")]:
        if all(overlap(row, other) <= OVERLAP for other in kept):
            kept.append(row)
    return np.array(kept).reshape(-1, 15)


def overlap(a, b):
    """Intersection over union of two boxes."""
    shared = np.minimum(a[:2] + a[2:4], b[:2] + b[2:4]) - np.maximum(a[:2], b[:2])
    both = max(0.0, shared[0]) * max(0.0, shared[1])
    return both / (a[2] * a[3] + b[2] * b[3] - both)


def pick(rows, shape):
    """The largest and most central face."""
    middle = np.array([shape[1], shape[0]]) / 2
    offset = np.square(rows[:, :2] + rows[:, 2:4] / 2 - middle).sum(1)
    return rows[np.argmax(rows[:, 2] * rows[:, 3] - 2 * offset)]


def align(image, points):
    """Cut out the 112x112 face by the similarity that brings the five points nearest to the
    template.
    """
    source, target = points @ (1, 1j), TEMPLATE @ (1, 1j)
    centred = source - source.mean()
    turn = np.vdot(centred, target - target.mean()) / np.vdot(centred, centred).real
    shift = target.mean() - turn * source.mean()
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    return cv2.warpAffine(image, matrix, (112, 112), flags=cv2.INTER_LINEAR)
