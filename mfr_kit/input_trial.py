"""What input a recogniser was trained on, where nothing says it: the usual descriptions are tried
on aligned faces, and the one that separates people best is named, with how sure that is.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfr_kit import assets
from mfr_kit.audit.scan import open_set
from mfr_kit.data import images
from mfr_kit.data.alignment import align_photo, detect
from mfr_kit.data.alignment.align import SIZE
from mfr_kit.errors import KitError
from mfr_kit.evaluation.verification.bootstrap import LEVEL, draws
from mfr_kit.models.input_format import InputFormat
from mfr_kit.seeding import rng_for

FAR = 1e-3
RESAMPLES, SEED, CHOICE_STREAM = 1000, 20_211, 7
PER_PERSON, TAKES, BATCH = 4, 8, 64
NOTICED = 0.01  # of d'
LEAST_PEOPLE = 5  # below which no resample says anything
POOR = 0.9  # an AUC below it is no recogniser's on aligned faces


@dataclass(frozen=True)
class TrialFaces:
    """Aligned faces of people with two or more: `images` (N, 112, 112, 3) uint8 RGB, `labels` (N,)
    of people 0..P-1, `source` for people to read.
    """

    images: np.ndarray
    labels: np.ndarray
    source: str

    @property
    def is_grey(self) -> bool:
        """Whether no face has a colour, so that the order of channels cannot be told."""
        return not np.ptp(self.images, axis=3).any()


@dataclass(frozen=True)
class Trial:
    """How one description separates people: d' with its interval, `auc` the share of same-person
    pairs above other pairs, `tar` at `FAR`; NaN where the network gave no embeddings. `lead` are
    the low and high end of how far the best one's d' lies above.
    """

    form: InputFormat
    d_prime: float
    interval: tuple[float, float]
    auc: float
    tar: float
    lead: tuple[float, float] = (0.0, 0.0)

    @property
    def is_apart(self) -> bool:
        """Whether the best one is better on nearly all resamples of the people, by what could be
        noticed.
        """
        return not self.lead[0] <= NOTICED  # a NaN is apart too


def read_faces(given: Path | None, limit: int, allow_outside: bool = False) -> TrialFaces:
    """Choose faces of people that are shown twice or more, up to four of each.

    Args:
        given: any training set of aligned faces; None for the ORL faces, which are grey.
        limit: faces at most.
        allow_outside: of a list, take faces that lie outside of its folder.
    Raises:
        KitError: no such set, faces that are not aligned, or too few people with two faces.
    """
    if given is None:
        return _embedded(limit)
    source = open_set(given, allow_outside=allow_outside)
    chosen = choose_rows(source.labels, limit)
    if len(np.unique(source.labels[chosen])) < LEAST_PEOPLE:
        raise KitError(
            f"{given}: fewer than {LEAST_PEOPLE} people have two faces or more: give a set of more "
            "people"
        )
    found = []
    for row in chosen:
        name = f"{given}: {source.names[row]}"
        image = images.decode_rgb(source.encoded(int(row)), name)
        if image.shape != (SIZE, SIZE, 3):
            raise KitError(
                f"{name} is {image.shape[1]}x{image.shape[0]}, no aligned face of {SIZE}x{SIZE}: "
                f"`kit.py augment {given} FACES` makes a face set of photographs"
            )
        found.append(image)
    return TrialFaces(np.stack(found), _codes(source.labels[chosen]), str(given))


def choose_rows(labels: np.ndarray, limit: int) -> np.ndarray:
    """Choose rows of people with two or more, up to four of each, people in an order by chance that
    is the same every time; a person is never left with one.
    """
    order = np.argsort(labels, kind="stable")
    _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    several = np.flatnonzero(counts > 1)
    rows: list[int] = []
    for person in several[rng_for(SEED, CHOICE_STREAM).permutation(len(several))]:
        count = min(int(counts[person]), PER_PERSON, limit - len(rows))
        if count < 2:
            break
        rows += order[starts[person] : starts[person] + count].tolist()
    return np.array(rows, np.int64)


def _embedded(limit: int) -> TrialFaces:
    people = sorted(assets.path("orl-faces").glob("s*"))
    shots = {person: [person / f"{take + 1}.pgm" for take in range(TAKES)] for person in people}
    labels = np.repeat(np.arange(len(people)), TAKES)
    photos = [photo for person in people for photo in shots[person]]
    detector, found, codes = detect.load_detector(), [], []
    for row in choose_rows(labels, limit):
        try:
            found.append(align_photo.align_photo(photos[row], detector).image)
        except KitError:  # no face is found on it
            continue
        codes.append(labels[row])
    return TrialFaces(np.stack(found), _codes(np.array(codes)), "the embedded ORL faces")


def _codes(labels: np.ndarray) -> np.ndarray:
    return np.unique(labels, return_inverse=True)[1]


def try_inputs(embedder: Any, faces: TrialFaces, forms: Sequence[InputFormat]) -> list[Trial]:
    """Embed faces under each description, and say how it separates people, the best first.

    Args:
        embedder: from `load_embedder`, one network on the CPU; it stays as it is.
        faces: to try on.
        forms: descriptions, the more usual ones first; of those that only turn the order of
            channels, one is tried where all faces are grey; a network that takes whole numbers is
            given pixels only.
    Raises:
        KitError: several networks at once, or none of the descriptions can be tried.
    """
    if getattr(embedder, "members", None):
        raise KitError(f"{embedder.name} is several networks: inspect one of them at a time")
    takes_pixels = getattr(getattr(embedder, "signature", None), "takes_pixels", False)
    tried = [
        form
        for form in dict.fromkeys(forms)
        if (form.is_pixels or not takes_pixels) and (form.order == "rgb" or not faces.is_grey)
    ]
    if not tried:
        raise KitError(f"{embedder.name}: none of the descriptions can be tried on it")
    pairs = Pairs(faces.labels)
    measured = [(form, pairs.measure(_embed(embedder, faces.images, form))) for form in tried]
    measured.sort(key=lambda entry: -np.nan_to_num(entry[1].d_prime, nan=-np.inf))
    # of descriptions between which there is no difference to notice, the most usual
    near = [form for form, found in measured if found.d_prime > measured[0][1].d_prime - NOTICED]
    usual = min(near, key=tried.index, default=measured[0][0])
    measured.sort(key=lambda entry: entry[0] != usual)
    best = measured[0][1].resampled
    return [
        Trial(
            form,
            found.d_prime,
            _interval(found.resampled),
            found.auc,
            found.tar,
            _interval(best - found.resampled),
        )
        for form, found in measured
    ]


def verdict(trials: Sequence[Trial], faces: TrialFaces, model: str, said: str | None) -> list[str]:
    """Say in lines which description is the best, by how much, and how far to trust that.

    Args:
        trials: from `try_inputs`.
        faces: that they were made on.
        model: as the user wrote it.
        said: what the model says of itself, None where nothing.
    """
    best, *others = trials
    if not best.auc > POOR:  # a NaN too
        return [
            f"none of them separates people (AUC at most {100 * best.auc:.1f} %): the network "
            "wants another crop or size, or --normalisation has to name what its authors say"
        ]
    text, line = best.form.text, f"best: {best.form.text}, {best.form.sentence}"
    alike = [trial.form.text for trial in others if not trial.is_apart]
    behind = next((trial for trial in others if trial.is_apart), None)
    if behind is not None and np.isfinite(behind.d_prime):
        ahead, (low, high) = best.d_prime - behind.d_prime, behind.lead
        line += (
            f"; d' is {ahead:.2f} ({low:+.2f} to {high:+.2f}) above {behind.form.text}, the next "
            "that is surely behind"
        )
    lines = [line]
    if alike:
        lines.append(
            f"caution: these faces do not tell it from {', '.join(alike)}: the difference is "
            "within the noise of who was drawn; give more --faces, or ask the network's authors"
        )
    if faces.is_grey:
        lines.append(
            "caution: these faces are grey, which leaves the order of channels open (bgr_...): "
            "give --faces in colour"
        )
    if said is None:
        lines.append(f"to use it: {model}:{text}, or --normalisation {text}")
    elif said not in (text, *alike):
        lines.append(f"caution: it says that it takes {said}, which separates worse here")
    return lines


def _embed(embedder: Any, faces: np.ndarray, form: InputFormat) -> np.ndarray:
    other = copy.copy(embedder)
    other.normalisation = form.text
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [other.embed(faces[start : start + BATCH]) for start in range(0, len(faces), BATCH)]
    return np.concatenate(parts).astype(np.float64)


@dataclass(frozen=True)
class Separation:
    """Figures of one description; `resampled` are (RESAMPLES,) d' of resampled people."""

    d_prime: float
    auc: float
    tar: float
    resampled: np.ndarray


