"""Draw a mask's texture from the numbers in its TOML: outline, folds, seams, wire, valve, loops and
print, in chart millimetres.

The texture has four channels: how much of the print colour shows, how much of the trim colour, the
relief (128 is flat, brighter catches light) and alpha. Colours come later, per sample, so one
texture serves every colour a mask is sold in.
"""

from typing import Any

import cv2
import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.masks import fields, patterns
from mfr_kit.masks.fields import BOX
from mfr_kit.seeding import key_of

PIXELS_PER_MM = 2.0
_FINE = 2  # supersampling
_LEAST_AREA = 400.0  # mm2 of an outline: 2 cm by 2 cm


class Canvas:
    """The four layers while they are drawn, `_FINE` times finer than the texture, with chart
    coordinates `x`, `y` in mm.
    """

    def __init__(self) -> None:
        self.scale = PIXELS_PER_MM * _FINE
        width, height = round((BOX[2] - BOX[0]) * self.scale), round((BOX[3] - BOX[1]) * self.scale)
        columns = BOX[0] + (np.arange(width, dtype=np.float32) + 0.5) / self.scale
        rows = BOX[1] + (np.arange(height, dtype=np.float32) + 0.5) / self.scale
        self.x, self.y = np.meshgrid(columns, rows)
        self.print, self.trim, self.relief, self.alpha = (
            np.zeros((height, width), np.float32) for _ in range(4)
        )

    def polygon(self, points: np.ndarray) -> np.ndarray:
        """Fill a polygon given in mm; returns its coverage in [0, 1]."""
        layer = np.zeros(self.x.shape, np.uint8)
        cv2.fillPoly(layer, [self._fixed(points)], 255, cv2.LINE_AA, shift=4)
        return layer.astype(np.float32) / 255

    def line(self, points: np.ndarray, width_mm: float) -> np.ndarray:
        """Stroke an open polyline given in mm; returns its coverage in [0, 1]."""
        layer = np.zeros(self.x.shape, np.uint8)
        cv2.polylines(
            layer,
            [self._fixed(points)],
            False,
            255,
            max(1, round(width_mm * self.scale)),
            cv2.LINE_AA,
            shift=4,
        )
        return layer.astype(np.float32) / 255

    def blur(self, layer: np.ndarray, sigma_mm: float) -> np.ndarray:
        """Smooth a layer."""
        return cv2.GaussianBlur(layer, (0, 0), sigma_mm * self.scale)

    def texture(self) -> np.ndarray:
        """Shrink to the final (H, W, 4) uint8."""
        layers = np.dstack([self.print, self.trim, 0.5 + 0.5 * self.relief, self.alpha])
        small = cv2.resize(layers, None, fx=1 / _FINE, fy=1 / _FINE, interpolation=cv2.INTER_AREA)
        return np.clip(np.rint(small * 255), 0, 255).astype(np.uint8)

    def _fixed(self, points: np.ndarray) -> np.ndarray:
        return np.rint((np.asarray(points, np.float64) - BOX[:2]) * self.scale * 16).astype(
            np.int32
        )


def draw(
    recipe: dict[str, Any], pattern: str = "none", pattern_size: float = 12.0, where: str = "recipe"
) -> np.ndarray:
    """Draw a texture.

    Args:
        recipe: the `[recipe]` table of a mask's TOML; docs/extend/add_a_mask.md explains every key.
        pattern: the print, one of `patterns.names()`.
        pattern_size: its repeat in mm.
        where: names the recipe in errors; also seeds its wrinkles, so that a recipe always gives
            the same texture.
    Returns:
        (H, W, 4) uint8: print, trim, relief, alpha over `BOX`.
    Raises:
        KitError: unknown pattern, or see `check`.
    """
    check(recipe, where)
    rng = np.random.default_rng(key_of(where))
    canvas = Canvas()
    outline = mirrored(recipe["outline"], recipe.get("smooth", True))
    canvas.alpha = canvas.polygon(outline) * recipe.get("alpha", 1.0)
    body = canvas.alpha > 0.5
    canvas.print, canvas.trim = (
        layer * body for layer in patterns.draw(pattern, canvas.x, canvas.y, pattern_size, rng)
    )
    _folds(canvas, recipe, rng)
    _sewing(canvas, recipe, body)
    for hole in recipe.get("holes", []):
        for sign in (1, -1):
            canvas.alpha *= 1 - canvas.polygon(
                curve(np.array(hole, np.float64) * (sign, 1), closed=True)
            )
    if "window" in recipe:
        _window(canvas, recipe)
    canvas.relief *= body
    if "valve" in recipe:
        _valve(canvas, *recipe["valve"])
    for loop in recipe.get("loops", []):
        _loop(canvas, np.array(loop, np.float64), recipe.get("loop_width", 2.4))
    return canvas.texture()


