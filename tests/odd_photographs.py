"""Odd and broken photographs, a kind a function: what people's folders hold beside good ones."""

import io
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests import format_damage

FORMATS = {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WEBP", "tif": "TIFF", "bmp": "BMP"}
FOREIGN = (b"%PDF-1.7\n", b"PK\3\4" + bytes(60), b"<svg xmlns='x'/>", b"<html>404</html>", b"\0")
FOREIGN += (bytes(4096), b"\0\0\0\x18ftypmp42" + bytes(40), b"version https://git-lfs\n", b"")
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(400)
SIDES = (60_000, 65_535, 30_000)
NAMES = (b"\xff\xfe.jpg", b"a\nb.jpg", b"-rf.jpg", b"#1.jpg", "\u202egpj.jpg".encode(), b"x" * 200)
NAMES += (
    b".hidden.jpg",
    b"._fork.jpg",
    b"Thumbs.db",
    b"two  spaces .jpg",
    b"caf\xe9.jpg",
    b"'\".jpg",
)


def encoded(picture: Image.Image, suffix: str, **options) -> bytes:
    """Encode a picture as its suffix says."""
    out = io.BytesIO()
    picture.save(out, FORMATS[suffix], **options)
    return out.getvalue()


def write(face: Image.Image, folder: Path, number: int, rng: random.Random) -> str:
    """Write one odd photograph.

    Args:
        face: a picture that holds a face.
        folder: of a person.
        number: makes its name unique.
        rng: of what is random in it.
    Returns:
        Its path in the folder, as the file system has it.
    """
    suffix, kind = rng.choice(list(FORMATS)), rng.choice(list(KINDS))
    stem = f"odd-{number:03}-{kind.__name__}"
    made = kind(face, suffix, rng)
    if isinstance(made, bytes):
        name = f"{stem}.{suffix}"
        (folder / name).write_bytes(made)
        return name
    return made(folder, stem)


def cut(face: Image.Image, suffix: str, rng: random.Random) -> bytes:
    """Cut at every 5 %."""
    data = encoded(face, suffix)
    return data[: len(data) * rng.randrange(20) // 20]


def mode(face: Image.Image, suffix: str, rng: random.Random) -> bytes:
    """Other colours: CMYK, a palette, one bit, alpha, grey."""
    modes = {"jpg": ("CMYK", "L"), "gif": ("P", "1"), "webp": ("RGBA",), "bmp": ("L", "1", "P")}
    return encoded(face.convert(rng.choice(modes.get(suffix, ("LA", "P", "1", "RGBA")))), suffix)


def deep(face: Image.Image, suffix: str, rng: random.Random) -> Callable:
    """16 bits a value."""
    grey = np.asarray(face.convert("L")).astype(np.uint16) * rng.choice((1, 16, 257))
    return _file(encoded(Image.fromarray(grey), "png"), "png")


def profile(face: Image.Image, suffix: str, rng: random.Random) -> Callable:
    """A colour profile, a real one or none."""
    from PIL import ImageCms

    real = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    chosen = rng.choice((real, real[:60], bytes(200_000), b"x"))
    return _file(encoded(face, "jpg", icc_profile=chosen), "jpg")


def turned(face: Image.Image, suffix: str, rng: random.Random) -> Callable:
    """An EXIF orientation, of the eight or none of them, or EXIF that is none."""
    exif = Image.Exif()
    exif[0x0112] = rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 65_535))
    chosen = rng.choice((exif.tobytes(), exif.tobytes(), b"Exif\0\0garbage", exif.tobytes()[:12]))
    return _file(encoded(face, "jpg", exif=chosen), "jpg")


def animated(face: Image.Image, suffix: str, rng: random.Random) -> Callable:
    """Several frames."""
    kind = rng.choice(("gif", "webp", "png"))
    others = [Image.new("RGB", face.size)] * rng.choice((1, 9))
    return _file(encoded(face, kind, save_all=True, append_images=others), kind)