NOTHING = Separation(np.nan, np.nan, np.nan, np.full(RESAMPLES, np.nan))


class Pairs:
    """All pairs of some faces, and how often each person is drawn in each resample.

    Args:
        labels: (N,) people 0..P-1 of the faces, each with two or more.
    """

    def __init__(self, labels: np.ndarray) -> None:
        self._first, self._second = np.triu_indices(len(labels), 1)
        self.same = labels[self._first] == labels[self._second]
        self._people = int(labels.max()) + 1
        self._sides = labels[self._first], labels[self._second]
        self._draws = draws(self._people, RESAMPLES, SEED).astype(np.float64)

    def measure(self, rows: np.ndarray) -> Separation:
        """Measure (N, D) embeddings; `NOTHING` where some have no direction."""
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        if not (np.isfinite(norms) & (norms > 0)).all():
            return NOTHING
        unit = rows / norms
        scores = (unit @ unit.T)[self._first, self._second]
        genuine, impostors = scores[self.same], np.sort(scores[~self.same])
        rank = len(impostors) - int(FAR * len(impostors)) - 1
        below, until = (
            np.searchsorted(impostors, genuine, side=side) for side in ("left", "right")
        )
        return Separation(
            float(_d_prime(*_moments(genuine), *_moments(impostors))),
            float((below + until).mean() / 2 / len(impostors)),
            float((genuine > impostors[rank]).mean()),
            self._resample(scores),
        )

    def _resample(self, scores: np.ndarray) -> np.ndarray:
        """d' of people drawn with repetition: a person drawn twice is two people, whose own faces
        count twice, and the product is the weight of a pair of two people.
        """
        times = self._draws
        own, others = [], []
        for values in (np.ones_like(scores), scores, scores**2):
            table = np.zeros((self._people, self._people))
            np.add.at(table, self._sides, values)
            own.append(times @ np.diag(table))
            np.fill_diagonal(table, 0)
            others.append(np.einsum("ri,ij,rj->r", times, table, times, optimize=True))
        moments = []
        for count, total, squares in (own, others):
            mean = total / count
            moments += [mean, squares / count - mean**2]
        return _d_prime(*moments)


def _moments(scores: np.ndarray) -> tuple[Any, Any]:
    return scores.mean(), scores.var()


def _d_prime(same: Any, same_spread: Any, other: Any, other_spread: Any) -> Any:
    """Distance of the means in spreads; 0 where there is no spread."""
    spread = np.sqrt(np.maximum((same_spread + other_spread) / 2, 0))
    return np.divide(same - other, spread, out=np.zeros_like(spread), where=spread > 1e-9)


def _interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)
