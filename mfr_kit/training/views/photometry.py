"""The photometric part of a view: drawn and done by albumentations, or drawn alone and written
down as steps that another machine can take.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfr_kit.data.alignment.align import SIZE

# in the order in which they are taken; some of them twice
ORDER = ("lut", "hsv", "grey", "filter", "resample", "noise", "jpeg")
TAPS = 5  # of a filter, on either axis: those of 3 have zeros around
_RAMP = np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, 2)


@dataclass(frozen=True)
class Step:
    """One change of a picture's pixels.

    Args:
        kind: one of ORDER.
        values: lut (256,) uint8; hsv (2, 256) uint8, new hues and saturations; grey (0,); filter
            (TAPS, TAPS) float32; resample (2, SIZE) uint8, the rows and columns that are shown;
            noise (SIZE, SIZE, 3) int8, added; jpeg (1,) uint8, the quality (red taken for blue).
    """

    kind: str
    values: np.ndarray


def photometry(probability: float):
    """Build the photometric part: light, colour, blur, low resolution, noise, compression; geometry
    is left alone.

    Args:
        probability: factor on the probability of each, >= 0.
    Returns:
        An albumentations Compose; seed it per sample with `seed` (its own seed would repeat per
        worker).
    """
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = (
        "1"  # it asks the network for a newer version on import
    )
    import albumentations as A

    def p(base: float) -> float:
        return min(1.0, base * probability)

    blur = [
        A.GaussianBlur(blur_limit=(3, 5)),
        A.MotionBlur(blur_limit=(3, 5)),
        A.Downscale(scale_range=(0.4, 0.8)),
    ]
    return A.Compose(
        [
            A.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.2, p=p(0.5)),
            A.RandomGamma(gamma_limit=(70, 140), p=p(0.2)),
            A.HueSaturationValue(
                hue_shift_limit=6, sat_shift_limit=25, val_shift_limit=0, p=p(0.3)
            ),
            A.ToGray(p=p(0.03)),
            A.OneOf(blur, p=p(0.2)),
            A.GaussNoise(std_range=(0.01, 0.04), p=p(0.15)),
            A.ImageCompression(quality_range=(40, 90), p=p(0.2)),
        ]
    )


def seed(composed, rng: np.random.Generator) -> None:
    """Let a `photometry` draw from a sample's generator."""
    composed.set_random_state(rng, random.Random(int(rng.integers(1 << 62))))


class Recorder:
    """Draws what `photometry` of the same probability would do, and does none of it."""

    def __init__(self, probability: float):
        self._composed = photometry(probability)
        self._taken: list[tuple[Any, dict[str, Any]]] = []
        self._blank = np.zeros((SIZE, SIZE, 3), np.uint8)  # its shape is all that draws look at
        for step in _leaves(self._composed):
            step.apply_with_params = self._note(step)

    def _note(self, transform) -> Callable[..., dict]:
        def note(params: dict[str, Any], **data) -> dict:
            self._taken.append((transform, params))
            return data

        return note

    def draw(self, rng: np.random.Generator) -> list[Step]:
        """Draw the steps of a sample, in ORDER."""
        self._taken.clear()
        seed(self._composed, rng)
        self._composed(image=self._blank)
        return [_STEPS[type(step).__name__](step, params) for step, params in self._taken]


def _leaves(composed) -> list:
    own = getattr(composed, "transforms", None)
    return [composed] if own is None else [leaf for step in own for leaf in _leaves(step)]


def _lut(transform, params: dict[str, Any]) -> Step:
    return Step("lut", transform.apply(_RAMP, **params)[:, 0, 0])


def _hsv(transform, params: dict[str, Any]) -> Step:
    """Hues have 180 steps; a grey pixel stays grey."""
    from albucore.functions import add_constant

    hues = np.mod(_RAMP[:, 0, 0].astype(np.int16) + params["hue_shift"], 180).astype(np.uint8)
    saturations = add_constant(_RAMP[:, :, 0].copy(), params["sat_shift"], inplace=True)[:, 0]
    saturations[0] = 0
    return Step("hsv", np.stack([hues, saturations]))


def _filter(transform, params: dict[str, Any]) -> Step:
    kernel = np.asarray(params["kernel"], np.float32)
    if kernel.ndim == 1 or 1 in kernel.shape:  # of both axes
        kernel = np.outer(kernel, kernel)
    around = (TAPS - len(kernel)) // 2
    return Step("filter", np.pad(kernel, around).astype(np.float32))


def _resample(transform, params: dict[str, Any]) -> Step:
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.uint8)
    shown = transform.apply(np.dstack([rows, columns, columns]), **params)
    return Step("resample", np.stack([shown[:, 0, 0], shown[0, :, 1]]))


def _noise(transform, params: dict[str, Any]) -> Step:
    """Whole numbers, since albumentations cuts the noise to whole numbers."""
    whole = np.trunc(params["noise_map"])
    return Step("noise", np.clip(whole, -127, 127).astype(np.int8))


_STEPS: dict[str, Callable[[Any, dict[str, Any]], Step]] = {
    "RandomBrightnessContrast": _lut,
    "RandomGamma": _lut,
    "HueSaturationValue": _hsv,
    "ToGray": lambda transform, params: Step("grey", np.zeros(0, np.uint8)),
    "GaussianBlur": _filter,
    "MotionBlur": _filter,
    "Downscale": _resample,
    "GaussNoise": _noise,
    "ImageCompression": lambda transform, params: Step(
        "jpeg", np.array([params["quality"]], np.uint8)
    ),
}
