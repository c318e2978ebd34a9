"""SCRFD or InsightFace's RetinaFace: of a model pack, with the pack's 106 or 68 landmarks, or a
single .onnx. `--detector-model`: the pack's name or folder, or the file.

Packs lie in `models/` of `INSIGHTFACE_HOME`, else of `~/.insightface`. insightface downloads a pack
that is not there; this does not. A photograph is shown as insightface shows it: letter-boxed into
the top left of the input, RGB, (value - 127.5) / 128, or as a pack's manifest says.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mfr_kit import providers
from mfr_kit.data.alignment.detection import Detection, usable
from mfr_kit.data.detectors._scrfd import ScrfdBatch
from mfr_kit.errors import KitError
from mfr_kit.providers import Provider
from mfr_kit.registry import near_path

USUAL = "buffalo_l"
INPUT_SIZE = (640, 640)  # what a photograph is shrunk to
CROP_SIZE = (128, 128)  # what a crop around one face is shrunk to
THRESHOLD, CROP_THRESHOLD = 0.5, 0.3
DENSE = ("landmark_2d_106", "landmark_3d_68")  # the first that the pack has
BOXES_ONLY = (6, 10)  # outputs of a detector without landmarks, of 3 or 5 strides
WITH_POINTS = (9, 15)  # the same with them: scores, boxes and points of each stride
MANIFEST = "manifest.json"  # of a pack of insightface 2: says which file does what
WIDTHS = (1, 4, 10)  # of a row of scores, boxes and points


class InsightFace:
    """The detector of an `insightface.app.FaceAnalysis`, and its dense landmarks.

    Args:
        models: prepared, by insightface's names of their tasks; one is "detection".
        provider: where they run; None for the CPU.
    """

    def __init__(self, models: dict[str, Any], provider: Provider | None = None) -> None:
        self._detector, self._provider = models["detection"], provider
        self._batch: ScrfdBatch | None = None  # opened when it is asked for
        self._dense = next((models[name] for name in DENSE if name in models), None)

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Find the faces of an (H, W, 3) uint8 RGB photograph."""
        return self._find(image, INPUT_SIZE, THRESHOLD)

    def detect_many(self, images: list[np.ndarray]) -> list[list[Detection]]:
        """Find the faces of several photographs of any sizes, shown to the network in one batch.

        Raises:
            KitError: the network computes one photograph at a time.
        """
        if len(images) < 2:
            return [self.detect(image) for image in images]
        if self._batch is None:
            self._batch = ScrfdBatch(self._detector, INPUT_SIZE, self._provider)
        shown = [cv2.cvtColor(image, cv2.COLOR_RGB2BGR) for image in images]
        return [_detections(*found) for found in self._batch.find(shown, THRESHOLD)]

    def detect_in_crop(self, image: np.ndarray) -> list[Detection]:
        """Find the face of a crop."""
        return self._find(image, CROP_SIZE, CROP_THRESHOLD)

    def refine(self, image: np.ndarray, face: Detection) -> Detection:
        """Add the dense landmarks, where the pack has a model for them."""
        if self._dense is None:
            return face
        from insightface.app.common import Face

        box = np.concatenate([face.box[:2], face.box[:2] + face.box[2:]])
        points = self._dense.get(
            cv2.cvtColor(image, cv2.COLOR_RGB2BGR),
            Face(bbox=box, kps=face.landmarks, det_score=face.score),
        )
        return replace(face, dense=np.asarray(points, np.float32)[:, :2])

    def _find(self, image: np.ndarray, size: tuple[int, int], threshold: float) -> list[Detection]:
        boxes, points = self._detector.detect(
            cv2.cvtColor(image, cv2.COLOR_RGB2BGR), input_size=size, det_thresh=threshold
        )
        return _detections(boxes, points)


def _detections(boxes: np.ndarray, points: np.ndarray) -> list[Detection]:
    found = []
    for box, landmarks in zip(boxes, points, strict=True) if len(boxes) else ():
        left, top, right, bottom, score = box.tolist()
        found.append(
            Detection(
                np.array([left, top, right - left, bottom - top], np.float32),
                landmarks.astype(np.float32),
                score,
            )
        )
    return usable(found)


def load(model: Path | None = None, provider: Provider | None = None) -> InsightFace:
    """Load a pack or a detector. On the CPU it has one thread: processes are the parallelism, and
    the same bytes come out on every machine; a device's landmarks differ in the last digits.

    Args:
        model: a pack's name or folder, or an .onnx file; by default buffalo_l, or the only pack
            there is.
        provider: where it runs; None for the CPU.
    Raises:
        KitError: no such pack (the message says what fetches it) or file, one without a detector
            of five landmarks, or a provider that is not there or cannot be started.
    """
    is_file = model is not None and model.suffix == ".onnx" and not model.is_dir()
    path = _file(model) if model is not None and is_file else _pack(model)
    if provider is not None:
        providers.refuse_missing(provider, str(path))
    models = _read(path, provider)
    if "detection" not in models:
        raise KitError(f"{path}: no detector; if this is an InsightFace pack, fetch it again")
    shapes = [output.shape for output in models["detection"].session.get_outputs()]
    _refuse_outputs(path, shapes)
    if provider is not None:
        for network in models.values():
            providers.refuse_fallback(network.session, provider)
    number = -1 if provider is None else provider.number
    models["detection"].prepare(number, input_size=INPUT_SIZE, det_thresh=THRESHOLD)
    for name, network in models.items():
        if name != "detection":
            network.prepare(number)
    return InsightFace(models, provider)


