"""Load what finds faces and their landmarks in a photograph."""

from pathlib import Path

from mfr_kit import registry
from mfr_kit.data.alignment.detection import Detector
from mfr_kit.data.alignment.robust import Robust

DETECTORS = "mfr_kit.data.detectors"


def load_detector(name: str = "yunet", model: Path | None = None, robust: bool = False) -> Detector:
    """Load a detector.

    Args:
        name: a file of `mfr_kit/data/detectors`.
        model: the user's own model, as that file says; else its usual one.
        robust: refine the landmarks of the picked face over several looks.
    Raises:
        KitError: the model is missing or broken.
    """
    detector = registry.get(DETECTORS, name).load(model)
    return Robust(detector) if robust else detector
