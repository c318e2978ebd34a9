"""What the faces of a batch are called, for errors."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class BatchKeys:
    """The keys of `count` faces from row `start` on, and then of their mirror images: looked up for
    an error alone, since those of millions of faces fill gigabytes. Pictures without `keys` are
    called by their number.
    """

    pictures: Any
    start: int
    count: int

    def __getitem__(self, row: int) -> str:
        number = self.start + row % self.count
        keys = getattr(self.pictures, "keys", None)
        return f"image {number}" if keys is None else str(keys[number])
