"""Draw one mask on one face: `render` is the only door, used by the transform, by `augment` and by the training loader alike."""

from collections.abc import Callable
from math import hypot

import cv2
import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.masks import grade, light, surface
from mfr_kit.masks.library import Library, Mask
from mfr_kit.masks.pose import Pose, estimate
from mfr_kit.masks.wear import Wear

NODES = 14
"""Mesh nodes along the longer side of the mask's region: finer does not show (see benchmarks/masks.py)."""
_MARGIN_MM = 3.5  # how far the shadow reaches beyond what is painted
_TO_GREY = np.array([[0.299, 0.587, 0.114]] * 3, np.float32)
_PHOTO = 160  # pixels of the shorter side from which an image counts as a photograph that still has its JPEG grid
_PIXEL = 16  # levels of the silhouette channel per pixel
_STEP = np.clip(np.arange(256) - 128 + _PIXEL // 2, 0, _PIXEL).astype(np.float32) * (255 / _PIXEL)
_SILHOUETTE = (255 - _STEP).astype(np.uint8)


def render(
    face: np.ndarray, landmarks: np.ndarray, mask: Mask, rng: np.random.Generator, nodes: int = NODES
) -> tuple[np.ndarray, np.ndarray]:
    """Put a mask on a face.

    Args:
        face: (H, W, 3) uint8 RGB of any size, an aligned crop or a whole photograph; never written to.
        landmarks: (5, 2), (68, 2) or (106, 2) points in its pixels.
        mask: what to draw, from `Library.draw` or `Library.replay`.
        rng: places the grain; with the same generator state and mask the result is the same.
        nodes: mesh density.
    Returns:
        A new image like `face`, and coverage: (H, W) uint8, the mask's opacity (loops included, shadow not).
    Raises:
        KitError: not an RGB uint8 image, or unusable landmarks.
    """
    if face.dtype != np.uint8 or face.ndim != 3 or face.shape[2] != 3:
        raise KitError(f"an image of shape {face.shape} and type {face.dtype}: masks are drawn on (H, W, 3) uint8 RGB")
    image, coverage = face.copy(), np.zeros(face.shape[:2], np.uint8)
    pose = estimate(landmarks)
    fit = mask.look.fit
    model = fit.sections if pose.jaw == 1.0 else fit.sections.widened(pose.jaw)
    wear = Wear(*(mask.parameters[name] for name in ("top", "bottom", "width", "shift", "tilt_deg")))
    left, top, right, bottom = _box(mask, wear, pose)
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, face.shape[1]), min(bottom, face.shape[0])
    if right - left < 1 or bottom - top < 1:
        return image, coverage
    mesh = surface.solve(pose, model, (left, top, right, bottom), nodes)
    width, height = min(mesh.size[0], face.shape[1] - mesh.left), min(mesh.size[1], face.shape[0] - mesh.top)
    window = slice(mesh.top, mesh.top + height), slice(mesh.left, mesh.left + width)
    region = np.ascontiguousarray(face[window])
    found = grade.measure(region)
    layers, alpha = _sample(mask, wear, mesh, pose.scale, hypot(found.blur, mask.parameters["softness"]))
    layers, alpha = np.ascontiguousarray(layers[:height, :width]), np.ascontiguousarray(alpha[:height, :width])
    image[window] = _compose(region, layers, alpha, mask, pose.scale, found.grain, rng)
    coverage[window] = alpha
    if min(face.shape[:2]) >= _PHOTO and not mask.look.flat:
        quality = grade.jpeg_quality(region, mesh.left, mesh.top)
        if quality is not None:
            grade.recompress(image, coverage, (mesh.left, mesh.top, mesh.left + width, mesh.top + height), quality)
    return image, coverage


def from_library(library: Library) -> Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray, dict]]:
    """Return the function that draws a mask of a library and puts it on: (face, landmarks, rng) -> (image, coverage, parameters)."""

    def put_on(face: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, dict]:
        mask = library.draw(rng)
        return *render(face, landmarks, mask, rng), mask.parameters

    return put_on


def _box(mask: Mask, wear: Wear, pose: Pose) -> tuple[int, int, int, int]:
    """Bound what is painted in the image: left, top, right, bottom in whole pixels."""
    stretch, offset = wear.heights(mask.look.fit)
    scale, length = pose.scale, pose.scale * pose.length
    (xx, xy, xz), (yx, yy, yz), _ = pose.rotation.tolist()
    across = scale * pose.width * max(wear.width, 1.0)
    matrix = np.array([[across * xx, across * yx], [stretch * length * xy, stretch * length * yy], [scale * xz, scale * yz]])
    spots = mask.look.rim @ matrix
    spots += (pose.shift[0] + offset * length * xy, pose.shift[1] + offset * length * yy)
    (left, top), (right, bottom) = spots.min(axis=0).tolist(), spots.max(axis=0).tolist()
    margin = (_MARGIN_MM + abs(wear.shift)) * pose.scale + 2
    return int(left - margin), int(top - margin), int(right + margin) + 1, int(bottom + margin) + 1