def bomb(face: Image.Image, suffix: str, rng: random.Random) -> Callable:
    """Thousands of megapixels in a few bytes."""
    side = rng.choice(SIDES)
    if rng.random() < 0.5:
        head = struct.pack(
            ">IIBBBBB", side, side, rng.choice((1, 8, 16)), rng.choice((0, 2, 6)), 0, 0, 0
        )
        parts = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b""))
        body = [
            struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d))
            for n, d in parts
        ]
        return _file(b"\x89PNG\r\n\x1a\n" + b"".join(body), "png")
    data = bytearray(encoded(face, "jpg", progressive=rng.random() < 0.5))
    at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    struct.pack_into(">HH", data, at + 5, side, side)
    return _file(bytes(data), "jpg")


def long_header(face: Image.Image, suffix: str, rng: random.Random) -> Callable:
    """Megabytes of comments before the picture."""
    data, block = encoded(face, "jpg"), b"\xff\xfe\xff\xff" + bytes(65_533)
    return _file(data[:2] + block * rng.choice((1, 40)) + data[2:], "jpg")


def other_suffix(face: Image.Image, suffix: str, rng: random.Random) -> Callable:
    """A picture under the name of another kind, or of none."""
    return _file(
        encoded(face, suffix), rng.choice(("jpg", "png", "webp", "txt", "JPEG", "dat", "cr2"))
    )


def foreign(face: Image.Image, suffix: str, rng: random.Random) -> bytes:
    """No picture at all."""
    return rng.choice(FOREIGN)


def heic(face: Image.Image, suffix: str, rng: random.Random) -> Callable:
    """What phones write."""
    return _file(HEIC[: rng.choice((12, 24, 400))], rng.choice(("heic", "HEIC", "jpg")))


def damaged(face: Image.Image, suffix: str, rng: random.Random) -> bytes:
    """Damage with knowledge of the format."""
    return format_damage.image_of(encoded(face, suffix), rng)


def folder_name(face: Image.Image, suffix: str, rng: random.Random) -> Callable:
    """A folder that is called as a picture, with a text in it."""

    def make(folder: Path, stem: str) -> str:
        (folder / f"{stem}.jpg").mkdir()
        (folder / f"{stem}.jpg" / "x.jpg").write_text("no picture")
        return f"{stem}.jpg/x.jpg"

    return make


def no_file(face: Image.Image, suffix: str, rng: random.Random) -> Callable:
    """A pipe, or a link that leads nowhere, to itself, or to a device."""

    def make(folder: Path, stem: str) -> str:
        path, kind = folder / f"{stem}.jpg", rng.randrange(4)
        if kind == 0:
            os.mkfifo(path)
        else:
            path.symlink_to(("gone.jpg", path.name, "/dev/zero")[kind - 1])
        return path.name

    return make


def odd_name(face: Image.Image, suffix: str, rng: random.Random) -> Callable:
    """A name that is no text, or that a shell or an editor stumbles over."""
    name, data = rng.choice(NAMES), encoded(face, "jpg")

    def make(folder: Path, stem: str) -> str:
        full = os.fsdecode(name[: name.rfind(b".")] if b"." in name[1:] else name)
        full = full + stem[4:7] + os.fsdecode(name[len(os.fsencode(full)) :] or b".jpg")
        (folder / full).write_bytes(data)
        return full

    return make


def _file(data: bytes, suffix: str) -> Callable[[Path, str], str]:
    def make(folder: Path, stem: str) -> str:
        (folder / f"{stem}.{suffix}").write_bytes(data)
        return f"{stem}.{suffix}"

    return make


KINDS = (cut, cut, cut, mode, deep, profile, turned, animated, bomb, long_header, other_suffix)
KINDS += (foreign, heic, damaged, damaged, folder_name, no_file, odd_name)
