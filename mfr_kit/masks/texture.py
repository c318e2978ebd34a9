"""Textures from disk, shrunk once for small faces."""

import contextlib
import hashlib
import json
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np

from mfr_kit import files
from mfr_kit.data.image_headers import kind_of
from mfr_kit.errors import KitError
from mfr_kit.masks import recipe
from mfr_kit.masks.head import ARC, EAR_Z
from mfr_kit.paths import check_output
from mfr_kit.registry import unknown

LEVELS_PER_OCTAVE = 2
_SMALLEST = 24
_SIDES = (8, 4096)  # pixels
_SEEN, _LEAST_SHARE = 64, 0.005  # opacity from which a texel shows, and the least share of them
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MARK = b"mfr-kit texture\0"


def read(path: Path) -> np.ndarray:
    """Read a PNG with alpha as (H, W, 4) uint8, red first.

    Raises:
        KitError: unreadable, not 8 bits, without an alpha channel, too small or large, or (nearly)
            transparent all over.
    """
    return _decode(_bytes_of(path), path)


def check(look) -> None:
    """Check the picture that a look names, with its file and look in the error.

    Raises:
        KitError: see `read`.
    """
    where = f"{look.toml}: look '{look.name}': texture"
    path = look.texture_path
    if not path.is_file():
        near = sorted(item.name for item in path.parent.glob("*.[pP][nN][gG]"))
        missing = unknown("picture", path.name, near) if near else "there is no PNG"
        raise KitError(f"{where} {look.texture} is missing: {missing}")
    try:
        read(path)
    except KitError as error:
        raise KitError(f"{where} {error}") from None


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KitError(f"cannot read the mask texture {path}: {error.strerror}") from None


def _decode(data: bytes, path: Path) -> np.ndarray:
    image, found = None, "it is not an image that can be decoded"
    if data.startswith(_SIGNATURE) and len(data) > 24:
        width, height = struct.unpack(">II", data[16:24])
        _refuse_size(width, height, path)  # before the pixels are unpacked
        with contextlib.suppress(cv2.error):
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    elif (kind := kind_of(data[:32])) not in (None, "png"):
        # A CMYK file, for instance, would be read with black as alpha.
        found = f"it is of another format ({kind})"
    if image is not None:
        _refuse_size(image.shape[1], image.shape[0], path)
        channels = image.shape[2] if image.ndim == 3 else 1
        if image.dtype == np.uint8 and channels == 4:
            rgba = cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)
            refuse_unseen(rgba, str(path))
            return rgba
        bits = 8 * image.dtype.itemsize
        found = f"it has {bits} bits a channel" if bits != 8 else "it has no alpha channel"
    raise KitError(f"{path}: a mask texture is an 8-bit PNG with an alpha channel; {found}")


def _refuse_size(width: int, height: int, path: Path) -> None:
    low, high = _SIDES
    if not (low <= width <= high and low <= height <= high):
        raise KitError(
            f"{path}: a mask texture has {low} to {high} pixels a side, this one is "
            f"{width}x{height}"
        )


def refuse_unseen(rgba: np.ndarray, where: str) -> None:
    """Refuse a texture that would draw nothing: less than half a percent of it is a quarter
    opaque or more.
    """
    share = np.count_nonzero(rgba[..., 3] >= _SEEN) / rgba[..., 3].size
    if share < _LEAST_SHARE:
        raise KitError(f"{where}: the texture is transparent, it would draw nothing")


def levels(look) -> list[np.ndarray]:
    """Load a look's texture, or draw it from its recipe, and shrink it step by step until it is
    small.
    """
    image = _current(look)
    pyramid, factor = [image], 1.0
    while min(image.shape[:2]) * factor > _SMALLEST:
        factor /= 2 ** (1 / LEVELS_PER_OCTAVE)
        # always from twice the size, so that nothing is blurred more than once
        source = pyramid[-2] if len(pyramid) > 1 else image
        pyramid.append(
            _shrink(source, round(image.shape[1] * factor), round(image.shape[0] * factor))
        )
    return pyramid


