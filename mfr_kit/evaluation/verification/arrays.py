"""TAR at FAR of embeddings that somebody has in memory, without a face set."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mfr_kit.data.face_set.faceset import MASK, NONMASK
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.faces import Faces, unit
from mfr_kit.evaluation.verification.bootstrap import resample
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.rates import DEFAULT_FARS, row
from mfr_kit.evaluation.verification.scores import score

if TYPE_CHECKING:
    from torch import Tensor


class TarAtFar(NamedTuple):
    """One operating point.

    Attributes:
        far: the false-accept rate that was asked for.
        tar: the share of genuine comparisons that are accepted, 0..1; None where too few false
            accepts are left for a claim.
        low: lower end of the 95 % interval over people; None without one.
        high: upper end.
        threshold: the lowest cosine that keeps `far`.
        false_accepts: how many the threshold rests on.
        note: why there is no `tar`, or why it is weak; "" otherwise.
    """

    far: float
    tar: float | None
    low: float | None
    high: float | None
    threshold: float | None
    false_accepts: int | None
    note: str


def tar_at_far(
    embeddings: "np.ndarray | Tensor",
    people: Sequence,
    masked: Sequence | None = None,
    fars: float | Sequence[float] = DEFAULT_FARS,
    *,
    photos: Sequence | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> list[TarAtFar]:
    """Measure the verification that embeddings allow; see `api.tar_at_far`."""
    faces = _as_faces(embeddings, people, masked, photos)
    if resamples < 0 or seed < 0:
        raise KitError(f"resamples {resamples}, seed {seed}: give 0 or more")
    fars = [fars] if isinstance(fars, int | float) else list(fars)
    wrong = [far for far in fars if not 0 < far < 1]
    if wrong or not fars:
        raise KitError(f"fars: false-accept rates between 0 and 1, found {fars}")
    pairs = Pairs(faces) if masked is None else Pairs(faces.under(MASK), faces.under(NONMASK))
    asked = [float(far) for far in fars]
    scores = score(pairs, asked)
    resampled = resample(scores, asked, resamples, seed)
    return [_point(row(scores, far, resampled.get(far))) for far in asked]


def _point(found: dict) -> TarAtFar:
    ends = found["interval"] or {"low": None, "high": None}
    numbers = (found[name] for name in ("threshold", "false_accepts", "note"))
    return TarAtFar(found["far"], found["tar"], ends["low"], ends["high"], *numbers)


def _as_faces(
    embeddings: Any, people: Sequence, masked: Sequence | None, photos: Sequence | None
) -> Faces:
    """Put arrays into the table that protocols read."""
    if hasattr(embeddings, "detach"):  # a tensor, perhaps of a GPU
        embeddings = embeddings.detach().float().cpu().numpy()
    rows = np.asarray(embeddings)
    if rows.ndim != 2 or rows.dtype.kind not in "fiu":
        raise KitError(f"embeddings must be (N, D) numbers, found {rows.shape} {rows.dtype}")
    count = len(rows)
    columns = {"people": people, "masked": masked, "photos": photos}
    for name, column in columns.items():
        if column is not None and np.shape(column) != (count,):
            raise KitError(
                f"{name} must name each of the {count} embeddings, found shape {np.shape(column)}"
            )
    keys = np.array([f"row {index}" for index in range(count)], object)
    under = np.zeros(count, bool) if masked is None else np.asarray(masked)
    if under.dtype != bool:
        raise KitError(f"masked must hold True or False for each face, found {under.dtype}")
    return Faces(
        embeddings=unit(rows, keys),
        people=np.array([str(name) for name in people], object),
        photos=keys if photos is None else np.array([str(name) for name in photos], object),
        conditions=np.where(under, MASK, NONMASK).astype(object),
        found=np.ones(count, bool),
        keys=keys,
        masks=np.full(count, "", object),
        sources=keys,
    )
