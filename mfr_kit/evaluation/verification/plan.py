"""What to measure on a protocol's comparisons, and what came out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfr_kit.evaluation.inputs.faces import Faces

DEFAULT_FARS = (1e-2, 1e-3, 1e-4)


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        fars: false-accept rates, each in (0, 1).
        resamples: how many bootstrap resamples over people the intervals rest on; 0 for no
            intervals.
        seed: of the resamples.
        pairs: a list of pairs, for the protocols that need one.
        gallery: the set as another model embedded it, for the protocols that need one.
        groups: the group of each person by name, for the protocols that report by group.
        masked: the unmasked faces of the set under drawn masks, for the protocol that measures
            them.
        draw: how those masks were drawn, as reports tell it.
        tell: is given one line with the cost of every large sweep before it starts; None for
            silence.
        yaws: of each face by key how far the head is turned, in degrees; None for no rows by pose.
        sizes: of each face by key how many pixels of the photograph its crop is wide; None for no
            rows by resolution.
        worst: how many of the worst errors of each kind to list by name; 0 to name none.
        enrol: how many photographs of a person a searched gallery holds; 0 where nothing is
            searched unless asked for by name.
        distractors: faces of a second set, from the same model, for the protocol that searches
            among strangers.
        device: torch device that scores all comparisons of a protocol; None: NumPy does.
        allow_unknown: leave pairs of `pairs` out whose photographs are not in the set.
    """

    fars: tuple[float, ...] = DEFAULT_FARS
    resamples: int = 0
    seed: int = 0
    pairs: Path | None = None
    gallery: Faces | None = None
    groups: dict[str, str] | None = None
    masked: Faces | None = None
    draw: dict | None = None
    tell: Callable[[str], None] | None = None
    yaws: dict[str, float] | None = None
    sizes: dict[str, float] | None = None
    worst: int = 0
    enrol: int = 0
    distractors: Faces | None = None
    allow_unknown: bool = False
    device: Any = None


@dataclass(frozen=True)
class Outcome:
    """What one model did on one protocol.

    Attributes:
        result: plain values for JSON.
        resampled: of each figure that models are compared by, its name and (resamples,) values; the
            same draws for every model.
    """

    result: dict
    resampled: dict[str, np.ndarray]
