"""Where a mask ends: the closed line around the middle of the lower face, on the chart, that best
parts the mask's colours from all others.

The line is a radius for each of `ANGLES` directions. What a radius costs is how much mask it leaves
outside and how much else it takes in, less the step of colour it lies on, plus how far it is from
where masks usually end; neighbours cost what they differ. Dynamic programming finds the cheapest
line; the colours are learned once from where mask and skin usually are, and again from the line.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from mfr_kit.masks.fields import BOX
from mfr_kit.masks.harvest.chart_view import ChartView
from mfr_kit.masks.recipe import curve

STEP = 1.0
"""Millimetres between the radii that are tried."""
CENTRE = np.array([0.0, 66.0])
ANGLES = 120
_RADII = np.arange(8.0, 122.0, STEP)
_USUAL = [[0, 14], [14, 17], [30, 23], [52, 27], [76, 29], [84, 40], [86, 62], [82, 84]]
_USUAL += [[74, 101], [54, 114], [30, 121], [0, 123]]
_SPREAD, _FARTHEST = 15.0, 45.0  # mm: of where masks end, and the most that is looked at
_EDGE, _PRIOR, _BEND = 10.0, 3.0, 0.7  # weights against mm of wrongly parted colour
_JUMP = 4  # radii that neighbours may differ by
_CAP = 3.0  # the most a millimetre says for mask or for something else
_NOISE = np.array([7.0, 4.0, 4.0])  # standard deviation of a cloth's Lab colour at the least
_CLUSTERS, _ROUNDS, _SAMPLES = 4, 12, 2500
_ELSE = 1 / (100.0 * 80 * 80)  # how likely a colour of neither mask nor skin is


@dataclass(frozen=True)
class Outline:
    """A mask's border on the chart.

    Args:
        radii: (ANGLES,) mm from `CENTRE`; direction 0 is to the right, and on downwards.
        lab: (rows, columns, 3) float32, the chart at a pixel a mm in CIE Lab (L in 0..100).
        for_else: (rows, columns) float32, log of how much likelier each is something else than
            mask, within +-3.
        skin: (3,) median Lab colour of the skin around the eyes.
    """

    radii: np.ndarray
    lab: np.ndarray
    for_else: np.ndarray
    skin: np.ndarray

    @property
    def points(self) -> np.ndarray:
        """(ANGLES, 2) U and V in mm."""
        return CENTRE + self.radii[:, None] * directions()

    def inside(self, margin: float = 0.0) -> np.ndarray:
        """Which chart pixels, one a mm, lie inside by `margin` mm (negative: outside by less)."""
        layer = np.zeros(self.lab.shape[:2], np.uint8)
        ring = CENTRE + np.maximum(self.radii - margin, 1)[:, None] * directions()
        cv2.fillPoly(layer, [np.rint((ring - BOX[:2] - 0.5) * 16).astype(np.int32)], 1, shift=4)
        return layer > 0


def directions() -> np.ndarray:
    """(ANGLES, 2) unit vectors."""
    angles = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def find(view: ChartView) -> Outline:
    """Find the outline of what covers the lower face, mask or not: `judge` says which."""
    size = round(BOX[2] - BOX[0]), round(BOX[3] - BOX[1])
    rgb = np.clip(cv2.resize(view.image, size, interpolation=cv2.INTER_AREA), 0, 255)
    lab = cv2.cvtColor(rgb / np.float32(255), cv2.COLOR_RGB2LAB)
    seen = cv2.resize(view.seen, size, interpolation=cv2.INTER_AREA)
    u = BOX[0] + np.arange(size[0])[None] + 0.5
    v = BOX[1] + np.arange(size[1])[:, None] + 0.5
    cloth = (np.abs(u) < 42) & (v > 50) & (v < 94) & (seen > 0)
    bare = (np.abs(u) < 52) & (v > -36) & (v < 9) & (seen > 0)
    cheeks = (np.abs(u) > 14) & (np.abs(u) < 55) & (v > 6) & (v < 13)
    forehead = (np.abs(u) < 36) & (v > -38) & (v < -22)
    skin = np.median(lab[(cheeks | forehead) & (seen > 0)], axis=0) if bare.any() else lab[0, 0]
    for _ in range(2):
        for_else = _tell(lab, cloth, bare) * np.minimum(2 * seen, 1)
        radii = _cheapest(lab, for_else)
        found = Outline(radii, lab, for_else, skin)
        cloth = found.inside(6.0) & (seen > 0)
        bare = ~found.inside(-5.0) & (np.abs(u) < 70) & (v > -36) & (v < 45) & (seen > 0)
        if cloth.sum() < 200 or bare.sum() < 200:
            break
    return found


def _tell(lab: np.ndarray, cloth: np.ndarray, bare: np.ndarray) -> np.ndarray:
    """How much likelier each pixel is something else than mask."""
    mask, skin = _density(lab, lab[cloth]), _density(lab, lab[bare])
    ratio = np.log(0.5 * skin + _ELSE) - np.log(mask + 0.3 * _ELSE)
    return np.clip(ratio, -_CAP, _CAP).astype(np.float32)


def _density(lab: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """The density of a few samples' colours, as a mixture of normal distributions."""
    if len(samples) < 20:
        return np.zeros(lab.shape[:2], np.float32)
    samples = samples[:: -(-len(samples) // _SAMPLES)]
    centres, labels = _cluster(samples)
    density = np.zeros(lab.shape[:2], np.float32)
    for index, centre in enumerate(centres):
        own = samples[labels == index]
        if len(own) < 5:
            continue
        deviation = np.sqrt(own.var(axis=0) + _NOISE**2)
        offset = (lab - np.float32(centre)) * np.float32(1 / deviation)
        distance = np.einsum("ijk,ijk->ij", offset, offset)
        share = len(own) / len(samples) / ((2 * np.pi) ** 1.5 * deviation.prod())
        density += share * np.exp(-0.5 * distance)
    return density


def _cluster(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """K-means from centres spread along lightness: without a random start."""
    order = np.argsort(samples[:, 0], kind="stable")
    at = (np.arange(_CLUSTERS) + 0.5) / _CLUSTERS * len(samples)
    centres = samples[order[at.astype(int)]].astype(np.float64)
    for _ in range(_ROUNDS):
        # squared distances, but for what is the same for all centres
        labels = ((centres**2).sum(axis=1) - 2 * samples @ centres.T).argmin(axis=1)
        for index in range(_CLUSTERS):
            if (labels == index).any():
                centres[index] = samples[labels == index].mean(axis=0)
    return centres, labels


def _usual_radii() -> np.ndarray:
    """Where masks usually end, in each direction."""
    right = np.array(_USUAL, np.float64)
    ring = curve(np.concatenate([right, right[-2:0:-1] * (-1, 1)]), closed=True) - CENTRE
    angle = np.arctan2(ring[:, 1], ring[:, 0]) % (2 * np.pi)
    order = np.argsort(angle)
    wanted = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    return np.interp(wanted, angle[order], np.hypot(*ring.T)[order], period=2 * np.pi)


def along_rays(layer: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Sample a layer, a pixel a mm, at (ANGLES, N) mm from `CENTRE` along every direction."""
    points = CENTRE + radii[..., None] * directions()[:, None]
    x, y = np.moveaxis(points - BOX[:2] - 0.5, -1, 0).astype(np.float32)
    return cv2.remap(layer, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _cheapest(lab: np.ndarray, for_else: np.ndarray) -> np.ndarray:
    """Find the line of least cost; (ANGLES,) radii in mm."""
    tried = np.broadcast_to(_RADII, (ANGLES, len(_RADII)))
    taken_in = np.cumsum(along_rays(for_else, tried), axis=1) * STEP
    smooth = cv2.GaussianBlur(lab, (0, 0), 1.0)
    step = along_rays(smooth, tried + 2) - along_rays(smooth, tried - 2)
    contrast = np.minimum(np.linalg.norm(step, axis=2) / 25, 1.0)
    away = np.abs(tried - _usual_radii()[:, None])
    cost = taken_in - _EDGE * contrast + _PRIOR * (away / _SPREAD) ** 2
    cost[away > _FARTHEST] = 1e6
    return _RADII[_closed_path(cost)]


def _closed_path(cost: np.ndarray) -> np.ndarray:
    """The path through (directions, radii) of least cost whose ends meet: of a path that goes
    around three times, the middle.
    """
    rounds = np.tile(cost, (3, 1))
    bends = _BEND * np.arange(-_JUMP, _JUMP + 1)[:, None] ** 2.0
    size = cost.shape[1]
    total, choices = rounds[0], []
    for row in rounds[1:]:
        padded = np.pad(total, _JUMP, constant_values=1e9)
        shifted = sliding_window_view(padded, size) + bends
        choice = shifted.argmin(axis=0)
        choices.append(choice)
        total = row + shifted.min(axis=0)
    path = [int(total.argmin())]
    for choice in reversed(choices):
        path.append(path[-1] + int(choice[path[-1]]) - _JUMP)
    whole = np.array(path[::-1])
    return whole[len(cost) : 2 * len(cost)]
