"""Arrays kept for another run: `NAME.npy` and beside it `NAME.json`, which says what they depend on
and what they sum up to.

A file that is not what its JSON says (cut short, overwritten, another's) is never believed: it is
made again, with a line on the screen. A cache that cannot be written costs a line too, not the
measurement.
"""

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mfr_kit import claims, files, system_errors


class StoredArray:
    """The place of an array that was computed and may be needed again.

    Args:
        path: the .npy.
        described: what the array depends on, as JSON knows it; another description makes another
            array.
    """

    def __init__(self, path: Path, described: dict[str, Any]) -> None:
        self.path, self._about, self._described = path, path.with_suffix(".json"), described

    def obtain(self, task: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the array, or let one of the processes that want it compute and keep it.

        Args:
            task: says what it does, to those that wait for it.
            compute: makes the array.
        """
        found = self.read(quiet=True)  # a process that writes it has one of two files in place
        if found is not None:
            claims.clear(self.path.parent / claims.CLAIMS)
            return found
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # a folder that may only be read
                folder = self.path.parent / claims.CLAIMS
                stack.enter_context(claims.sole(folder, self.path.stem, task))
            found = self.read()
            if found is None:
                found = compute()
                self.write(found)
        return found

    def read(self, quiet: bool = False) -> np.ndarray | None:
        """Return the array; None where there is none, or none that can be believed, which is said
        unless `quiet`.
        """
        if not os.path.lexists(self.path):
            return None
        try:
            array = np.load(self.path, allow_pickle=False)
            about = json.loads(self._about.read_text(encoding="utf-8"))
            reason = "" if about == self._record(array) else "its checksum is another"
        except Exception as error:  # noqa: BLE001  numpy's reader of damaged headers raises many kinds
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if reason and not quiet:
            _say(f"{self.path} cannot be believed ({reason}): made again")
        return None if reason else array

    def write(self, array: np.ndarray) -> None:
        """Keep an array; the two files are moved into place one after the other, and fit each
        other or are not believed.
        """
        try:
            with files.replacing(self.path) as part, part.open("wb") as file:
                np.save(file, array)
            files.write_json(self._about, self._record(array), sort_keys=True)
        except OSError as error:
            reason = system_errors.explain(error) or error
            _say(f"{self.path.name} is not kept for another run: {reason}")

    def _record(self, array: np.ndarray) -> dict[str, Any]:
        rows = np.ascontiguousarray(array)
        return {
            **self._described,
            "shape": list(rows.shape),
            "dtype": str(rows.dtype),
            "blake2b": hashlib.blake2b(rows.data).hexdigest(),
        }


def _say(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)