def _current(look) -> np.ndarray:
    """Read a look's texture; a recipe that was not rendered yet, or was changed since, is drawn
    on the spot.
    """
    path = look.texture_path
    if look.texture:
        return read(path)
    if not path.exists():
        return draw(look)
    data = _bytes_of(path)
    mark = mark_of(data)
    return draw(look) if mark and mark[0] != recipe_digest(look) else _decode(data, path)


def render_all(looks) -> list[Path]:
    """Draw the textures of all looks that have a recipe, each print once; returns the files
    written.

    Raises:
        KitError: a picture of that name was not drawn here, or was edited since; then nothing is
            written.
    """
    todo = {look.texture_path: look for look in looks.values() if not look.texture}
    for path in todo:
        check_output(path, "file", "the texture")
    images = {path: draw(look) for path, look in todo.items()}
    for path, image in images.items():
        if path.exists() and not _is_ours(path, image):
            raise KitError(
                f"{path} was not drawn by render-library, or was edited since: move it away (or "
                "name it as the texture of a "
                f"look); nothing was written"
            )
    for path, look in todo.items():
        mark = f"{recipe_digest(look)} {_pixel_digest(images[path])}"
        files.write_bytes(path, _encode(images[path], mark))
    return sorted(todo)


def _is_ours(path: Path, image: np.ndarray) -> bool:
    """Tell a texture that the kit drew from one that a user made: by its mark, or because it is
    what the recipe gives.
    """
    data = _bytes_of(path)
    try:
        found = _decode(data, path)
    except KitError:
        return False
    mark = mark_of(data)
    if mark:
        return mark[1] == _pixel_digest(found)
    return found.shape == image.shape and np.abs(found.astype(int) - image).mean() < 0.05


def encode(image: np.ndarray) -> bytes:
    """Encode an (H, W, 4) uint8 texture, red first, as PNG."""
    bgra = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA)
    return cv2.imencode(".png", bgra, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()


def _encode(image: np.ndarray, mark: str) -> bytes:
    """Encode a texture, with the mark as a text chunk before its end."""
    data = encode(image)
    chunk = b"tEXt" + _MARK + mark.encode()
    end = data.rindex(b"IEND") - 4
    length, checksum = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
    return data[:end] + length + chunk + checksum + data[end:]


def mark_of(data: bytes) -> tuple[str, str] | None:
    """Read the digests of recipe and pixels that `_encode` wrote; None without."""
    start = data.rfind(b"tEXt" + _MARK)
    if start < 0:
        return None
    parts = data[start + 4 + len(_MARK) :][:65].decode("ascii", "replace").split(" ")
    return (parts[0], parts[1]) if len(parts) == 2 else None


def recipe_digest(look) -> str:
    said = [look.kind, look.pattern, look.pattern_size, look.recipe]
    return hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=16).hexdigest()


def _pixel_digest(image: np.ndarray) -> str:
    data = str(image.shape).encode() + np.ascontiguousarray(image).tobytes()
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def draw(look) -> np.ndarray:
    """Draw a look's recipe, (H, W, 4) uint8 print, trim, relief, alpha.

    Raises:
        KitError: nothing shows of it.
    """
    image = recipe.draw(
        look.recipe, look.pattern, look.pattern_size, where=f"{look.kind}/{look.pattern}"
    )
    refuse_unseen(image, f"{look.toml}: look '{look.name}'")
    return image


def rim(look) -> np.ndarray:
    """Find the head points, (N, 1, 3) float32 in mm, along the convex hull of the texels that are
    not transparent, and the ridge between.

    The ridge (nose and beak) is the silhouette of a turned head, though it lies inside the hull on
    the chart.
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
    """Shrink with colours weighted by alpha, so that transparent texels do not bleed into the
    border.
    """
    alpha = image[..., 3:].astype(np.float32)
    weighted = cv2.resize(image[..., :3] * alpha, (width, height), interpolation=cv2.INTER_AREA)
    shrunk = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA)
    plain = cv2.resize(
        image[..., :3].astype(np.float32), (width, height), interpolation=cv2.INTER_AREA
    )
    colours = np.where(shrunk[..., None] > 0, weighted / np.maximum(shrunk[..., None], 1e-3), plain)
    return np.clip(np.rint(np.dstack([colours, shrunk])), 0, 255).astype(np.uint8)
