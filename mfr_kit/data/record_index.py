"""The `.idx` of a RecordIO file: lines `key <tab> offset`, parsed in blocks into 8 bytes a
record.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mfr_kit.errors import KitError

BLOCK_BYTES = 4 << 20
LONGEST_LINE = 64
USUAL_BYTES = 16 << 10  # read at once where a record's length is not known beforehand


class KeyTable:
    """Key -> (offset, bytes to read), for keys 0 .. N-1 in the order of the file (one array) or any
    others (two sorted arrays).

    Args:
        offsets: (N,) int64, ascending by key.
        size_bytes: length of the `.rec`.
        keys: (N,) int64, ascending and distinct; None means 0 .. N-1.
        where: names the index in errors.
    """

    def __init__(
        self,
        offsets: np.ndarray,
        size_bytes: int,
        keys: np.ndarray | None = None,
        where: str = "the rebuilt index",
    ):
        self._where, self._count, self._size, self._keys = where, len(offsets), size_bytes, keys
        self._in_order = keys is None and bool((offsets[1:] > offsets[:-1]).all())
        self._offsets = offsets
        self._prepare()

    def __len__(self) -> int:
        return self._count

    @property
    def keys(self) -> Sequence[int]:
        return range(self._count) if self._key_at is None else self._key_at

    def in_file_order(self) -> Iterator[tuple[int, int]]:
        """Yield (key, offset) by ascending offset."""
        if self._in_order:
            return enumerate(self._at)
        order = np.argsort(self._offsets, kind="stable")
        keys = order if self._keys is None else self._keys[order]
        return zip(keys.data, self._offsets[order].data, strict=True)

    def offsets_of(self, keys: np.ndarray) -> np.ndarray:
        """Return where the records of (n,) keys begin, (n,) int64.

        Raises:
            KitError: a key is not there.
        """
        if self._keys is None:
            places = keys
        else:
            places = np.minimum(np.searchsorted(self._keys, keys), self._count - 1)
        known = (places >= 0) & (places < self._count)
        if self._keys is not None and self._count:
            known &= self._keys[places] == keys
        if not known.all():
            raise self._unknown(int(keys[np.argmin(known)]))
        return self._offsets[places]

    def _prepare(self) -> None:
        # indexing it gives a plain int, twice as fast as an array would
        self._at = self._offsets.data
        self._key_at = None if self._keys is None else self._keys.data
        self._last = self._count - 1
        self.find = self._find_in_order if self._in_order else self._find_any

    def _find_in_order(self, key: int) -> tuple[int, int]:
        at = self._at
        if 0 <= key < self._last:
            return at[key], at[key + 1] - at[key]
        if key != self._last:
            raise self._unknown(key)
        return at[key], self._size - at[key]

    def _find_any(self, key: int) -> tuple[int, int]:
        position = key if self._key_at is None else bisect_left(self._key_at, key)
        if not 0 <= position < self._count or (
            self._key_at is not None and self._key_at[position] != key
        ):
            raise self._unknown(key)
        return self._at[position], USUAL_BYTES

    def _unknown(self, key: int) -> KitError:
        span = (
            f"its {self._count} keys lie in {self.keys[0]} .. {self.keys[-1]}"
            if self._count
            else "it is empty"
        )
        return KitError(f"{self._where}: there is no key {key}; {span}")

    def __getstate__(self) -> dict:
        return {
            name: value
            for name, value in self.__dict__.items()
            if name not in ("_at", "_key_at", "find")
        }

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._prepare()


def read_index(path: Path, size_bytes: int) -> KeyTable:
    """Parse an `.idx`; 5.8 million lines take about two seconds and 8 bytes each where keys are 0,
    1, 2 ...

    Args:
        path: the index.
        size_bytes: length of its `.rec`; no record may start behind it.
    Raises:
        KitError: unreadable, a line that is not two whole numbers, a key that comes twice, or an
            offset past the end of the `.rec`.
    """
    try:
        with path.open("rb") as file:
            count = (
                sum(block.count(b"\n") for block in iter(lambda: file.read(BLOCK_BYTES), b"")) + 1
            )
        offsets, keys, filled = np.empty(count, np.int64), None, 0
        for numbers in _blocks(path):
            stop = filled + len(numbers)
            offsets[filled:stop] = numbers[:, 1]
            if keys is None and not np.array_equal(numbers[:, 0], np.arange(filled, stop)):
                keys = np.arange(count)
            if keys is not None:
                keys[filled:stop] = numbers[:, 0]
            filled = stop
    except OSError as error:
        raise KitError(f"{path}: cannot be read ({error.strerror})") from None
    offsets, keys = offsets[:filled], None if keys is None else keys[:filled]
    if filled and (offsets.max() > size_bytes - 8 or offsets.min() < 0):
        row = int(np.argmax((offsets > size_bytes - 8) | (offsets < 0)))
        key = row if keys is None else int(keys[row])
        problem = f"offset {offsets[row]} lies past the end of the .rec ({size_bytes} bytes)"
        raise KitError(
            f"{path}: key {key}: {problem}; the .rec was cut short, or the .idx is of another"
        )
    if keys is not None:
        order = np.argsort(keys, kind="stable")
        offsets, keys = offsets[order], keys[order]
        twice = np.flatnonzero(keys[1:] == keys[:-1])
        if len(twice):
            raise KitError(
                f"{path}: key {keys[twice[0]]} comes twice; delete the .idx to have it rebuilt "
                "from the .rec"
            )
    return KeyTable(offsets, size_bytes, keys, str(path))


def _blocks(path: Path) -> Iterator[np.ndarray]:
    """Yield (n, 2) int64 arrays of keys and offsets, a few megabytes of text at a time, cut at
    line ends.
    """
    rest, line = b"", 1
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            text = rest + block
            cut = text.rfind(b"\n") + 1
            rest = text[cut:]
            if len(rest) > LONGEST_LINE:
                raise _malformed(path, line + text.count(b"\n"), rest)
            yield _numbers(path, text[:cut], line)
            line += text.count(b"\n")
    yield _numbers(path, rest, line)


def _numbers(path: Path, text: bytes, first_line: int) -> np.ndarray:
    """Turn whole lines into (n, 2) numbers, all at once where they are as a writer leaves them,
    else line by line.
    """
    lines = text.count(b"\n") + (not text.endswith(b"\n") and bool(text))
    if not text.translate(None, b"0123456789\t\r\n") and text.count(b"\t") == lines:
        values = (
            np.fromstring(text.decode("ascii"), np.int64, sep=" ")
            if text
            else np.empty(0, np.int64)
        )
        if len(values) == 2 * lines:
            return values.reshape(-1, 2)
    rows = []
    for number, line in enumerate(text.split(b"\n"), first_line):
        fields = line.split()
        if fields and not (
            len(fields) == 2 and all(field.isdigit() and len(field) < 19 for field in fields)
        ):
            raise _malformed(path, number, line)
        if fields:
            rows.append((int(fields[0]), int(fields[1])))
    return np.array(rows, np.int64).reshape(-1, 2)


def _malformed(path: Path, number: int, line: bytes) -> KitError:
    shown = line[:40].decode("ascii", "replace")
    return KitError(
        f"{path}: line {number}: `key <tab> offset` expected, found {shown!r}; delete the file "
        "to have it rebuilt"
    )
