"""One face of a photograph to one look, or the reason why not."""

from dataclasses import dataclass

import cv2
import numpy as np

from mfr_kit.masks.harvest import chart_view, judge, outline, take_off
from mfr_kit.masks.harvest.chart_view import ChartView
from mfr_kit.masks.harvest.judge import Measures
from mfr_kit.masks.harvest.outline import Outline


@dataclass(frozen=True)
class Harvested:
    """A mask taken off a face.

    Args:
        texture: (420, 480, 4) uint8 RGBA over `fields.BOX`, see `take_off.extract`.
        measures: of its outline.
        view: the face on the chart.
        outline: the mask's border there.
    """

    texture: np.ndarray
    measures: Measures
    view: ChartView
    outline: Outline


def harvest_face(photo: np.ndarray, landmarks: np.ndarray) -> Harvested | str:
    """Take the mask off a face.

    Args:
        photo: (H, W, 3) uint8 RGB.
        landmarks: (5, 2), (68, 2) or (106, 2) points in its pixels.
    Returns:
        The mask, or why there is none: a reason of `judge.refuse_view` or `judge.refuse`.
    Raises:
        KitError: unusable landmarks.
    """
    view = chart_view.view(photo, landmarks)
    if reason := judge.refuse_view(view):
        return reason
    found = outline.find(view)
    measures = judge.measure(view, found)
    if reason := judge.refuse(measures):
        return reason
    return Harvested(take_off.extract(view, found), measures, view, found)


class Repeats:
    """Finds masks that were harvested before: the same picture twice, or another of its series."""

    def __init__(self) -> None:
        self._known: list[tuple[str, np.ndarray, np.ndarray]] = []

    def find(self, harvested: Harvested) -> str:
        """Return the name of a known look that is the same; "" for a new one."""
        thumb, radii = _thumb(harvested.texture), harvested.outline.radii
        for name, other, other_radii in self._known:
            if np.abs(radii - other_radii).mean() < 3 and np.abs(thumb - other).mean() < 5:
                return name
        return ""

    def add(self, name: str, harvested: Harvested) -> None:
        """Remember a look."""
        self._known.append((name, _thumb(harvested.texture), harvested.outline.radii))


def _thumb(texture: np.ndarray) -> np.ndarray:
    """The middle of a mask's texture, small: (16, 16, 3) float32."""
    height, width = texture.shape[:2]
    middle = texture[height * 6 // 21 : height * 15 // 21, width // 4 : width * 3 // 4, :3]
    return cv2.resize(middle, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float32)
