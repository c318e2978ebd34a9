"""SCRFD of an InsightFace model pack, with the pack's 106 or 68 landmarks. `--detector-model`: the
pack's name or folder.

Packs lie in `models/` of `INSIGHTFACE_HOME`, else of `~/.insightface`. insightface downloads a pack
that is not there; this does not.
"""

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from mfr_kit import providers
from mfr_kit.data.alignment.detection import Detection, usable
from mfr_kit.errors import KitError
from mfr_kit.providers import Provider

USUAL = "buffalo_l"
INPUT_SIZE = (640, 640)  # what a photograph is shrunk to
CROP_SIZE = (128, 128)  # what a crop around one face is shrunk to
THRESHOLD, CROP_THRESHOLD = 0.5, 0.3
DENSE = ("landmark_2d_106", "landmark_3d_68")  # the first that the pack has


class InsightFace:
    """The detector and the dense landmarks of an `insightface.app.FaceAnalysis`.

    Args:
        app: prepared; with at least a detection model.
    """

    def __init__(self, app) -> None:
        self._detector = app.models["detection"]
        self._dense = next((app.models[name] for name in DENSE if name in app.models), None)

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Find the faces of an (H, W, 3) uint8 RGB photograph."""
        return self._find(image, INPUT_SIZE, THRESHOLD)

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
    """Load a pack. On the CPU it has one thread: processes are the parallelism, and the same bytes
    come out on every machine; a device's landmarks differ in the last digits.

    Args:
        model: a pack's name or folder; by default buffalo_l, or the only pack there is.
        provider: where it runs; None for the CPU.
    Raises:
        KitError: no such pack (the message says what fetches it), one without a detector of five
            landmarks, or a provider that is not there or cannot be started.
    """
    folder = _pack(model)
    if provider is not None:
        providers.refuse_missing(provider, str(folder))
    import onnxruntime
    from insightface.app import FaceAnalysis

    session = onnxruntime.SessionOptions()
    session.intra_op_num_threads = 1
    try:
        app = FaceAnalysis(
            str(folder),
            allowed_modules=["detection", *DENSE],
            providers=providers.in_order(provider),
            sess_options=session,
        )
    except AssertionError:
        raise KitError(
            f"{folder}: no detector among its .onnx files; if this is an InsightFace pack, "
            "remove it and fetch it again"
        ) from None
    except Exception as error:  # noqa: BLE001 - whatever a broken .onnx makes onnx, onnxruntime or insightface raise
        raise KitError(
            f"{folder}: insightface cannot load this pack ({error}); remove it and fetch it again"
            + (f", or give --device cpu instead of {provider.label}" if provider else "")
        ) from None
    if provider is not None:
        for network in app.models.values():
            providers.refuse_fallback(network.session, provider)
    number = -1 if provider is None else provider.number
    app.prepare(ctx_id=number, det_thresh=THRESHOLD, det_size=INPUT_SIZE)
    if not app.models["detection"].use_kps:
        raise KitError(
            f"{folder}: its detector finds boxes without the five landmarks that alignment "
            "needs; use another pack"
        )
    return InsightFace(app)


def _pack(model: Path | None) -> Path:
    """Find the pack's folder without letting insightface look for it, which would download it."""
    if model is not None and (model.is_dir() or len(model.parts) > 1):
        return _with_models(model, model)
    root = Path(os.environ.get("INSIGHTFACE_HOME") or "~/.insightface").expanduser()
    there = sorted(item.name for item in (root / "models").glob("*") if any(item.glob("*.onnx")))
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
    if any(folder.glob("*.onnx")):
        return folder
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