def check(recipe: Any, where: str) -> None:
    """Check a `[recipe]` table without drawing it.

    Raises:
        KitError: an unknown key, a value of the wrong type or out of its range (fields.py), or an
            outline around nothing.
    """
    fields.check(recipe, fields.RECIPE, where, "recipe key")
    if "outline" not in recipe:
        raise KitError(
            f"{where}: a recipe needs an outline, the right half of the mask's border as [[x, "
            "y], ...] in mm"
        )
    for key in ("outline", "window"):
        if key in recipe and _area(recipe[key]) < _LEAST_AREA:
            raise KitError(
                f"{where}: {key} encloses less than {_LEAST_AREA:g} mm2; it is the right half of "
                "a border, from the top "
                "centre to the bottom centre"
            )


def _area(half: list[list[float]]) -> float:
    """Area in mm2 of what a right half and its mirror image enclose (the shoelace formula)."""
    x, y = mirrored(half, smooth=False).T
    return 0.5 * abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))))


def mirrored(half: list[list[float]], smooth: bool) -> np.ndarray:
    """Close a right-half outline (from the top centre to the bottom centre) into a whole one,
    rounded by Catmull-Rom if asked.
    """
    right = np.array(half, np.float64)
    left = right[::-1] * (-1, 1)
    inner = slice(1 if left[0, 0] == 0 else 0, -1 if left[-1, 0] == 0 else None)
    ring = np.concatenate([right, left[inner]])
    return curve(ring, closed=True) if smooth else ring


def curve(points: np.ndarray, closed: bool = False, steps: int = 12) -> np.ndarray:
    """Pass a Catmull-Rom spline through (N, 2) points."""
    points = np.asarray(points, np.float64)
    if closed:
        before, after, last = np.roll(points, 1, 0), np.roll(points, -1, 0), np.roll(points, -2, 0)
    else:
        ends = np.concatenate([points[:1], points, points[-1:]])
        before, points, after, last = ends[:-3], ends[1:-2], ends[2:-1], ends[3:]
    t = np.linspace(0, 1, steps, endpoint=closed is False)[None, :, None]
    a, b, c, d = (p[:, None] for p in (before, points, after, last))
    return (
        0.5
        * (
            2 * b
            + (c - a) * t
            + (2 * a - 5 * b + 4 * c - d) * t**2
            + (3 * b - a - 3 * c + d) * t**3
        )
    ).reshape(-1, 2)


def _folds(canvas: Canvas, recipe: dict[str, Any], rng: np.random.Generator) -> None:
    """Relief of the cloth itself: pleats, creases, ridge, dome, wrinkles and weave."""
    x, y = canvas.x, canvas.y
    side = max(point[0] for point in recipe["outline"])
    for height in recipe.get("pleats", []):
        below = y - height - recipe.get("curve", 4.0) * (1 - (x / side) ** 2)
        canvas.relief += (
            0.2 * np.exp(-np.maximum(below, 0) / 7) * (below >= 0)
            - 0.3 * np.exp(-((below / 1.4) ** 2))
            - 0.12 * np.exp(np.minimum(below, 0) / 5) * (below < 0)
        )
    for points in recipe.get("creases", []):
        for sign in (1, -1):
            stroke = canvas.line(curve(np.array(points, np.float64) * (sign, 1)), 1.5)
            canvas.relief += 0.5 * canvas.blur(
                np.roll(stroke, 14, axis=0), 3.2
            ) - 0.8 * canvas.blur(stroke, 2.4)
    if "ridge" in recipe:
        canvas.relief += recipe["ridge"] * (
            0.5 * np.exp(-np.abs(x) / 10)
            - 0.7 * np.exp(-((x / 0.9) ** 2))
            - 0.15 * (np.abs(x) > 30)
        )
    if "dome" in recipe:
        centre, spread = recipe["dome"]
        canvas.relief += 0.35 * np.exp(-((x / spread) ** 2) - ((y - centre) / spread) ** 2) - 0.15
    if "rows" in recipe:
        for height in np.arange(20, 120, recipe["rows"]):
            canvas.relief -= 0.18 * np.exp(-(((y - height) / 0.7) ** 2))
    canvas.relief += _wrinkles(canvas, side, recipe.get("wrinkles", 0.15), rng)
    canvas.relief += recipe.get("weave", 0.05) * patterns.smooth_noise(
        x.shape, (x.shape[0] / 4, x.shape[1] / 4), rng
    )
    if "crease" in recipe:
        canvas.relief -= 0.5 * np.exp(-(((y - recipe["crease"]) / 1.2) ** 2)) - 0.2 * np.exp(
            -(((y - recipe["crease"] - 4) / 4) ** 2)
        )


