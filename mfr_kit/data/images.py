"""Files to RGB uint8 pixels and back; the only place of the kit where OpenCV's BGR order exists."""

from pathlib import Path

import cv2
import numpy as np

from mfr_kit.errors import KitError

SUFFIXES = {
    ".bmp",
    ".gif",
    ".jpeg",
    ".jpg",
    ".jp2",
    ".pbm",
    ".pgm",
    ".png",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
}


def read_rgb(path: Path) -> np.ndarray:
    """Read a photograph of any format OpenCV knows as (H, W, 3) uint8 RGB, upright by its EXIF tag.

    Grey becomes three equal channels, 16 bits become 8, an alpha channel is dropped, of an animation the first frame is taken.

    Raises:
        KitError: the file cannot be read or is not an image.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise KitError(f"{path}: cannot be read ({error.strerror})") from None
    return decode_rgb(data, str(path))


def decode_rgb(data: bytes, where: str) -> np.ndarray:
    """Decode an encoded image to (H, W, 3) uint8 RGB; `where` names it in the error.

    Raises:
        KitError: empty or not an image.
    """
    if len(data) == 0:
        raise KitError(f"{where}: the file is empty")
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise KitError(f"{where}: {error.err}") from None
    if bgr is None:
        raise KitError(f"{where}: not an image that can be decoded")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def encode(image: np.ndarray, suffix: str = ".jpg") -> bytes:
    """Encode (H, W, 3) uint8 RGB as JPEG quality 95 without chroma subsampling, or as PNG (suffix ".png")."""
    options = (
        [
            cv2.IMWRITE_JPEG_QUALITY,
            95,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ]
        if suffix == ".jpg"
        else []
    )
    done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise KitError(f"cannot encode an image of shape {image.shape} as {suffix}")
    return data.tobytes()
