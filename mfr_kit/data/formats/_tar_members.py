"""The members of an uncompressed tar file, by their headers; no content is read."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mfr_kit.errors import KitError

BLOCK = tarfile.BLOCKSIZE
KEPT = 512  # headers that tarfile may hold before they are dropped
_COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZ": "bunzip2", b"\xfd7": "unxz", b"\x28\xb5": "unzstd"}


class Member(NamedTuple):
    """A member of an archive; no folder."""

    name: str
    offset: int  # of its content
    size: int
    is_file: bool  # False: link, device, pipe


def walk(path: Path) -> Iterator[Member]:
    """Yield the members in their order.

    Raises:
        KitError: compressed, no tar file, damaged, cut short, or a name that points outside.
    """
    try:
        with path.open("rb") as file:
            size, end = file.seek(0, 2), 0
            file.seek(0)
            _refuse_compressed(path, file.read(2))
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:", errorlevel=2) as tar:
                for found in tar:
                    _refuse_outside(path, found.name)
                    if found.issparse():
                        raise KitError(f"{path}: {found.name[:200]!r} is a sparse file, no image's")
                    held = found.size if found.isreg() else 0
                    if min(held, found.offset_data) < 0:
                        raise KitError(
                            f"{path}: {found.name[:200]!r} has {held} bytes; copy it again"
                        )
                    end = found.offset_data + -(-held // BLOCK) * BLOCK
                    if found.offset_data + held > size:
                        raise KitError(
                            f"{path}: {found.name[:200]!r} has {held} bytes, but the file ends "
                            f"after {size - found.offset_data}; copy it again"
                        )
                    if not found.isdir():
                        yield Member(found.name, found.offset_data, held, found.isreg())
                    if len(vars(tar)["members"]) > KEPT:
                        vars(tar)["members"] = []
            file.seek(end)
            if file.read(BLOCK) != bytes(BLOCK):
                raise KitError(
                    f"{path}: offset {end}: neither a member's header nor the end of the archive; "
                    "it is damaged or was cut short: copy it again"
                )
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise KitError(f"{path}: cannot be read as a tar file ({reason.splitlines()[0]})") from None


def _refuse_compressed(path: Path, head: bytes) -> None:
    program = _COMPRESSED.get(head)
    if program:
        raise KitError(
            f"{path}: compressed, so that no image can be read alone: unpack it with {program} "
            "(images do not get smaller by it)"
        )


def _refuse_outside(path: Path, name: str) -> None:
    if name.startswith("/") or ".." in name.replace("\\", "/").split("/"):
        raise KitError(
            f"{path}: the member {name[:200]!r} points outside of the archive, which no data set "
            "needs; do not unpack it"
        )
