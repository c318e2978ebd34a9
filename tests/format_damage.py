"""Damage to binary formats, with knowledge of their structure and with checksums that fit again;
everything random comes from the generator that is handed in.
"""

import json
import random
import struct
import zlib
from pathlib import Path

from tests import damage

NUMBERS = (0, 1, 2, 7, 255, 256, 65_535, 65_536, 60_000, 2**31 - 1, 2**31, 2**32 - 1)
BLOCK = 512  # bytes of a tar
# where a tar's header has them: name, mode, size, kind, link, magic, prefix
TAR_FIELDS = ((0, 100), (100, 8), (124, 12), (156, 1), (157, 100), (257, 8), (345, 155))
TAR_VALUES = (b"", b"7" * 12, b"-1", b"\xff" * 12, b"\x80" + b"\0" * 10 + b"\1", b"00000001000")
TAR_VALUES += (b"../x", b"/etc/passwd", b"a/../../x.jpg", b".x.jpg", b"000.json", b"0\n1.jpg")
TAR_VALUES += (b"0", b"1", b"2", b"3", b"5", b"6", b"L", b"K", b"x", b"g", b"S", b"\xc3(.cls")


def tar_of(data: bytes, rng: random.Random) -> bytes:
    """Change headers of a tar, their checksums made right, or the order of its blocks."""
    data = bytearray(data)
    starts = range(0, len(data) - BLOCK + 1, BLOCK)
    headers = [at for at in starts if data[at + 257 : at + 262] == b"ustar"]
    for _ in range(rng.choice((1, 1, 2, 4)) if headers else 0):
        at, kind = rng.choice(headers), rng.randrange(5)
        if kind == 0:
            del data[at : at + BLOCK * rng.choice((1, 2))]
        elif kind == 1:
            other = rng.choice(headers)
            data[at:at] = data[other : other + BLOCK * rng.choice((1, 2))]
        else:
            _change_header(data, at, rng)
    return bytes(data) if rng.random() < 0.8 else damage.bytes_of(bytes(data), rng)


def _change_header(data: bytearray, at: int, rng: random.Random) -> None:
    start, size = rng.choice(TAR_FIELDS)
    data[at + start : at + start + size] = rng.choice(TAR_VALUES)[:size].ljust(size, b"\0")
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + BLOCK])


def safetensors_of(data: bytes, rng: random.Random) -> bytes:
    """Change the header of a safetensors file, its length made right or not."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    text = json.dumps(damage.value_in(header, rng)).encode("utf-8", "surrogatepass")
    told = len(text) if rng.random() < 0.85 else rng.choice((*NUMBERS, 2**63, 2**64 - 1))
    data = told.to_bytes(8, "little") + text + data[8 + length :]
    return data if rng.random() < 0.7 else damage.bytes_of(data, rng)


def matrix_of(data: bytes, rng: random.Random) -> bytes:
    """Overwrite a number of a header of little-endian int32, leave out a number with a header
    that fits, or change bytes.
    """
    data = bytearray(data)
    if rng.random() < 0.1:
        (count,) = struct.unpack_from("<I", data)
        return struct.pack("<I", count - 1) + bytes(data[4:-4])
    if rng.random() < 0.7:
        struct.pack_into("<I", data, 4 * rng.randrange(min(8, len(data) // 4)), rng.choice(NUMBERS))
    return bytes(data) if rng.random() < 0.5 else damage.bytes_of(bytes(data), rng)


def image_of(data: bytes, rng: random.Random) -> bytes:
    """Change the parts of a picture: chunks of a PNG with right checksums, segments of a JPEG,
    numbers near the start of any other, the end.
    """
    kind = rng.randrange(6)
    if kind == 0:
        return data[: len(data) * rng.randrange(20) // 20]
    if kind == 1:
        return damage.bytes_of(data, rng)
    if data.startswith(b"\x89PNG"):
        return _change_png(data, rng)
    if data.startswith(b"\xff\xd8"):
        return _change_jpeg(data, rng)
    changed, order = bytearray(data), rng.choice("<>")
    for _ in range(rng.choice((1, 1, 2))):
        form = order + rng.choice("HI")
        value = rng.choice(NUMBERS) & (0xFFFF if form[1] == "H" else 0xFFFFFFFF)
        at = rng.randrange(max(1, min(len(data), 160) - 4))
        struct.pack_into(form, changed, at, value)
    return bytes(changed)


def _change_png(data: bytes, rng: random.Random) -> bytes:
    chunks, at = [], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunks.append([data[at + 4 : at + 8], data[at + 8 : at + 8 + size]])
        at += 12 + size
    chosen, kind = rng.choice(chunks), rng.randrange(5)
    if kind == 0:
        chunks.remove(chosen)
    elif kind == 1:
        chunks.insert(rng.randrange(len(chunks)), [*chosen])
    elif kind == 2:
        chosen[0] = rng.choice((b"IHDR", b"PLTE", b"IDAT", b"acTL", b"eXIf", b"iCCP", b"tRNS"))
    elif kind == 3 and chosen[0] == b"IHDR":
        values = [rng.choice(NUMBERS), rng.choice(NUMBERS), rng.choice((1, 2, 4, 8, 16, 255))]
        values += [rng.choice((0, 2, 3, 4, 6, 255)), 0, 0, rng.choice((0, 1))]
        chosen[1] = struct.pack(">IIBBBBB", *values)
    else:
        chosen[1] = damage.bytes_of(chosen[1], rng)
    return data[:8] + b"".join(
        len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")
        for name, body in chunks
    )


def _change_jpeg(data: bytes, rng: random.Random) -> bytes:
    segments, at = [], 2
    while data[at : at + 1] == b"\xff" and data[at + 1] != 0xDA:
        size = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        segments.append(bytearray(data[at : at + size]))
        at += size
    rest = data[at:]
    chosen, kind = rng.choice(segments), rng.randrange(5)
    if kind == 0:
        segments.remove(chosen)
    elif kind == 1:
        segments.insert(rng.randrange(len(segments)), bytearray(chosen))
    elif kind == 2:
        chosen[2:4] = rng.choice((b"\0\0", b"\0\1", b"\0\2", b"\xff\xff"))
    elif kind == 3:
        chosen[1] = rng.choice((0xC0, 0xC1, 0xC2, 0xC4, 0xDB, 0xDD, 0xE1, 0xE2, 0xEE, 0xD8, 0xD9))
    else:
        for _ in range(rng.choice((1, 2, 4))):
            chosen[rng.randrange(4, len(chosen))] = rng.choice((0, 1, 8, 0x7F, 0x80, 0xFF))
    return data[:2] + b"".join(segments) + rest


def metadata_of(data: bytes, rng: random.Random) -> bytes:
    """Change a value of the JSON that an ONNX file's metadata hold."""
    import onnx

    model = onnx.load_from_string(data)
    chosen = rng.choice([item for item in model.metadata_props if item.value[:1] in "[{"])
    how = rng.choice((damage.json_of, damage.json_of, damage.json_of, damage.lines_of))
    text = how(chosen.value, rng)
    chosen.value = text.encode("utf-8", "replace").decode()
    return model.SerializeToString()


def tar_file(path: Path, rng: random.Random) -> None:
    """Change a tar where it lies."""
    path.write_bytes(tar_of(path.read_bytes(), rng))


def matrix_file(path: Path, rng: random.Random) -> None:
    """Change a file of numbers where it lies."""
    path.write_bytes(matrix_of(path.read_bytes(), rng))