def _wrinkles(canvas: Canvas, side: float, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Soft random creases that run from the sides towards the nose, as heights lit from above;
    plus gentle waves.
    """
    height = 1.2 * patterns.smooth_noise(canvas.x.shape, (7, 5), rng)
    for _ in range(14):
        sign = rng.choice([-1, 1])
        start = np.array([sign * rng.uniform(0.3, 1.0) * side, rng.uniform(30, 112)])
        end = np.array(
            [
                start[0] - sign * rng.uniform(15, 45),
                start[1] + (66 - start[1]) * rng.uniform(0.0, 0.5),
            ]
        )
        middle = (start + end) / 2 + rng.normal(0, 3, 2)
        stroke = canvas.line(curve(np.array([start, middle, end])), 2.5)
        height += rng.uniform(1.5, 4.0) * canvas.blur(stroke, rng.uniform(2.0, 4.0))
    down, across = np.gradient(height, 1 / canvas.scale)
    return np.clip(strength * (1.6 * down + 0.6 * across), -0.6, 0.6)


def _sewing(canvas: Canvas, recipe: dict[str, Any], body: np.ndarray) -> None:
    """Border, hem, seams and nose wire."""
    depth = cv2.distanceTransform(body.astype(np.uint8), cv2.DIST_L2, 5) / canvas.scale
    canvas.relief += (
        recipe.get("edge", 0.25)
        * 0.45
        * (np.exp(-((depth - 1.2) ** 2)) - 0.8 * np.exp(-(((depth - 3.2) / 0.9) ** 2)))
    )
    if "hem" in recipe:
        band = (depth < recipe["hem"]) & body
        canvas.print, canvas.trim = (
            canvas.print * ~band,
            np.where(band, 1.0, canvas.trim).astype(np.float32),
        )
        stitch = np.exp(-(((depth - recipe["hem"] * 0.75) / 0.4) ** 2)) * (
            (canvas.x + canvas.y) % 3 > 1
        )
        canvas.relief -= 0.5 * np.exp(-(((depth - recipe["hem"]) / 0.6) ** 2)) + 0.25 * stitch
    for points in recipe.get("seams", []):
        for sign in (1, -1) if any(point[0] for point in points) else (1,):
            stroke = canvas.line(curve(np.array(points, np.float64) * (sign, 1)), 0.9)
            canvas.relief += 0.35 * canvas.blur(
                np.roll(stroke, 6, axis=1), 0.8
            ) - 0.8 * canvas.blur(stroke, 0.5)
    if "wire" in recipe:
        height, half = recipe["wire"]
        top = np.interp(np.abs(canvas.x), *np.array(recipe["outline"], np.float64)[:3].T)
        across = canvas.y - top - height
        bar = np.exp(-((across / 1.6) ** 2)) - 0.7 * np.exp(-(((across - 3.2) / 1.2) ** 2))
        canvas.relief += 0.4 * bar * np.clip(half - np.abs(canvas.x), 0, 1)


def _window(canvas: Canvas, recipe: dict[str, Any]) -> None:
    """A clear pane: mostly see-through, with a gloss line and a seam around it."""
    pane = canvas.polygon(mirrored(recipe["window"], True))
    rim = canvas.blur(np.abs(cv2.Laplacian(canvas.blur(pane, 0.6), cv2.CV_32F)), 0.4)
    gloss = np.clip(canvas.polygon(np.array([[-30, 62], [-18, 58], [-22, 86], [-32, 84]])), 0, 1)
    canvas.alpha *= 1 - pane * (
        1 - recipe.get("window_alpha", 0.16) - 0.3 * canvas.blur(gloss, 2.0)
    )
    canvas.print, canvas.trim = canvas.print * (1 - pane), canvas.trim * (1 - pane) + pane
    canvas.relief = canvas.relief * (1 - pane) - 4 * np.clip(rim, 0, 0.1)


def _valve(canvas: Canvas, x: float, y: float, radius: float) -> None:
    """An exhalation valve: a round cap of the trim colour with slots and a shadow below."""
    distance = np.hypot(canvas.x - x, canvas.y - y)
    cap = np.clip(0.5 + (radius - distance) * 2, 0, 1)
    shadow = np.exp(-(((np.hypot(canvas.x - x, canvas.y - y - 2.5) - radius) / 2.2) ** 2)) * (
        1 - cap
    )
    slots = (np.abs((canvas.y - y) % 5 - 2.5) < 0.7) & (distance < radius * 0.7)
    canvas.relief = (canvas.relief - 0.5 * shadow) * (1 - cap) + cap * (
        0.3 * (y - canvas.y) / radius - 0.5 * slots
    )
    canvas.relief -= 0.5 * np.exp(-(((distance - radius * 0.82) / 0.8) ** 2))
    canvas.print, canvas.trim = canvas.print * (1 - cap), np.maximum(canvas.trim * (1 - cap), cap)


def _loop(canvas: Canvas, points: np.ndarray, width: float) -> None:
    """A round elastic of the trim colour on both sides, drawn under the body."""
    for sign in (1, -1):
        path = curve(points * (sign, 1))
        stroke, core = canvas.line(path, width), canvas.line(path, width * 0.4)
        free: np.ndarray = np.clip(stroke * (1 - canvas.alpha), 0, 1)
        canvas.trim = np.maximum(canvas.trim * (1 - free), free)
        canvas.print *= 1 - free
        canvas.relief = canvas.relief * (1 - free) + free * (0.5 * core - 0.25)
        canvas.alpha = np.maximum(canvas.alpha, stroke)
