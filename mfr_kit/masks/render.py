"""Draw one mask on one face: `render` is the only door, used by the transform, by `augment` and
by the training loader alike.
"""

from collections.abc import Callable, Sequence
from math import cos, hypot, pi, sin, sqrt

import cv2
import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.masks import grade, light, surface
from mfr_kit.masks.library import Library, Mask
from mfr_kit.masks.pose import Pose, estimate
from mfr_kit.masks.wear import Wear

NODES = 14
"""Mesh nodes along the longer side of the mask's region: finer does not show (see
benchmarks/masks.py).
"""
_MARGIN_MM = 3.5  # how far the shadow reaches beyond what is painted
# pixels of the shorter side from which an image counts as a photograph that still has its JPEG grid
_PHOTO = 160
_WORN = ("top", "bottom", "width", "shift", "tilt_deg")
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


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
    pose = estimate(landmarks)
    fit = mask.look.fit
    model = fit.sections.widened(pose.jaw)
    wear = Wear(**{name: mask.parameters[name] for name in _WORN})
    height, width = face.shape[:2]
    reach = _box(mask, wear, pose)
    left, top, right, bottom = box = (
        max(reach[0], 0),
        max(reach[1], 0),
        min(reach[2], width),
        min(reach[3], height),
    )
    if right - left < 1 or bottom - top < 1:
        return image, coverage
    window = slice(top, bottom), slice(left, right)
    region = image[window]
    found = grade.measure(region)
    mesh = surface.solve(pose, model, box, nodes)
    layers, alpha = _sample(
        mask, wear, mesh, pose.scale, hypot(found.blur, mask.parameters["softness"])
    )
    coverage[window] = alpha
    is_photo = min(face.shape[:2]) >= _PHOTO and not mask.look.flat
    quality = grade.jpeg_quality(region, left, top) if is_photo else None
    _compose(region, layers, alpha, mask, pose.scale, found.grain, rng)
    if quality is not None:
        grade.recompress(image, coverage, box, quality)
    return image, coverage


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


def _box(mask: Mask, wear: Wear, pose: Pose) -> tuple[int, int, int, int]:
    """Bound what is painted in the image: left, top, right, bottom in whole pixels."""
    stretch, offset = wear.heights(mask.look.fit)
    scale, length = pose.scale, pose.scale * pose.length
    (xx, xy, xz), (yx, yy, yz), _ = pose.rotation.tolist()
    across, along = scale * pose.width * max(wear.width, 1.0), stretch * length
    shift_x, shift_y = pose.shift.tolist()
    matrix = [(across * xx, along * xy, scale * xz, shift_x + offset * length * xy)]
    matrix.append((across * yx, along * yy, scale * yz, shift_y + offset * length * yy))
    left, top, width, height = cv2.boundingRect(cv2.transform(mask.look.rim, np.array(matrix)))
    margin = int((_MARGIN_MM + abs(wear.shift)) * scale + 2)
    return left - margin, top - margin, left + width + margin, top + height + margin


def _sample(
    mask: Mask, wear: Wear, mesh: surface.Mesh, scale: float, blur: float
) -> tuple[np.ndarray, np.ndarray]:
    """Read the texture through the mesh: (h, w, 3) uint8 colours or weights, and (h, w) uint8
    opacity.
    """
    look = mask.look
    left, top, right, bottom = look.box
    texture = look.levels[look.level(scale, blur)]
    texels = texture.shape[1] / (right - left), texture.shape[0] / (bottom - top)
    x, y = wear.to_texture(mesh.chart, look.fit, texels, (left, top))
    x, y, miss = mesh.spread(x), mesh.spread(y), mesh.spread(mesh.miss)
    sampled = cv2.remap(
        texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 128, 0)
    )
    # one pixel wide
    silhouette = cv2.addWeighted(miss, -255 * scale, miss, 0, 127.5, dtype=cv2.CV_8U)
    return cv2.cvtColor(sampled, cv2.COLOR_RGBA2RGB), cv2.min(
        cv2.extractChannel(sampled, 3), silhouette, dst=silhouette
    )


def _compose(
    region: np.ndarray,
    layers: np.ndarray,
    alpha: np.ndarray,
    mask: Mask,
    scale: float,
    grain: float,
    rng: np.random.Generator,
) -> None:
    """Colour and light the mask, give it the photo's grain and lay it over the region, in place."""
    values, look = mask.parameters, mask.look
    lit = light.measure(region, alpha)
    colour = cv2.transform(layers, _colours(mask, lit))
    clear = cv2.bitwise_not(alpha)
    if not look.flat:
        light.shine(
            colour, light.add_stains(lit.gain, values["seed"], values["crumple"], values["dirt"])
        )
        grade.add_grain(colour, grain, rng)
        reach = max(3, int(2 * _MARGIN_MM * scale) | 1)
        # from how much mask is near to how much of the light still reaches the skin there
        shadow = cv2.blur(alpha, (reach, reach))
        cv2.convertScaleAbs(shadow, dst=shadow, alpha=-values["shadow"], beta=255)
        cv2.multiply(clear, shadow, dst=clear, scale=1 / 255)
    if look.noise:
        noise = np.asarray(rng.standard_normal(colour.shape, np.float32))
        np.multiply(noise, np.float32(look.noise), out=noise)
        colour = cv2.add(colour, noise, dtype=cv2.CV_8U)
    cv2.multiply(colour, cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB), dst=colour, scale=1 / 255)
    cv2.multiply(region, cv2.cvtColor(clear, cv2.COLOR_GRAY2RGB), dst=region, scale=1 / 255)
    cv2.add(region, colour, dst=region)


def _colours(mask: Mask, lit: light.Light) -> np.ndarray:
    """The (3, 4) matrix that turns a texture's channels into RGB, tinted by the light where the
    look takes any.
    """
    values = mask.parameters
    if mask.look.mode == "colour":
        rows = _toned(*values["tone"])
    else:
        base, dyed, trim = (_colour(values.get(part), lit) for part in ("base", "print", "trim"))
        depth = values["relief"] * (0.25 + 0.75 * sum(base) / 765)
        rows = [
            ((d - b) / 255, (t - b) / 255, depth, b - 127.5 * depth)
            for b, d, t in zip(base, dyed, trim, strict=True)
        ]
    matrix = np.array(rows, np.float32)
    if lit.grey:
        matrix[:] = _LUMA @ matrix
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


def _toned(hue: float, saturation: float, value: float) -> list[tuple[float, float, float, float]]:
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
