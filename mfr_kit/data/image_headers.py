"""What the first bytes of an image file say: its format, its size, whether a JPEG is whole.
Nothing is decoded.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # lengths that a BMP's second header can have
_BRANDS = {
    b"avif": "avif",
    b"avis": "avif",
    b"heic": "heic",
    b"heix": "heic",
    b"hevc": "heic",
    b"mif1": "heic",
    b"msf1": "heic",
}
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of a JPEG that give its size
_HEAD_BYTES = 1 << 16  # within which every format but JPEG and TIFF gives its size


@dataclass(frozen=True)
class Header:
    """Format and size of an image file."""

    kind: str  # "jpeg", "png", ...
    width: int = 0  # 0 where it is not known
    height: int = 0
    value_bytes: int = 1  # of a pixel's channel
    greatest: int = 0  # the value that means white, where the file says
    held_bytes: int = 0  # that a decoder must hold beside the pixels, as for a progressive JPEG


def kind_of(head: bytes) -> str | None:
    """Tell an image's format from its first 32 bytes; None where they are no image's that is
    known.
    """
    signatures = (
        (b"\xff\xd8\xff", "jpeg"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"GIF87a", "gif"),
        (b"GIF89a", "gif"),
        (b"II*\0", "tiff"),
        (b"MM\0*", "tiff"),
        (b"\0\0\0\x0cjP  ", "jpeg2000"),
        (b"\xff\x4f\xff\x51", "jpeg2000"),
    )
    for signature, kind in signatures:
        if head.startswith(signature):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12]) if b"avif" not in head[8:32] else "avif"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "bmp"
    return "pnm" if re.match(rb"P[1-6][\s#]", head) else None


def read_header(data: bytes) -> Header | None:
    """Read format and size of an encoded image; None where the format is not known."""
    kind = kind_of(data[:32])
    if kind is None:
        return None
    try:
        return _READERS[kind](data) if kind in _READERS else Header(kind)
    except (struct.error, IndexError, ValueError, ZeroDivisionError):
        return Header(kind)  # cut inside the header: the decoder will say so


def lacks_scans(data: bytes) -> bool:
    """Tell whether scans of a progressive JPEG are missing: each coefficient has to be there to
    its last bit.
    """
    try:
        return _lacks_scans(data)
    except (IndexError, ValueError):
        return True  # cut inside a marker


def _lacks_scans(data: bytes) -> bool:
    wanted: dict[int, list[int]] = {}
    progressive = False
    for marker, body in _segments(data):
        if marker in _FRAMES:
            progressive = marker in (0xC2, 0xC6, 0xCA, 0xCE)
            wanted = {body[6 + 3 * i]: [13] * 64 for i in range(body[5])}
        elif marker == 0xDA:
            count = body[0]
            first, last, bits = body[1 + 2 * count : 4 + 2 * count]
            for component in (body[1 + 2 * i] for i in range(count)):
                missing = wanted.get(component, [0] * 64)
                missing[first : last + 1] = [bits & 15] * (last + 1 - first)
    return not wanted or (progressive and any(map(any, wanted.values())))


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the markers of a JPEG with what belongs to each, passing over the coded pixels."""
    at = 2
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            return
        marker = data[at + 1]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xD9:
            return
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, data[at + 4 : at + 2 + length]
        at += 2 + length


def _jpeg(data: bytes) -> Header:
    for marker, body in _segments(data):
        if marker in _FRAMES:
            height, width, parts = struct.unpack(">HHB", body[1:6])
            factors = [body[7 + 3 * i] for i in range(parts)]
            across, down = max(f >> 4 for f in factors), max(f & 15 for f in factors)
            samples = sum(width * (f >> 4) * height * (f & 15) for f in factors) // (across * down)
            progressive = marker in (0xC2, 0xC6, 0xCA, 0xCE)
            return Header("jpeg", width, height, held_bytes=2 * samples if progressive else 0)
        if marker == 0xDA:
            break
    return Header("jpeg")


def _png(data: bytes) -> Header:
    width, height, depth = struct.unpack(">IIB", data[16:25])
    promised, at, chunk = 0, 8, b""
    # OpenCV makes room for a chunk before it looks whether it is there
    while at + 8 <= len(data) and chunk != b"IEND":
        promised, chunk = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        at += promised + 12
    missing = promised if at > len(data) else 0
    return Header("png", width, height, 2 if depth == 16 else 1, held_bytes=missing)


def _gif(data: bytes) -> Header:
    return Header("gif", *struct.unpack("<HH", data[6:10]))


def _bmp(data: bytes) -> Header:
    if data[14] == 12:
        return Header("bmp", *struct.unpack("<HH", data[18:22]))
    width, height = struct.unpack("<ii", data[18:26])
    return Header("bmp", abs(width), abs(height))


def _webp(data: bytes) -> Header:
    chunk = data[12:16]
    if chunk == b"VP8X":
        sizes = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return Header("webp", *sizes)
    if chunk == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return Header("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    return Header("webp", *(side & 0x3FFF for side in struct.unpack("<HH", data[26:30])))


def _pnm(data: bytes) -> Header:
    text = re.sub(rb"#[^\n]*", b"", data[:_HEAD_BYTES])
    words = text.split(maxsplit=4)
    greatest = 1 if words[0] in (b"P1", b"P4") else int(words[3])
    return Header("pnm", int(words[1]), int(words[2]), 2 if greatest > 255 else 1, greatest)


def _tiff(data: bytes) -> Header:
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack(f"{order}I", data[4:8])
    (count,) = struct.unpack(f"{order}H", data[start : start + 2])
    tags = {}
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, form, length = struct.unpack(f"{order}HHI", data[at : at + 8])
        size = 2 if form == 3 else 4
        tags[tag] = struct.unpack(order + "_HI"[size // 2], data[at + 8 : at + 8 + size])[0]
        if tag == 258 and length > 2:  # bits of each channel, which then lie elsewhere
            (where,) = struct.unpack(f"{order}I", data[at + 8 : at + 12])
            (tags[tag],) = struct.unpack(f"{order}H", data[where : where + 2])
    return Header("tiff", tags.get(256, 0), tags.get(257, 0), -(-tags.get(258, 8) // 8))


def _jpeg2000(data: bytes) -> Header:
    at = data[:_HEAD_BYTES].index(b"\xff\x51")
    right, bottom, left, top = struct.unpack(">IIII", data[at + 6 : at + 22])
    return Header("jpeg2000", right - left, bottom - top, 4)  # decoded as 32-bit numbers


def _avif(data: bytes) -> Header:
    at = data[:_HEAD_BYTES].index(b"ispe")
    width, height = struct.unpack(">II", data[at + 8 : at + 16])
    return Header("avif", width, height, 2)


_READERS = {
    "jpeg": _jpeg,
    "png": _png,
    "gif": _gif,
    "bmp": _bmp,
    "webp": _webp,
    "pnm": _pnm,
    "tiff": _tiff,
    "jpeg2000": _jpeg2000,
    "avif": _avif,
}
