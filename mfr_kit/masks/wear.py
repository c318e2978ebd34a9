"""How one sample is worn: moves between the face's chart and the texture's, with the loops kept at the ears."""

from dataclasses import dataclass
from math import radians, tan

import numpy as np

_EAR = 106.0  # U from which on a loop no longer moves with the mask's body


@dataclass(frozen=True)
class Wear:
    """The body's upper and lower edge on the face (mm), its width factor, sideways shift (mm) and tilt (degrees)."""

    top: float
    bottom: float
    width: float
    shift: float
    tilt_deg: float

    def to_texture(self, u: np.ndarray, v: np.ndarray, fit) -> tuple[np.ndarray, np.ndarray]:
        """Find where on the texture's chart the face's chart points (u, v) lie, as float32 of the same shape."""
        moved = u - np.float32(self.shift)
        rate = (fit.bottom - fit.top) / (self.bottom - self.top)
        edge = fit.side * self.width
        held = np.abs(moved)
        held -= np.float32(edge)
        held *= np.float32(1 / max(_EAR - edge, 1.0))
        np.maximum(held, 0, out=held)
        np.minimum(held, 1, out=held)
        body_v = v * np.float32(rate) + np.float32(fit.top - self.top * rate)
        body_v -= moved * np.float32(tan(radians(self.tilt_deg)) * rate)
        body_u = moved * np.float32(1 / self.width)
        return body_u + (u - body_u) * held, body_v + (v - body_v) * held

    def heights(self, fit) -> tuple[float, float]:
        """Where the texture's heights come to lie on the face (tilt apart), as factor and offset in mm: bounds what is covered."""
        factor = (self.bottom - self.top) / (fit.bottom - fit.top)
        return factor, self.top - fit.top * factor
