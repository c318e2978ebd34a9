"""What the faces of a batch are called, for errors."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Named(Protocol):
    """Pictures with a name each; `keys` may be read when they are first asked for."""

    @property
    def keys(self) -> np.ndarray: ...


@dataclass(frozen=True)
class BatchKeys:
    """The keys of `count` faces from row `start` on, and then of their mirror images: looked up for
    an error alone, since those of millions of faces fill gigabytes.
    """

    faces: Named
    start: int
    count: int

    def __getitem__(self, row: int) -> str:
        return str(self.faces.keys[self.start + row % self.count])
