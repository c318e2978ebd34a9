"""The texture of a mask from its place on the chart: without the light of the photograph, with a
clean edge and drawn ear loops.
"""

import cv2
import numpy as np

from mfr_kit.masks import light
from mfr_kit.masks.fields import BOX
from mfr_kit.masks.harvest.chart_view import SCALE, ChartView, places
from mfr_kit.masks.harvest.outline import CENTRE, STEP, Outline, directions
from mfr_kit.masks.recipe import curve

_LIKE_SKIN = 25.0  # Lab units from the median skin
_MOST_SHADE = 0.45  # of log brightness that counts as light on the mask and not as its colour
_WHITE = 250.0  # the brightest a mask is taken to be under full light
_INSET = 0.7  # mm by which the outline is drawn in
_WIDEST = 100.0  # mm: a wider one has its loops, if any, where nobody sees them
_LOOP_MM, _PALE = 3.0, (236.0, 236.0, 233.0)
_EARS = ((108.0, 3.0), (107.0, 53.0))


def extract(view: ChartView, found: Outline) -> np.ndarray:
    """Take a mask off a face.

    Args:
        view: the face on the chart.
        found: the mask's outline.
    Returns:
        (420, 480, 4) uint8 RGBA over `fields.BOX`, 2 pixels a mm: colours as under white light that
        `light.measure` calls full, and opacity.
    """
    exposure, tint = _light_on(view, found)
    colour = view.image / (exposure * tint)
    colour /= _shade(view, found)[..., None]
    ring = _ring(found, _INSET)
    body = _fill(ring)
    # brighter than white is a guess of the light that was too low: folds must not drown in it
    colour *= min(_WHITE / float(np.percentile(colour[body > 127].max(axis=1), 98)), 1.0)
    margin = float(np.clip(1.5 / view.pose.scale, 1.2, 3.0))
    colour = _grow(np.clip(colour, 0, 255), _fill(_ring(found, _INSET + margin)) > 127)
    middle = np.median(colour[body > 127], axis=0)
    loops = cv2.max(_loops(ring), body)
    dyed = middle if middle @ (0.299, 0.587, 0.114) < 90 else np.array(_PALE)
    # Beyond the edge too: a texel that is half transparent has the mask's colour all the same.
    share = cv2.dilate(body, np.ones((9, 9), np.uint8))[..., None].astype(np.float32) / 255
    colour = colour * share + dyed * (1 - share)
    return np.dstack([np.rint(colour).astype(np.uint8), loops])


