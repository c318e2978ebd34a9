"""Textures from disk, shrunk once for small faces."""

from pathlib import Path

import cv2
import numpy as np

from mfr_kit import files
from mfr_kit.errors import KitError
from mfr_kit.masks import recipe
from mfr_kit.masks.head import ARC, EAR_Z
from mfr_kit.masks.template import LEVELS_PER_OCTAVE
from mfr_kit.paths import check_output

_SMALLEST = 24


def read(path: Path) -> np.ndarray:
    """Read a PNG with alpha as (H, W, 4) uint8, red first.

    Raises:
        KitError: unreadable, not 8 bits, or without an alpha channel.
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise KitError(f"cannot read the mask texture {path}: {error.strerror}") from None
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    if image is None or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 4:
        raise KitError(f"{path}: a mask texture is an 8-bit PNG with an alpha channel")
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)


def levels(look) -> list[np.ndarray]:
    """Load a look's texture, or draw it from its recipe, and shrink it step by step until it is small."""
    image = read(look.texture_path) if look.texture_path.exists() or look.texture else drawn(look)
    pyramid, factor = [image], 1.0
    while min(image.shape[:2]) * factor > _SMALLEST:
        factor /= 2 ** (1 / LEVELS_PER_OCTAVE)
        source = (
            pyramid[-2] if len(pyramid) > 1 else image
        )  # always from twice the size, so that nothing is blurred more than once
        pyramid.append(
            _shrink(source, round(image.shape[1] * factor), round(image.shape[0] * factor))
        )
    return pyramid


def render_all(looks) -> list[Path]:
    """Draw the textures of all looks that have a recipe, each print once; returns the files written."""
    todo = {look.texture_path: look for look in looks.values() if not look.texture}
    for path in todo:
        check_output(path, "file", "the texture")
    for path, look in todo.items():
        image = drawn(look)
        bgra = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA)
        png = cv2.imencode(".png", bgra, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
        files.write_bytes(path, png.tobytes())
    return sorted(todo)


def drawn(look) -> np.ndarray:
    """Draw a look's recipe, (H, W, 4) uint8 print, trim, relief, alpha."""
    return recipe.draw(
        look.recipe, look.pattern, look.pattern_size, where=f"{look.kind}/{look.pattern}"
    )


def rim(look) -> np.ndarray:
    """Find the head points, (N, 1, 3) float32 in mm, along the convex hull of the texels that are not transparent, and the ridge between.

    The ridge (nose and beak) is the silhouette of a turned head, though it lies inside the hull on the chart.
    """
    small = look.levels[-1]
    rows, columns = np.nonzero(small[..., 3])
    left, top, right, bottom = look.box
    u = left + (columns + 0.5) * (right - left) / small.shape[1]
    v = top + (rows + 0.5) * (bottom - top) / small.shape[0]
    hull = cv2.convexHull(np.stack([u, v], axis=1).astype(np.float32))[:, 0]
    ridge_v = np.linspace(v.min(), v.max(), 8)
    inside = [np.stack([np.full(8, offset), ridge_v], axis=1) for offset in (-20.0, 0.0, 20.0)]
    around = np.concatenate([hull, (hull + np.roll(hull, 1, axis=0)) / 2, *inside])
    width, _, ridge = look.fit.sections.at(around[:, 1]).T
    angle = around[:, 0] / ARC
    points = np.stack(
        [width * np.sin(angle), around[:, 1], EAR_Z + (ridge - EAR_Z) * np.cos(angle)], axis=1
    )
    return points[:, None].astype(np.float32)


def _shrink(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Shrink with colours weighted by alpha, so that transparent texels do not bleed into the border."""
    alpha = image[..., 3:].astype(np.float32)
    weighted = cv2.resize(image[..., :3] * alpha, (width, height), interpolation=cv2.INTER_AREA)
    shrunk = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA)
    plain = cv2.resize(
        image[..., :3].astype(np.float32), (width, height), interpolation=cv2.INTER_AREA
    )
    colours = np.where(shrunk[..., None] > 0, weighted / np.maximum(shrunk[..., None], 1e-3), plain)
    return np.clip(np.rint(np.dstack([colours, shrunk])), 0, 255).astype(np.uint8)
