"""Read text files of others line by line: one decoder for every list, pair list and side file of a training set."""

import os
import re
from pathlib import Path

from mfr_kit.errors import KitError

_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_BREAK = re.compile("\r\n|\n|\r")  # str.splitlines also breaks at U+2028, U+0085, form feeds ...


def decode_text(data: bytes, path: Path, what: str) -> str:
    """Decode UTF-8 with or without a byte order mark, or UTF-16 with one.

    Args:
        data: the file's bytes.
        path: names it in errors.
        what: it is, as in "the image list".
    Raises:
        KitError: another encoding or a NUL byte; names the line.
    """
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise KitError(
            f"cannot read {what} {path}: line {line} is not UTF-8 text; save it as UTF-8"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise KitError(
            f"cannot read {what} {path}: line {line} holds a NUL byte; it is damaged or no text file"
        )
    return text


def read_lines(path: Path, what: str) -> list[str]:
    """Read a text file's lines, without their ends (CR, LF or both) and with everything else that is in them.

    Raises:
        KitError: see `decode_text`, or it cannot be read.
    """
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise KitError(f"cannot read {what} {path}: {reason}") from None
    lines = _BREAK.split(decode_text(data, path, what))
    return lines[:-1] if lines[-1] == "" else lines


def first_line(path: Path, limit: int = 1000) -> str:
    """Take a file's first line that is not blank, "" where it is no text: to tell formats apart."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(limit + limit % 2)
    except OSError:
        return ""
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    lines = _BREAK.split(data.decode(encoding, "replace"))
    return next((line for line in lines if line.strip()), "")


def beside(path: Path, name: str) -> Path | None:
    """Find a file that lies beside `path`, under its name or that name in other letter case (TRAIN.IDX)."""
    exact = path.with_name(name)
    if exact.exists():
        return exact
    try:
        names = sorted(os.listdir(path.parent))
    except OSError:
        return None
    return next((path.with_name(item) for item in names if item.lower() == name.lower()), None)