def _read(path: Path, provider: Provider | None) -> dict[str, Any]:
    """Load a pack's detector and landmarks, or a file's detector, by insightface."""
    import onnxruntime
    from insightface.app import FaceAnalysis
    from insightface.model_zoo import model_zoo

    session = onnxruntime.SessionOptions()
    session.intra_op_num_threads = 1
    how = {"providers": providers.in_order(provider), "sess_options": session}
    again = "remove it and fetch it again"
    try:
        if path.is_dir():
            return FaceAnalysis(str(path), allowed_modules=["detection", *DENSE], **how).models
        _refuse_outputs(path, _output_shapes(path))
        return {"detection": model_zoo.get_model(str(path), **how)}
    except KitError:
        raise
    except AssertionError:
        raise KitError(
            f"{path}: no detector among its .onnx files; if this is an InsightFace pack, {again}"
        ) from None
    except Exception as error:  # noqa: BLE001 - whatever a broken .onnx makes onnx, onnxruntime or insightface raise
        what = f"this pack ({error}); {again}" if path.is_dir() else f"this file ({error})"
        device = f", or give --device cpu instead of {provider.label}" if provider else ""
        raise KitError(f"{path}: insightface cannot load {what}{device}") from None


def _output_shapes(path: Path) -> list[list[int]]:
    """The shapes that a graph declares for its outputs, 0 where a side is not fixed."""
    import onnx

    graph = onnx.load_model(str(path), load_external_data=False).graph
    return [
        [side.dim_value for side in output.type.tensor_type.shape.dim] for output in graph.output
    ]


def _refuse_outputs(path: Path, shapes: Sequence[Sequence[Any]]) -> None:
    """Refuse a detector that insightface would run and decode wrongly, or without landmarks.

    Args:
        path: of the pack or file.
        shapes: of its outputs; a side that is not fixed is no positive number.
    """
    count = len(shapes)
    if count in BOXES_ONLY:
        raise KitError(
            f"{path}: its detector finds boxes without the five landmarks that alignment needs; "
            "use another pack or file (InsightFace's `_bnkps` have them)"
        )
    wanted = [width for width in WIDTHS for _ in range(count // len(WIDTHS))]
    widths = [shape[-1] if shape else None for shape in shapes]
    fixed = [isinstance(width, int) and width > 0 for width in widths]
    if count not in WITH_POINTS or any(
        known and width != want for known, width, want in zip(fixed, widths, wanted, strict=True)
    ):
        raise KitError(
            f"{path}: {count} output(s) of widths {widths}; a detector of five landmarks has "
            "scores, boxes and points (1, 4 and 10 wide) of 3 or 5 strides, in this order, as "
            "InsightFace exports SCRFD and RetinaFace: export it so, or use --detector yunet"
        )


def _file(model: Path) -> Path:
    if not model.is_file():
        raise KitError(
            f"{model}: no such file{near_path(model)}; --detector-model wants a detector"
        )
    return model


def _pack(model: Path | None) -> Path:
    """Find the pack's folder without letting insightface look for it, which would download it."""
    if model is not None and (model.is_dir() or len(model.parts) > 1):
        return _with_models(model, model)
    root = Path(os.environ.get("INSIGHTFACE_HOME") or "~/.insightface").expanduser()
    there = sorted(
        item.name
        for item in (root / "models").glob("*")
        if any(item.glob("*.onnx")) or (item / MANIFEST).is_file()
    )
    name = str(model) if model is not None else USUAL if USUAL in there or not there else there[0]
    if model is None and len(there) > 1 and USUAL not in there:
        raise KitError(
            f"{root / 'models'} holds {', '.join(there)}: say which with --detector-model"
        )
    return _with_models(
        root / "models" / name, name, f"insightface-cli model.download {name} --root {root}", there
    )


def _with_models(
    folder: Path, name: Path | str, command: str = "", there: list[str] | None = None
) -> Path:
    if any(folder.glob("*.onnx")) or (folder / MANIFEST).is_file():
        return folder
    below = sorted({file.parent for file in folder.glob("*/*.onnx")})
    if len(below) == 1:
        raise KitError(f"{folder} holds the pack one folder deeper: --detector-model {below[0]}")
    fetch = (
        f"fetch it with `{command}` (mind its licence: research only), or use"
        if command
        else "give another folder, or use"
    )
    others = f" Packs there: {', '.join(there)}." if there else ""
    raise KitError(
        f"no InsightFace model pack '{name}': {folder} holds no .onnx file; {fetch} --detector "
        f"yunet.{others}"
    )
