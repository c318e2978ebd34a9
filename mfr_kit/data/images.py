"""Files to RGB uint8 pixels and back; the only place of the kit where OpenCV's BGR order exists."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mfr_kit.data.image_headers import Header, kind_of, lacks_scans, read_header
from mfr_kit.errors import KitError

SUFFIXES = {
    ".avif",
    ".bmp",
    ".gif",
    ".jfif",
    ".jpe",
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
# Camera raw files: most are TIFF files whose first picture is a thumbnail.
_RAW = {".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".srw"}
REDUCE_ABOVE = 64_000_000  # pixels: of a photograph with more, half as many are kept at most
MOST_BYTES = 320 << 20  # that the pixels of one picture may take while it is decoded
_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_DEPTHS = (8, 10, 12, 14, 16)  # bits of sensors and of the formats that store them
_END = b"\xff\xd9"  # the marker that ends a JPEG


class NoImage(KitError):
    """A file that gives no pixels, with the `reason` that skipped.csv shows."""

    def __init__(self, message: str, reason: str = "unreadable") -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Picture:
    """Decoded pixels and how they came about."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    reduction: int = 1  # the file's own pixels along each side of one of these: 1, 2, 4 or 8
    bits: int = 8  # that a channel's values use in the file

    @property
    def width(self) -> int:
        """Of the file's picture; where it was reduced, to `reduction` pixels."""
        return self.image.shape[1] * self.reduction

    @property
    def height(self) -> int:
        """Of the file's picture; where it was reduced, to `reduction` pixels."""
        return self.image.shape[0] * self.reduction

    @property
    def matrix(self) -> np.ndarray:
        """(2, 3), from the file's own pixels to these; a pixel's centre lies at its index."""
        shift = 0.5 / self.reduction - 0.5
        return np.array([[1 / self.reduction, 0, shift], [0, 1 / self.reduction, shift]])

    @property
    def note(self) -> str:
        """What a user should know of it; "" where it was decoded as it is."""
        if self.reduction > 1:
            return f"huge, decoded at 1/{self.reduction}"
        return f"{self.bits} bits in 16, scaled to 8" if self.bits not in (8, 16) else ""


def read_rgb(path: Path) -> np.ndarray:
    """Read a photograph of any format OpenCV knows as (H, W, 3) uint8 RGB, upright by its EXIF tag.

    Grey becomes three equal channels, 16 bits become 8, an alpha channel is dropped, of an
    animation the first frame is taken. A photograph of more than 64 megapixels comes at half its
    size, a JPEG at half, a quarter or an eighth.

    Raises:
        NoImage: the file cannot be read or is not an image.
    """
    return read_picture(path).image


def read_picture(path: Path) -> Picture:
    """Read a photograph as `read_rgb` does, and tell how it was decoded.

    Raises:
        NoImage: the file cannot be read or is not an image.
    """
    return decode_picture(read_image_file(path), str(path))


