"""Write RecordIO `.rec` files and their `.idx`, whole or not at all."""

import contextlib
from pathlib import Path
from typing import IO

from mfr_kit.data.recordio import LENGTH_MASK, frame
from mfr_kit.errors import KitError
from mfr_kit.files import attributed_to, move_into_place
from mfr_kit.leftovers import beside


class RecordWriter:
    """Write a `.rec` and its `.idx` under temporary names and move both into place at the end of
    the `with` block.

    After an exception inside the block nothing is left behind and an older set of that name is
    untouched.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        if self.path.suffix != ".rec":
            raise KitError(f"{path}: a RecordIO file is called *.rec")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = [beside(self.path), beside(self.path)]
        self._records = self._temporary[0].open("wb", 1 << 20)
        self._index = self._temporary[1].open("w", encoding="ascii", newline="\n")
        self._offset, self._last_key = 0, -1

    def write(self, key: int, payload: bytes) -> None:
        """Append a record.

        Raises:
            KitError: keys that do not ascend, or a payload of 2**29 bytes (512 MiB) or more, which
                the format cannot hold.
        """
        if key <= self._last_key:
            raise KitError(
                f"{self.path}: key {key} comes after key {self._last_key}; keys must ascend"
            )
        if len(payload) > LENGTH_MASK:
            raise KitError(
                f"{self.path}: key {key}: {len(payload)} bytes, but a record holds less than 512 "
                "MiB"
            )
        block = frame(payload)
        with attributed_to(self.path):
            self._records.write(block)
            self._index.write(f"{key}\t{self._offset}\n")
        self._offset += len(block)
        self._last_key = key

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            written: tuple[IO, IO] = (self._records, self._index)
            for file, temporary in zip(written, self._temporary, strict=True):
                # a full disk refuses what is still to be flushed
                with contextlib.suppress(OSError):
                    file.close()
                temporary.unlink(missing_ok=True)

    def _finish(self) -> None:
        with attributed_to(self.path):
            for file in (self._records, self._index):
                file.flush()
                file.close()
            index = self.path.with_suffix(".idx")
            is_new = not index.exists()
            move_into_place(self._temporary[1], index)
            try:
                move_into_place(self._temporary[0], self.path)  # last: what has this name is whole
            except OSError:
                if is_new:
                    index.unlink(missing_ok=True)
                raise
