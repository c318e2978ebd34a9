"""Draw one mask on one face: `render` is the only door, used by the transform, by `augment` and by the training loader alike."""

from typing import Any

import cv2
import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.masks import light, surface
from mfr_kit.masks.head import chart_points
from mfr_kit.masks.library import Mask
from mfr_kit.masks.pose import Pose, estimate
from mfr_kit.masks.wear import Wear

NODES = 20
"""Mesh nodes along the longer side of the mask's region: finer does not show (see benchmarks/masks.py)."""


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
    model = mask.look.fit.sections if pose.jaw == 1.0 else mask.look.fit.sections.widened(1.0, pose.jaw)
    wear = Wear(*(mask.parameters[name] for name in ("top", "bottom", "width", "shift", "tilt_deg")))
    mesh = surface.solve(pose, model, _box(mask, wear, pose, face.shape), nodes)
    if mesh.chart.size == 0:
        return image, coverage
    layers, alpha = _sample(mask, wear, mesh, pose.scale)
    window, inner = _overlap(mesh, face.shape)
    region, alpha, layers = np.ascontiguousarray(face[window]), alpha[inner], layers[inner]
    if alpha.any():
        image[window] = _compose(region, np.ascontiguousarray(layers), np.ascontiguousarray(alpha), mask, pose, rng)
        coverage[window] = alpha
    return image, coverage


def _box(mask: Mask, wear: Wear, pose: Pose, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Bound the mask in the image: left, top, right, bottom, clipped to the image and a little beyond what is painted."""
    points = pose.project(chart_points(mask.look.fit.sections, wear.to_face(mask.look.rim, mask.look.fit)))
    margin = 8 * pose.scale + 2
    (left, top), (right, bottom) = points.min(axis=0) - margin, points.max(axis=0) + margin
    return max(left, 0), max(top, 0), max(min(right, shape[1]), 0), max(min(bottom, shape[0]), 0)


def _sample(mask: Mask, wear: Wear, mesh: surface.Mesh, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Read the texture through the mesh: (h, w, 3) uint8 colours or weights, and (h, w) uint8 opacity."""
    look = mask.look
    u, v = wear.to_texture(mesh.chart[..., 0], mesh.chart[..., 1], look.fit)
    left, top, right, bottom = look.box
    finest = look.levels[0].shape[1] / (right - left)
    level = int(np.clip(np.floor(np.log2(finest / scale) + 0.3), 0, len(look.levels) - 1))
    texture = look.levels[level]
    x = (u - np.float32(left)) * np.float32(texture.shape[1] / (right - left)) - np.float32(0.5)
    y = (v - np.float32(top)) * np.float32(texture.shape[0] / (bottom - top)) - np.float32(0.5)
    maps = cv2.resize(np.dstack((x, y, mesh.chart[..., 2] * np.float32(scale))), mesh.size, interpolation=cv2.INTER_LINEAR)
    map_x, map_y, miss = cv2.split(maps)
    sampled = cv2.remap(texture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(0, 0, 128, 0))
    layers, alpha = np.empty((*sampled.shape[:2], 3), np.uint8), np.empty((*sampled.shape[:2], 1), np.uint8)
    cv2.mixChannels([sampled], [layers, alpha], [0, 0, 1, 1, 2, 2, 3, 3])
    visible = cv2.convertScaleAbs(np.clip(np.float32(0.5) - miss, 0, 1), alpha=255)
    return layers, cv2.multiply(alpha, visible, scale=1 / 255)


def _overlap(mesh: surface.Mesh, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Clip the mesh's region to the image: slices of the image, and of the region."""
    width, height = mesh.size
    right, bottom = min(mesh.left + width, shape[1]), min(mesh.top + height, shape[0])
    return (slice(mesh.top, bottom), slice(mesh.left, right)), (slice(0, bottom - mesh.top), slice(0, right - mesh.left))


def _compose(region: np.ndarray, layers: np.ndarray, alpha: np.ndarray, mask: Mask, pose: Pose, rng: np.random.Generator) -> np.ndarray:
    """Colour, light and lay the mask over the region."""
    values = mask.parameters
    lit = light.measure(region, alpha)
    colour = cv2.transform(layers, _colours(mask, lit))
    colour = colour.astype(np.float32)
    if not mask.look.flat:
        gain = cv2.resize(light.stained(lit.gain, values["seed"], values["crumple"], values["dirt"]), alpha.shape[::-1])
        colour = cv2.multiply(colour, gain)
    if mask.look.noise:
        colour += rng.normal(0, mask.look.noise, colour.shape)
    if values["softness"] > 0.3:
        alpha = cv2.GaussianBlur(alpha, (3, 3), values["softness"])
    opacity = cv2.merge([alpha.astype(np.float32) * np.float32(1 / 255)] * 3)
    base = region.astype(np.float32)
    reach = max(3, int(7 * pose.scale) | 1)
    shadow = cv2.blur(alpha, (reach, reach))
    dimmed = np.float32(1) - np.float32(values["shadow"] / 255) * shadow.astype(np.float32)
    if not mask.look.flat:
        base *= cv2.merge([dimmed] * 3)
    base += (colour - base) * opacity
    return np.clip(base, 0, 255, out=base).astype(np.uint8)


def _colours(mask: Mask, lit: light.Light) -> np.ndarray:
    """The (3, 4) matrix that turns a texture's channels into RGB."""
    values: dict[str, Any] = mask.parameters
    if mask.look.mode == "colour":
        matrix = _toned(*values["tone"])
    else:
        base, dyed, trim = (_colour(values.get(part, [230, 230, 230]), lit) for part in ("base", "print", "trim"))
        depth = values["relief"] * (0.25 + 0.75 * float(base.mean()) / 255)
        matrix = np.stack([(dyed - base) / 255, (trim - base) / 255, np.full(3, depth), base - 127.5 * depth], axis=1)
    if lit.grey:
        matrix = np.repeat(np.array([[0.299, 0.587, 0.114]]) @ matrix, 3, axis=0)
    return matrix.astype(np.float32)


def _colour(rgb: list[int], lit: light.Light) -> np.ndarray:
    return lit.skin.astype(np.float64) if rgb[0] < 0 else np.array(rgb, np.float64)


def _toned(hue: float, saturation: float, value: float) -> np.ndarray:
    """A (3, 4) colour matrix: rotate hue (turns) about the grey axis, scale saturation and value."""
    cos, sin = saturation * np.cos(2 * np.pi * hue), saturation * np.sin(2 * np.pi * hue) / np.sqrt(3)
    grey = np.full((3, 3), 1 / 3)
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    return np.concatenate([value * (grey + cos * (np.eye(3) - grey) + sin * cross), np.zeros((3, 1))], axis=1)
