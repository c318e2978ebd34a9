"""How one sample is worn: moves between the face's chart and the texture's, with the loops kept
at the ears.
"""

from dataclasses import dataclass
from math import radians, tan

import numpy as np

_EAR = 106.0  # U from which on a loop no longer moves with the mask's body
_NOTHING, _ALL = np.float32(0), np.float32(1)


@dataclass(frozen=True)
class Wear:
    """The body's upper and lower edge on the face (mm), its width factor, sideways shift (mm)
    and tilt (degrees).
    """

    top: float
    bottom: float
    width: float
    shift: float
    tilt_deg: float

    def to_texture(
        self, chart: np.ndarray, fit, texels: tuple[float, float], origin: tuple[float, float]
    ) -> np.ndarray:
        """Find where on the texture the face's chart points lie.

        Args:
            chart: (3, ...) float32, U and V in mm and ones.
            fit: the mask's `template.Fit`.
            texels: per mm of the texture's chart, across and down.
            origin: the texture's corner on its chart, U and V in mm.
        Returns:
            (2, ...) float32 x and y in texels, whole numbers at their centres.
        """
        rate = (fit.bottom - fit.top) / (self.bottom - self.top)
        lean = tan(radians(self.tilt_deg)) * rate
        edge, (across, down), (left, top) = fit.side * self.width, texels, origin
        held = 1 / max(_EAR - edge, 1.0)
        body_u, body_v = 1 / self.width, fit.top - self.top * rate + self.shift * lean
        matrix = [
            (across * body_u, 0.0, across * (-self.shift * body_u - left) - 0.5),
            (-down * lean, down * rate, down * (body_v - top) - 0.5),
            # from here to where the loops' ends are held, in texels
            (across * (1 - body_u), 0.0, across * self.shift * body_u),
            (down * lean, down * (1 - rate), -down * body_v),
            (held, 0.0, -held * self.shift),
        ]
        planes = np.array(matrix, np.float32) @ chart.reshape(3, -1)
        share = np.abs(planes[4], out=planes[4])
        share -= np.float32(held * edge)
        np.maximum(share, _NOTHING, out=share)
        np.minimum(share, _ALL, out=share)
        planes[2:4] *= share
        planes[:2] += planes[2:4]
        return planes[:2].reshape(2, *chart.shape[1:])

    def heights(self, fit) -> tuple[float, float]:
        """Where the texture's heights come to lie on the face (tilt apart), as factor and offset
        in mm: bounds what is covered.
        """
        factor = (self.bottom - self.top) / (fit.bottom - fit.top)
        return factor, self.top - fit.top * factor
