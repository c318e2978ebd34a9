"""The bytes of RecordIO's records; record_reader.py and record_writer.py do the files.

All little-endian, as dmlc-core writes them and docs/reference/formats.md spells out: a
record is `uint32 magic, uint32 word, payload, zeros up to 4 bytes`; the word holds a continuation
flag (3 bits) and a length (29 bits). A payload that has the magic number at a multiple of 4 is cut
there, the 4 bytes are left out, and the parts carry flags 1 (first), 2 (middle), 3 (last); 0 is a
whole record. An image's payload is `<IfQQ` (flag, label, id, id2), then `flag` float32 labels if
flag > 0, then the encoded image.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mfr_kit.errors import KitError

MAGIC = 0xCED7230A
MAGIC_BYTES = struct.pack("<I", MAGIC)
LENGTH_MASK = (1 << 29) - 1
PART = struct.Struct("<II")  # magic and word
_HEADER = struct.Struct("<IfQQ")


class Record(NamedTuple):
    """An image record taken apart. `flag` 0: one label in the header itself; n > 0: n labels
    after it.
    """

    flag: int
    labels: tuple[float, ...]
    id: int
    id2: int
    data: memoryview


def pack(label: float | Sequence[float], data: bytes, id: int = 0, id2: int = 0) -> bytes:
    """Build an image record's payload: one number becomes flag 0, a sequence of n numbers flag
    n.
    """
    if isinstance(label, int | float | np.number):
        return _HEADER.pack(0, label, id, id2) + data
    return _HEADER.pack(len(label), 0.0, id, id2) + struct.pack(f"<{len(label)}f", *label) + data


def unpack(payload: memoryview | bytes, where: str) -> Record:
    """Take an image record's payload apart without copying the image.

    Raises:
        KitError: the payload is shorter than its header says; `where` names it.
    """
    if len(payload) < _HEADER.size:
        raise KitError(
            f"{where}: {len(payload)} bytes are too few for an image record (24 at least); is "
            "this a set of images?"
        )
    flag, label, id_, id2 = _HEADER.unpack_from(payload)
    if flag == 0:
        return Record(0, (label,), id_, id2, memoryview(payload)[24:])
    if 24 + 4 * flag > len(payload):
        raise KitError(
            f"{where}: the header announces {flag} labels, but only {len(payload) - 24} bytes "
            "follow; the record is damaged"
        )
    return Record(
        flag,
        struct.unpack_from(f"<{flag}f", payload, 24),
        id_,
        id2,
        memoryview(payload)[24 + 4 * flag :],
    )


def frame(payload: bytes) -> bytes:
    """Put a payload between magic number and padding, in several parts where it holds the magic
    number at a multiple of 4.
    """
    blocks, start, at = [], 0, payload.find(MAGIC_BYTES)
    while at >= 0:
        if at % 4:
            at = payload.find(MAGIC_BYTES, at + 1)
            continue
        blocks.append(PART.pack(MAGIC, (2 if start else 1) << 29 | at - start) + payload[start:at])
        start = at + 4
        at = payload.find(MAGIC_BYTES, start)
    length = len(payload) - start
    return b"".join(
        (
            *blocks,
            PART.pack(MAGIC, (3 if start else 0) << 29 | length),
            payload[start:],
            b"\0" * (-length & 3),
        )
    )
