"""Whether what covers a lower face looks like a mask whose picture is of use: measures of its
outline and colours, and the first of them that speaks against it.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from mfr_kit.masks.harvest.chart_view import ChartView
from mfr_kit.masks.harvest.outline import ANGLES, CENTRE, Outline, along_rays, directions

_DISTINCT = 9.0  # Lab units between mask and what is beside it
_UPWARDS = -0.35  # sine of the directions that count as the upper edge
_LEAST_SCALE = 0.38  # pixels a mm: pupils 24 pixels apart
_MOST_YAW, _MOST_PITCH = 38.0, 20.0  # degrees
_BESIDE = np.array([2.5, 4.0, 5.5, 7.0])  # mm to both sides of the outline


@dataclass(frozen=True)
class Measures:
    """What is measured on an outline.

    Args:
        top: V in mm of the upper edge over the nose, the mean over 16 mm.
        bottom: V in mm of the lowest point.
        half_width: mm from the middle to the nearer side.
        upper_edge: share of the upper edge with another colour on either side.
        whole_edge: the same of all of the outline.
        purity: share of the inside that has the mask's colours.
        skin_distance: Lab units from the skin's colour to the mask's, lightness counted half.
        asymmetry: mean difference in mm between the radii of both sides.
        solidity: its area over that of its convex hull.
        shown: share of the inside that the photograph shows.
    """

    top: float
    bottom: float
    half_width: float
    upper_edge: float
    whole_edge: float
    purity: float
    skin_distance: float
    asymmetry: float
    solidity: float
    shown: float


def measure(view: ChartView, found: Outline) -> Measures:
    """Measure an outline; the units are those of `Measures`."""
    radii, points = found.radii, found.points
    upper = directions()[:, 1] < _UPWARDS
    inner = along_rays(found.lab, radii[:, None] - _BESIDE).mean(axis=1)
    outer = along_rays(found.lab, radii[:, None] + _BESIDE).mean(axis=1)
    distinct = np.linalg.norm(inner - outer, axis=1) > _DISTINCT
    inside = found.inside(4.0)
    colour = np.median(found.lab[inside], axis=0)
    # the direction that mirrors k: 0 is to the right, ANGLES / 2 to the left
    mirrored = (ANGLES // 2 - np.arange(ANGLES)) % ANGLES
    near = (np.abs(points[:, 0]) < 8) & (points[:, 1] < CENTRE[1])
    contour = points.astype(np.float32)
    seen = cv2.resize(view.seen, inside.shape[::-1], interpolation=cv2.INTER_AREA)
    return Measures(
        top=float(points[near, 1].mean()),
        bottom=float(points[:, 1].max()),
        half_width=float(min(points[:, 0].max(), -points[:, 0].min())),
        upper_edge=float(distinct[upper].mean()),
        whole_edge=float(distinct.mean()),
        purity=float((found.for_else[inside] < 0).mean()),
        skin_distance=float(np.linalg.norm((colour - found.skin) * (0.5, 1, 1))),
        asymmetry=float(np.abs(radii - radii[mirrored]).mean()),
        solidity=cv2.contourArea(contour) / cv2.contourArea(cv2.convexHull(contour)),
        shown=float((seen[inside] > 0.01).mean()),
    )


def refuse_view(view: ChartView) -> str:
    """Say why a face is of no use before its outline is looked for; "" where it may be."""
    if view.pose.scale < _LEAST_SCALE:
        return "too_small"
    if abs(view.pose.yaw) > _MOST_YAW or abs(view.pose.pitch) > _MOST_PITCH:
        return "turned_away"
    return ""


def refuse(measures: Measures) -> str:
    """Say why an outline is not taken for a mask's, by the first of these that is so; "" for a
    mask.

    cut_off: more than 3 % lies outside the photograph; like_skin: a bare face or a hand;
    below_nose: a beard, or a mask under the nose; over_eyes; no_edge: nothing parts it from the
    face; too_long: a scarf, or clothes of its colour; too_narrow; patchy: a hand or something
    else covers it; uneven: its sides differ, or it has bays, as beside hair.

    Of 166 photographs of LFW none passes these limits. Of 633 faces of photographs of people with
    masks 303 pass; of those that are neither small nor turned away 61 %.
    """
    checks = (
        (measures.shown < 0.97, "cut_off"),
        (measures.skin_distance < 10, "like_skin"),
        (measures.top > 34, "below_nose"),
        (measures.top < -6, "over_eyes"),
        (measures.upper_edge < 0.85 or measures.whole_edge < 0.65, "no_edge"),
        (measures.bottom > 152, "too_long"),
        (measures.half_width < 55, "too_narrow"),
        (measures.purity < 0.95, "patchy"),
        (measures.asymmetry > 8 or measures.solidity < 0.93, "uneven"),
    )
    return next((reason for fails, reason in checks if fails), "")
