"""Text files that people write: lists, tables and pair lists in whatever encoding and line ends
their editor saved.
"""

import codecs
import functools
import re
import stat
from pathlib import Path

from mfr_kit.errors import KitError
from mfr_kit.registry import near_path

MARKS = (  # the longer mark first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

LONGEST_PIPE = 1 << 26  # bytes; /dev/zero has no end


def read_text(path: Path, what: str = "the list") -> str:
    """Read a text file in whatever encoding an editor saved it; its byte order mark is left out.

    Args:
        path: of the file; a pipe is read once and remembered.
        what: names its kind in the error.
    Raises:
        KitError: it is not there, a folder, no text, or text in another encoding than UTF-8 and
            UTF-16; names the line.
    """
    content = _content(Path(path), what)
    try:
        return decode(content)
    except ValueError as error:
        raise KitError(f"cannot read {what} {path}: {error}") from None


def decode(content: bytes) -> str:
    """Decode a text in whatever encoding an editor saved it; its byte order mark is left out.

    Raises:
        ValueError: it is no text, or in another encoding than UTF-8 and UTF-16; names the line.
    """
    mark, encoding = next(
        (known for known in MARKS if content.startswith(known[0])), (b"", _unmarked(content))
    )
    content = content[len(mark) :]
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = len(re.split(b"\r\n|\n|\r", content[: error.start]))
        raise ValueError(f"line {line} is no UTF-8 text; save it as UTF-8") from None
    if "\0" in text:
        line = len(split_lines(text[: text.index("\0")]))
        raise ValueError(f"line {line} holds a NUL byte: it is no text file, or damaged")
    return text.lstrip("\ufeff")  # some editors write a second mark


def split_lines(text: str) -> list[str]:
    """Split at LF, CR LF or CR and at nothing else: Unicode's other line ends are letters of a
    name.
    """
    return re.split("\r\n|\n|\r", text)


def _content(path: Path, what: str) -> bytes:
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise KitError(f"cannot read {what} {path}: it is a folder; give a text file")
        content = path.read_bytes() if stat.S_ISREG(found.st_mode) else _piped(path)
    except FileNotFoundError:
        guess = near_path(path)
        raise KitError(f"cannot read {what} {path}: there is no such file{guess}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise KitError(f"cannot read {what} {path}: {reason}") from None
    if len(content) > LONGEST_PIPE and not stat.S_ISREG(found.st_mode):
        raise KitError(
            f"cannot read {what} {path}: it is no file and gives more than {LONGEST_PIPE >> 20} MiB"
        )
    return content


@functools.cache
def _piped(path: Path) -> bytes:
    """A pipe (`--people <(ls photos)`) gives its content once, and a list is looked at more than
    once.
    """
    with path.open("rb") as file:
        return file.read(LONGEST_PIPE + 1)


def _unmarked(content: bytes) -> str:
    """Tell UTF-16 without a mark by its zeros: in every second place, as Latin letters have
    them.
    """
    start = content[:4096]
    for encoding, zeros, letters in (
        ("utf-16-le", start[1::2], start[::2]),
        ("utf-16-be", start[::2], start[1::2]),
    ):
        if len(content) % 2 == 0 and zeros.count(0) > 0.4 * len(zeros) and not letters.count(0):
            return encoding
    return "utf-8"