def _light_on(view: ChartView, found: Outline) -> tuple[float, np.ndarray]:
    """How bright the photograph's light is, 1 for full, and its colour (3,), by the skin that the
    mask leaves bare: what the renderer multiplies a mask by on this face.
    """
    rows, columns = found.lab.shape[:2]
    rgb = cv2.resize(view.image, (columns, rows), interpolation=cv2.INTER_AREA)
    like_skin = np.linalg.norm(found.lab - found.skin, axis=2) < _LIKE_SKIN
    skin = like_skin & ~found.inside(-3.0)
    rgb = np.where(skin[..., None], rgb, np.median(rgb[skin], axis=0) if skin.any() else rgb)
    window = slice(4, 85), slice(columns // 2 - 60, columns // 2 + 60)  # V -36 .. 45, U -60 .. 60
    region = np.clip(np.rint(rgb[window]), 0, 255).astype(np.uint8)
    coverage = skin[window].astype(np.uint8) * 255
    size = (light.GRID, light.GRID)
    weight: np.ndarray = cv2.resize(coverage, size, interpolation=cv2.INTER_AREA)
    lit = light.measure(cv2.resize(region, size, interpolation=cv2.INTER_AREA), weight)
    weights = weight.astype(np.float32) + light.LEAST
    return float((lit.gain * weights).sum() / weights.sum()), lit.tint[:, 0]


def _shade(view: ChartView, found: Outline) -> np.ndarray:
    """The slow change of brightness over a mask that comes from the light and the head's form, and
    that the renderer will take from the face it puts the mask on: a factor for each chart pixel.
    """
    small = found.inside(3.0)
    rows, columns = small.shape
    luma = cv2.resize(view.image, (columns, rows), interpolation=cv2.INTER_AREA) @ np.array(
        [0.299, 0.587, 0.114], np.float32
    )
    brightness = np.log(luma[small] + 12)
    v, u = np.nonzero(small)
    terms = _terms(u + 0.5 + BOX[0], v + 0.5 + BOX[1])
    weight = np.ones(len(brightness))
    for _ in range(4):  # prints and folds are no light: what is off the fit counts less and less
        fit = np.linalg.lstsq(terms * weight[:, None], brightness * weight, rcond=None)[0]
        weight = 1 / np.maximum(1, np.abs(brightness - terms @ fit) / 0.1) ** 0.5
    everywhere = _terms(*places()) @ fit - (terms @ fit).mean()
    return np.exp(light.FOLLOW * np.clip(everywhere, -_MOST_SHADE, _MOST_SHADE)).astype(np.float32)


def _terms(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The polynomial's terms, (..., 5), of places in mm."""
    x, y = u / 80, (v - CENTRE[1]) / 60
    return np.stack([np.ones_like(x), x, y, x * x, y * y], axis=-1)


def _ring(found: Outline, inset: float) -> np.ndarray:
    """The outline without the steps of its search, drawn in by so many mm; (ANGLES, 2) in mm."""
    radii = found.radii
    for _ in range(2):
        radii = (np.roll(radii, 1) + 2 * radii + np.roll(radii, -1)) / 4
    return CENTRE + np.maximum(radii - inset, STEP)[:, None] * directions()


def _fill(ring: np.ndarray) -> np.ndarray:
    """Fill a ring of points in mm with 255 on the chart, with a smooth edge."""
    layer = np.zeros(places()[0].shape, np.uint8)
    cv2.fillPoly(layer, [_fixed(ring)], 255, cv2.LINE_AA, shift=4)
    return layer


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.rint(((points - BOX[:2]) * SCALE - 0.5) * 16).astype(np.int32)


def _grow(colour: np.ndarray, core: np.ndarray) -> np.ndarray:
    """Give every place outside the core the colour of the nearest place in it: at its edge a mask
    in a photograph is mixed with what is beside it.
    """
    outside = np.where(core, 0, 255).astype(np.uint8)
    labels = cv2.distanceTransformWithLabels(
        outside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )[1]
    of_label = np.zeros((labels.max() + 1, 3), np.float32)
    of_label[labels[core]] = colour[core]
    grown = of_label[labels]
    return np.where(core[..., None], colour, cv2.blur(grown, (5, 5)))


def _loops(ring: np.ndarray) -> np.ndarray:
    """Draw ear loops from the corners of a mask to the ears, (H, W) uint8 opacity; none for a wide
    mask. In photographs they are too thin, and too often under hair, to be taken off.
    """
    layer = np.zeros(places()[0].shape, np.uint8)
    for sign in (1, -1):
        side = ring * (sign, 1)
        reach = side[:, 0].max()
        if reach > _WIDEST:
            continue
        edge = side[side[:, 0] > 0.9 * reach]
        ends = edge[edge[:, 1].argmin()], edge[edge[:, 1].argmax()]
        for (x, y), ear in zip(ends, _EARS, strict=True):
            middle = (0.55 * (x - 2) + 0.45 * ear[0], 0.6 * y + 0.4 * ear[1])
            line = curve(np.array([(x - 2, y), middle, ear])) * (sign, 1)
            thickness = round(_LOOP_MM * SCALE)
            cv2.polylines(layer, [_fixed(line)], False, 255, thickness, cv2.LINE_AA, shift=4)
    return layer