def _sample(mask: Mask, wear: Wear, mesh: surface.Mesh, scale: float, blur: float) -> tuple[np.ndarray, np.ndarray]:
    """Read the texture through the mesh: (h, w, 3) uint8 colours or weights, and (h, w) uint8 opacity."""
    look = mask.look
    u, v = wear.to_texture(mesh.u, mesh.v, look.fit)
    left, top, right, bottom = look.box
    texture = look.levels[look.level(scale, blur)]
    across, down = texture.shape[1] / (right - left), texture.shape[0] / (bottom - top)
    nodes = np.empty((*u.shape, 2), np.float32)
    nodes[..., 0] = u * np.float32(across) - np.float32(left * across + 0.5)
    nodes[..., 1] = v * np.float32(down) - np.float32(top * down + 0.5)
    maps = cv2.resize(nodes, mesh.size, interpolation=cv2.INTER_LINEAR)
    sampled = cv2.remap(texture, maps, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 128, 0))
    layers, alpha = np.empty((*sampled.shape[:2], 3), np.uint8), np.empty((*sampled.shape[:2], 1), np.uint8)
    cv2.mixChannels([sampled], [layers, alpha], [0, 0, 1, 1, 2, 2, 3, 3])
    signed = np.minimum(np.maximum(mesh.miss * np.float32(_PIXEL * scale) + np.float32(128), 0), 255).astype(np.uint8)
    return layers, cv2.min(alpha[..., 0], cv2.LUT(cv2.resize(signed, mesh.size, interpolation=cv2.INTER_LINEAR), _SILHOUETTE))


def _compose(
    region: np.ndarray, layers: np.ndarray, alpha: np.ndarray, mask: Mask, scale: float, grain: float, rng: np.random.Generator
) -> np.ndarray:
    """Colour and light the mask, give it the photo's grain and lay it over the region."""
    values, look = mask.parameters, mask.look
    lit = light.measure(region, alpha)
    colour = cv2.transform(layers, _colours(mask, lit))
    if look.flat:
        clear = cv2.bitwise_not(alpha)
    else:
        colour = light.shine(colour, light.stained(lit.gain, values["seed"], values["crumple"], values["dirt"]))
        colour = grade.grained(colour, grain, rng)
        reach = max(3, int(2 * _MARGIN_MM * scale) | 1)
        shadow = cv2.LUT(cv2.blur(alpha, (reach, reach)), light.shadow_curve(values["shadow"]))
        clear = cv2.multiply(cv2.bitwise_not(alpha), shadow, scale=1 / 255)
    if look.noise:
        noise = rng.standard_normal(colour.shape, np.float32)
        colour = cv2.add(colour, noise * np.float32(look.noise), dtype=cv2.CV_8U)
    over = cv2.multiply(colour, cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB), scale=1 / 255)
    return cv2.add(over, cv2.multiply(region, cv2.cvtColor(clear, cv2.COLOR_GRAY2RGB), scale=1 / 255))


def _colours(mask: Mask, lit: light.Light) -> np.ndarray:
    """The (3, 4) matrix that turns a texture's channels into RGB."""
    values = mask.parameters
    if mask.look.mode == "colour":
        matrix = _toned(*values["tone"])
    else:
        skin = lit.skin.tolist()
        base, dyed, trim = (
            skin if values.get(part, (230,))[0] < 0 else values.get(part, (230, 230, 230)) for part in ("base", "print", "trim")
        )
        depth = values["relief"] * (0.25 + 0.75 * sum(base) / 765)
        rows = [[(dyed[i] - base[i]) / 255, (trim[i] - base[i]) / 255, depth, base[i] - 127.5 * depth] for i in range(3)]
        matrix = np.array(rows, np.float32)
    if lit.grey:
        matrix = _TO_GREY @ matrix
    return matrix


def _toned(hue: float, saturation: float, value: float) -> np.ndarray:
    """A (3, 4) colour matrix: rotate hue (turns) about the grey axis, scale saturation and value."""
    cos, sin = saturation * np.cos(2 * np.pi * hue), saturation * np.sin(2 * np.pi * hue) / np.sqrt(3)
    grey = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    return np.concatenate([value * (grey + cos * (np.eye(3) - grey) + sin * cross), np.zeros((3, 1))], axis=1).astype(np.float32)