def read_image_file(path: Path) -> bytes:
    """Read a file whose first bytes, or whose suffix, are an image's; any other is not read to its
    end.

    Raises:
        NoImage: no regular file, not readable, or not an image.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise NoImage(f"{path}: cannot be read (not a regular file)", "not_a_file")
        with path.open("rb") as file:
            head = file.read(32)
            suffix = path.suffix.lower()
            if suffix in _RAW:
                raise NoImage(
                    f"{path}: a camera's raw file; develop it to JPEG or PNG", "not_an_image"
                )
            if suffix not in SUFFIXES and kind_of(head) is None:
                raise NoImage(
                    f"{path}: suffix '{path.suffix}', and no image by its content", "not_an_image"
                )
            if kind_of(head) is None and os.fstat(file.fileno()).st_size > MOST_BYTES:
                raise NoImage(f"{path}: not an image that can be decoded")
            return head + file.read()
    except OSError as error:
        raise NoImage(f"{path}: cannot be read ({error.strerror})") from None


def is_image_file(path: Path) -> bool:
    """Whether a regular file calls itself an image or begins as one does; it may still be none
    that can be decoded.
    """
    suffix = Path(path).suffix.lower()
    if suffix in SUFFIXES or suffix in _RAW:
        return suffix in SUFFIXES
    try:
        with Path(path).open("rb") as file:
            return kind_of(file.read(32)) is not None
    except OSError:
        return True  # reading it will say why


def decode_rgb(data: bytes, where: str) -> np.ndarray:
    """Decode an encoded image to (H, W, 3) uint8 RGB; `where` names it in the error.

    Raises:
        NoImage: empty or not an image.
    """
    return decode_picture(data, where).image


def decode_picture(data: bytes, where: str) -> Picture:
    """Decode an encoded image; `where` names it in the error.

    Raises:
        NoImage: empty, not an image, cut short, or too large to be decoded in `MOST_BYTES`.
    """
    data = bytes(data)  # of a memoryview, as .bin sets hand over
    if len(data) == 0:
        raise NoImage(f"{where}: the file is empty")
    header = read_header(data) or Header("unknown")
    if header.kind == "heic":
        raise NoImage(f"{where}: HEIC cannot be decoded; convert it to JPEG or PNG", "not_an_image")
    reduction = _reduction(header)
    pixels = header.width * header.height // reduction**2
    if 3 * pixels * header.value_bytes + header.held_bytes > MOST_BYTES:
        raise NoImage(
            f"{where}: to decode this {header.kind} file of {header.width}x{header.height} pixels "
            "would take gigabytes: it is damaged, or has to be made smaller, or a baseline JPEG",
            "too_large",
        )
    if header.kind == "jpeg":
        bgr, bits = _decode_jpeg(data, _REDUCED[reduction], where), 8
    else:
        bgr, bits = _decode_any(data, header, where)
        if bgr.shape[0] * bgr.shape[1] > REDUCE_ABOVE:
            reduction, bgr = 2, _halve(bgr)
    cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr)
    return Picture(bgr, reduction, bits)


def encode(image: np.ndarray, suffix: str = ".jpg") -> bytes:
    """Encode (H, W, 3) uint8 RGB as JPEG quality 95 without chroma subsampling, or as PNG
    (suffix ".png").
    """
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


def _reduction(header: Header) -> int:
    pixels = header.width * header.height
    if header.kind != "jpeg" or pixels <= REDUCE_ABOVE // (2 if header.held_bytes else 1):
        return 1
    return next((part for part in (2, 4) if pixels <= REDUCE_ABOVE // 2 * part**2), 8)


def _decode_jpeg(data: bytes, flags: int, where: str) -> np.ndarray:
    bgr = _imdecode(data, flags, where)
    if bgr is None and not lacks_scans(data):
        # Only the end marker may be missing: then what stands before it makes no difference to any
        # pixel.
        body = data[:-1] if data.endswith(b"\xff") else data
        bgr = _imdecode(body + _END, flags, where)
        for junk in (b"\x5a" * 64, b"\xa5" * 64):
            again = None if bgr is None else _imdecode(body + junk + _END, flags, where)
            if bgr is None or again is None or not np.array_equal(bgr, again):
                bgr = None
    if bgr is None:
        raise NoImage(f"{where}: not an image that can be decoded (cut short?)")
    return bgr


def _decode_any(data: bytes, header: Header, where: str) -> tuple[np.ndarray, int]:
    """Decode what is no JPEG; of 16-bit values, as many bits count as the greatest of them
    needs.
    """
    bgr = _imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, where)
    if bgr is not None and bgr.dtype not in (np.uint8, np.uint16):
        bgr = _imdecode(data, cv2.IMREAD_COLOR, where)
    if bgr is None or bgr.dtype not in (np.uint8, np.uint16):
        raise NoImage(f"{where}: not an image that can be decoded")
    if bgr.dtype == np.uint8:
        return bgr, 8
    used = int(header.greatest or bgr.max()).bit_length()
    bits = next(depth for depth in _DEPTHS if depth >= used)
    np.right_shift(bgr, bits - 8, out=bgr)
    return bgr.astype(np.uint8), bits


def _halve(image: np.ndarray) -> np.ndarray:
    """Average two by two pixels, as a JPEG is decoded at half its size; an odd last row or
    column is cut off.
    """
    height, width = image.shape[0] // 2, image.shape[1] // 2
    even = image[: 2 * height, : 2 * width]
    return cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)


def _imdecode(data: bytes, flags: int, where: str) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise NoImage(f"{where}: {error.err}") from None
