"""Two faces under several models, bare and masked, against the models' thresholds."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mfr_kit import assets
from mfr_kit.errors import KitError
from mfr_kit.models.operating_points import UNMASKED, OperatingPoint, operating_points
from mfr_kit.models.spec import ASSET_NORMALISATION
from mfr_kit.studio.places import REPORT, Place

if TYPE_CHECKING:
    from mfr_kit.models.embedders import Embedder

LOADED = 4  # models that stay in memory
MASKED = "mask-nonmask", "synthetic-mask"
PROTOCOLS = {  # under which a threshold for two faces was measured, by which of them wear a mask
    (False, False): (UNMASKED,),
    (True, False): MASKED,
    (False, True): MASKED,
    (True, True): ("mask-mask",),
}


class Sourced(NamedTuple):
    """A threshold and where it is known from."""

    point: OperatingPoint
    source: str


@dataclass(frozen=True)
class Loaded:
    """A model that is ready, and the thresholds that its file carries."""

    embedder: "Embedder"
    points: list[OperatingPoint]


class Models:
    """Models by what the user wrote for them; each is loaded when first used, the latest few
    stay.
    """

    def __init__(self, threads: int = 0, kept: int = LOADED) -> None:
        self._held: OrderedDict[str, Loaded] = OrderedDict()
        self._threads, self._kept, self._lock = threads, kept, threading.Lock()

    def get(self, spec: str) -> Loaded:
        """Load a model, or take it from before.

        Raises:
            KitError: no recogniser, or one that does not say what input it takes.
        """
        # they load torch, for which the page need not wait
        from mfr_kit.models.embedders import load_embedder
        from mfr_kit.models.onnx_models.onnx_embedder import OnnxEmbedder

        with self._lock:
            if spec not in self._held:
                embedder = load_embedder(spec, threads=self._threads)
                own = operating_points(embedder.path) if isinstance(embedder, OnnxEmbedder) else []
                self._held[spec] = Loaded(embedder, own)
            self._held.move_to_end(spec)
            while len(self._held) > self._kept:
                self._held.popitem(last=False)
            return self._held[spec]


def usual_models() -> list[str]:
    """Name the assets that are recognisers and lie on this machine."""
    return [name for name in sorted(ASSET_NORMALISATION) if _is_here(name)]


def _is_here(name: str) -> bool:
    entry = assets.asset(name)
    source = entry.derived_from
    found = assets.find(entry) or (source and assets.find(assets.asset(source)))
    return found is not None


def thresholds_of(model: Loaded, reports: list[Place]) -> list[Sourced]:
    """Collect a model's thresholds: those its file carries, else those of the reports in the
    folders that measured these very weights.
    """
    from mfr_kit.submission.card import points_in_report

    if model.points:
        return [Sourced(point, "the model's file") for point in model.points]
    found = []
    for place in reports:
        path = Path(place.path) / REPORT
        try:
            points = points_in_report(path, model.embedder.fingerprint)
        except KitError:
            continue  # a report of another kit; the page of reports says what is wrong with it
        found += [Sourced(point, f"the report {place.name}") for point in points]
    return found


def compare(model: Loaded, faces: dict[str, np.ndarray], reports: list[Place]) -> dict[str, Any]:
    """Score two faces, bare and masked, under one model.

    Args:
        model: from `Models.get`.
        faces: (112, 112, 3) uint8 RGB: "a" and "b", and masked ones as "a masked", "b masked".
        reports: where thresholds may be found that the model's file does not carry.
    Returns:
        `name`, `embedding_size`, and of each pair that can be made in `pairs`: `a` and `b` (which
        of the faces), `score` (cosine), and `points`: far, threshold, tar, protocol, source, and
        whether the pair is accepted.
    """
    names = list(faces)
    batch = np.stack([faces[name] for name in names])
    known = thresholds_of(model, reports)
    plain = _unit(model.embedder.embed(batch))
    mirrored = plain
    if any(item.point.mirrored for item in known):
        both = model.embedder.embed(batch) + model.embedder.embed(batch[:, :, ::-1])
        mirrored = _unit(both)
    pairs = []
    for a in ("a", "a masked"):
        for b in ("b", "b masked"):
            if a in names and b in names:
                at = names.index(a), names.index(b)
                scores = (
                    float(plain[at[0]] @ plain[at[1]]),
                    float(mirrored[at[0]] @ mirrored[at[1]]),
                )
                masked = a != "a", b != "b"
                pairs.append(
                    {"a": a, "b": b, "score": scores[0], "points": _points(known, masked, scores)}
                )
    return {
        "name": model.embedder.name,
        "embedding_size": model.embedder.embedding_size,
        "pairs": pairs,
    }


def _points(
    known: list[Sourced], masked: tuple[bool, bool], scores: tuple[float, float]
) -> list[dict[str, Any]]:
    """The thresholds that hold for two faces of these conditions, the strictest first: of the
    protocols that fit the first that was measured, of several reports the one with the most
    comparisons of different people.
    """
    for protocol in PROTOCOLS[masked]:
        best: dict[float, Sourced] = {}
        for item in known:
            other = best.get(item.point.far)
            if item.point.protocol == protocol and (
                other is None or item.point.impostor > other.point.impostor
            ):
                best[item.point.far] = item
        if best:
            return [_describe(best[far], scores) for far in sorted(best)]
    return []


def _describe(item: Sourced, scores: tuple[float, float]) -> dict[str, Any]:
    """A threshold, and what it makes of the score: plain, or of sums with the mirrored face."""
    point, score = item.point, scores[item.point.mirrored]
    names = ("far", "threshold", "tar", "protocol", "impostor", "mirrored")
    return {
        **{name: getattr(point, name) for name in names},
        "set": point.set_name,
        "source": item.source,
        "score": score,
        "accepted": score >= point.threshold,
    }


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
