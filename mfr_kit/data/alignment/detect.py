"""Load what finds faces and their landmarks in a photograph."""

import functools
import threading
from pathlib import Path

from mfr_kit import providers, registry
from mfr_kit.data.alignment.detection import Detector
from mfr_kit.data.alignment.robust import Robust
from mfr_kit.errors import KitError
from mfr_kit.providers import Provider

DETECTORS = "mfr_kit.data.detectors"


def load_detector(
    name: str = "yunet",
    model: Path | None = None,
    robust: bool = False,
    provider: Provider | None = None,
) -> Detector:
    """Load a detector.

    Args:
        name: a file of `mfr_kit/data/detectors`.
        model: the user's own model, as that file says; else its usual one.
        robust: settle the landmarks of the picked face over several looks.
        provider: where it runs, from `choose_provider`; None for the CPU.
    Raises:
        KitError: the model is missing or broken, or the provider cannot be started.
    """
    detector = registry.get(DETECTORS, name).load(model, provider)
    return Robust(detector) if robust else detector


def choose_provider(name: str, device: str) -> tuple[Provider | None, str]:
    """Choose where a detector runs.

    Args:
        name: of the detector.
        device: `--device`: auto, cpu, cuda, cuda:N, tensorrt or tensorrt:N.
    Returns:
        The provider, None for the CPU; and a line that says so where that is not what `device`
        says by itself, else "".
    Raises:
        KitError: a device that is not known, or that onnxruntime does not have.
    """
    if device == "cpu":
        return None, ""
    provider = Provider() if device == "auto" else providers.parse_provider(device)
    if provider is None:
        raise KitError(
            f"--device {device}: no device of a detector; give auto, cpu, cuda, cuda:N or tensorrt"
        )
    why = getattr(registry.get(DETECTORS, name), "ON_THE_CPU", "")
    if why:
        return None, f"--device {device}: {why} on the CPU; another --detector may use the device"
    if device != "auto":
        providers.refuse_missing(provider, f"--detector {name}")
        return provider, ""
    there = provider if providers.is_offered("cuda") and providers.starts(provider) else None
    return there, f"--device auto: {name} runs on {there.label if there else 'the CPU'}"


def why_one_by_one(name: str) -> str:
    """Say, in a line, why a detector looks at no two photographs at once; "" where it may."""
    why = getattr(registry.get(DETECTORS, name), "ONE_BY_ONE", "")
    return f"--detect-batch: {why}; another --detector may be faster with it" if why else ""


def detector_of_thread(robust: bool) -> Detector:
    """Return the usual detector, loaded once a thread: two must not look with one at once."""
    return _load_once(robust, threading.get_ident())


@functools.lru_cache(maxsize=8)
def _load_once(robust: bool, thread: int) -> Detector:
    return load_detector(robust=robust)
