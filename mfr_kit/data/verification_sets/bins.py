"""Verification sets as `.bin`: lfw, cfp_fp, agedb_30, calfw, cplfw and whatever `kit.py pairs pack`
writes. Images stay in the memory-mapped file until somebody decodes one.
"""

import mmap
import os
import pickle
import struct
from collections.abc import Iterable
from pathlib import Path

from mfr_kit import files
from mfr_kit.data.verification_sets.bin_pickle import parse
from mfr_kit.errors import KitError


def read_bin(path: Path) -> tuple[list[memoryview | bytes], list[bool]]:
    """Read a `.bin`: 2P encoded images as views of the file, and P flags.

    Raises:
        KitError: unreadable, not such a pickle (names the byte and what was found there), or counts
            that do not fit.
    """
    try:
        with Path(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                raise KitError(f"{path}: the file is empty")
            view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise KitError(f"{path}: cannot be read ({error.strerror})") from None
    images, same = parse(view, str(path))
    if len(images) != 2 * len(same):
        raise KitError(
            f"{path}: {len(images)} images for {len(same)} pairs; there must be two images a pair"
        )
    return images, same


def write_bin(path: Path, images: Iterable[bytes], same: Iterable[bool]) -> None:
    """Write a `.bin` that InsightFace's tools read (pickle protocol 3): two images a pair; a
    generator of images is held one at a time.
    """
    with files.replacing(path) as temporary, temporary.open("wb") as file:
        file.write(pickle.PROTO + b"\x03" + pickle.MARK + pickle.EMPTY_LIST + pickle.MARK)
        for image in images:
            file.write(pickle.BINBYTES + struct.pack("<I", len(image)) + image)
        file.write(pickle.APPENDS + pickle.EMPTY_LIST + pickle.MARK)
        file.write(b"".join(pickle.NEWTRUE if flag else pickle.NEWFALSE for flag in same))
        file.write(pickle.APPENDS + pickle.TUPLE + pickle.STOP)
