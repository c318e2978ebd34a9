"""Draw one mask on one face: `render` is the only door, used by the transform, by `augment` and
by the training loader alike.
"""

from collections.abc import Callable, Sequence
from math import cos, pi, sin, sqrt

import cv2
import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.masks import grade, light
from mfr_kit.masks.library import Library, Mask
from mfr_kit.masks.plan import NODES, MaskPlan, plan

# pixels of the shorter side from which an image counts as a photograph that still has its JPEG grid
_PHOTO = 160
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def render(
    face: np.ndarray,
    landmarks: np.ndarray,
    mask: Mask,
    rng: np.random.Generator,
    nodes: int = NODES,
) -> tuple[np.ndarray, np.ndarray]:
    """Put a mask on a face.

    Args:
        face: (H, W, 3) uint8 RGB of any size, an aligned crop or a whole photograph; never written
            to.
        landmarks: (5, 2), (68, 2) or (106, 2) points in its pixels.
        mask: what to draw, from `Library.draw` or `Library.replay`.
        rng: places the grain; with the same generator state and mask the result is the same.
        nodes: mesh density.
    Returns:
        A new image like `face`, and coverage: (H, W) uint8, the mask's opacity (loops included,
        shadow not).
    Raises:
        KitError: not an RGB uint8 image, or unusable landmarks.
    """
    if face.dtype != np.uint8 or face.ndim != 3 or face.shape[2] != 3:
        raise KitError(
            f"an image of shape {face.shape} and type {face.dtype}: masks are drawn on (H, W, 3) "
            "uint8 RGB"
        )
    image, coverage = face.copy(), np.zeros(face.shape[:2], np.uint8)
    planned = plan(face, landmarks, mask, rng, nodes)
    if planned is not None:
        paint(image, coverage, planned)
    return image, coverage


def paint(image: np.ndarray, coverage: np.ndarray, planned: MaskPlan) -> None:
    """Do a render's work on the pixels, in place.

    Args:
        image: (H, W, 3) uint8 RGB, the face that the plan was made for.
        coverage: (H, W) uint8, written in the plan's box.
        planned: from `plan`.
    """
    left, top, right, bottom = box = planned.box
    window = slice(top, bottom), slice(left, right)
    region = image[window]
    layers, alpha = _sample(planned)
    coverage[window] = alpha
    is_photo = min(image.shape[:2]) >= _PHOTO and not planned.mask.look.flat
    quality = grade.jpeg_quality(region, left, top) if is_photo else None
    _compose(region, layers, alpha, planned)
    if quality is not None:
        grade.recompress(image, coverage, box, quality)


def from_library(
    library: Library,
) -> Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray, dict]]:
    """Return the function that draws a mask of a library and puts it on: (face, landmarks, rng)
    -> (image, coverage, parameters).
    """

    def put_on(
        face: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, dict]:
        mask = library.draw(rng)
        return *render(face, landmarks, mask, rng), mask.parameters

    return put_on


def _sample(planned: MaskPlan) -> tuple[np.ndarray, np.ndarray]:
    """Read the texture through the mesh: (h, w, 3) uint8 colours or weights, and (h, w) uint8
    opacity.
    """
    texture, mesh = planned.mask.look.levels[planned.level], planned.mesh
    x, y = planned.places
    x, y, miss = mesh.spread(x), mesh.spread(y), mesh.spread(mesh.miss)
    sampled = cv2.remap(
        texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 128, 0)
    )
    # one pixel wide
    silhouette = cv2.addWeighted(miss, -255 * planned.scale, miss, 0, 127.5, dtype=cv2.CV_8U)
    return cv2.cvtColor(sampled, cv2.COLOR_RGBA2RGB), cv2.min(
        cv2.extractChannel(sampled, 3), silhouette, dst=silhouette
    )


def _compose(region: np.ndarray, layers: np.ndarray, alpha: np.ndarray, planned: MaskPlan) -> None:
    """Colour and light the mask, give it the photo's grain and lay it over the region, in place."""
    values, look = planned.mask.parameters, planned.mask.look
    lit = light.measure(region, alpha)
    colour = cv2.transform(layers, _colours(planned.mask, lit))
    clear = cv2.bitwise_not(alpha)
    if not look.flat:
        light.shine(
            colour, light.add_stains(lit.gain, values["seed"], values["crumple"], values["dirt"])
        )
        grade.add_grain(colour, planned.grain)
        # from how much mask is near to how much of the light still reaches the skin there
        shadow = cv2.blur(alpha, (planned.reach, planned.reach))
        cv2.convertScaleAbs(shadow, dst=shadow, alpha=-values["shadow"], beta=255)
        cv2.multiply(clear, shadow, dst=clear, scale=1 / 255)
    if planned.noise is not None:
        colour = cv2.add(colour, planned.noise, dtype=cv2.CV_8U)
    cv2.multiply(colour, cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB), dst=colour, scale=1 / 255)
    cv2.multiply(region, cv2.cvtColor(clear, cv2.COLOR_GRAY2RGB), dst=region, scale=1 / 255)
    cv2.add(region, colour, dst=region)


def _colours(mask: Mask, lit: light.Light) -> np.ndarray:
    """The (3, 4) matrix that turns a texture's channels into RGB, tinted by the light where the
    look takes any.
    """
    values = mask.parameters
    if mask.look.mode == "colour":
        rows = toned(*values["tone"])
    else:
        base, dyed, trim = (_colour(values.get(part), lit) for part in ("base", "print", "trim"))
        depth = values["relief"] * (0.25 + 0.75 * sum(base) / 765)
        rows = [
            ((d - b) / 255, (t - b) / 255, depth, b - 127.5 * depth)
            for b, d, t in zip(base, dyed, trim, strict=True)
        ]
    matrix = np.array(rows, np.float32)
    if lit.grey:
        matrix[:] = LUMA @ matrix
    elif not mask.look.flat:
        matrix *= lit.tint
    return matrix


def _colour(value: list[int] | None, lit: light.Light) -> Sequence[float]:
    """A drawn colour; light grey where a look has none, and the skin's where it says so
    (negative values).
    """
    if value is None:
        return 230, 230, 230
    return lit.skin if value[0] < 0 else value


def toned(hue: float, saturation: float, value: float) -> list[tuple[float, float, float, float]]:
    """The rows of a (3, 4) colour matrix: rotate hue (turns) about the grey axis, scale
    saturation and value.
    """
    along, across = (
        value * saturation * cos(2 * pi * hue),
        value * saturation * sin(2 * pi * hue) / sqrt(3),
    )
    own, rest = (value + 2 * along) / 3, (value - along) / 3
    return [
        (own, rest - across, rest + across, 0.0),
        (rest + across, own, rest - across, 0.0),
        (rest - across, rest + across, own, 0.0),
    ]
