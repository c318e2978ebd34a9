"""IJB-B and IJB-C: templates of many photographs and video frames, compared as the list of pairs
says; for 1:N see template_search.py.

Feature of a photograph: f(image) + f(mirrored image), not normalised, times the detector's score. A
template is the sum over its medias of the mean inside each media, brought to length one. TPR is
read at the point of the ROC whose FPR is nearest to the one asked for, as the published numbers
are; beside it the kit's own TAR at FAR, which never exceeds the FAR. Source: insightface,
recognition/_evaluation_/ijb.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from mfr_kit.data.alignment.align import estimate_similarity, warp
from mfr_kit.data.face_set import content
from mfr_kit.data.face_set.faceset import NONMASK
from mfr_kit.data.images import read_rgb
from mfr_kit.data.verification_sets.ijb import TemplateSet, open_layout, open_searches
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.embed import embed_set
from mfr_kit.evaluation.inputs.faces import Faces, unit
from mfr_kit.evaluation.search.template_search import search_templates
from mfr_kit.evaluation.verification.pair_list import PairList
from mfr_kit.evaluation.verification.rates import Outcome, Plan, verify
from mfr_kit.models.embedders import Embedder

FPRS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
NAMES = ("ijbb", "ijbc")


class TemplatePairs:
    """IJB-B or IJB-C in a folder: photographs are read and aligned when asked for.

    Attributes:
        name: "ijbb" or "ijbc".
        protocol: under which reports list it.
        searches: the galleries and probes of 1:N, None where the set comes without their lists.
        fingerprint: SHA-256 over the lists of photographs and landmarks, and over the photographs.
    """

    def __init__(self, root: Path) -> None:
        """Open a folder as `data.ijb` describes it.

        Raises:
            KitError: neither or both of the two sets are in it, see `open_layout`, or its pairs are
                of one kind only.
        """
        meta = Path(root) / "meta"
        here = [name for name in NAMES if (meta / f"{name}_face_tid_mid.txt").is_file()]
        if len(here) != 1:
            raise KitError(
                f"{meta} must hold {NAMES[0]}_face_tid_mid.txt or {NAMES[1]}_face_tid_mid.txt; "
                f"found {len(here)} of them"
            )
        self.name = self.protocol = here[0]
        self.layout: TemplateSet = open_layout(root, self.name)
        if self.layout.same.all() or not self.layout.same.any():
            raise KitError(
                f"{meta / f'{self.name}_template_pair_label.txt'}: pairs of one kind only, there "
                "is nothing to measure"
            )
        self.searches = open_searches(root, self.name, self.layout.templates)
        self.fingerprint = self._digest()

    def __len__(self) -> int:
        return len(self.layout.names)

    def image(self, index: int) -> np.ndarray:
        """(112, 112, 3) uint8 RGB: a photograph, aligned by the landmarks that the set publishes.

        Raises:
            KitError: it is not there or cannot be decoded.
        """
        return warp(
            read_rgb(self.layout.photo(index)), estimate_similarity(self.layout.landmarks[index])
        )

    def _digest(self) -> str:
        digest = hashlib.sha256(self.layout.landmarks.tobytes())
        photos = [self.layout.photo(index) for index in range(len(self.layout.names))]
        for path in photos:
            if not path.is_file():
                raise KitError(f"{path} is not there: the lists in meta name it")
        digest.update("\n".join(self.layout.names).encode())
        digest.update(content.fingerprint_of([str(path) for path in photos]).encode())
        return digest.hexdigest()

    @property
    def title(self) -> str:
        """How reports head it."""
        return f"pairs of templates of {self.name.upper()}"

    @property
    def about(self) -> dict:
        """What a report says of the set."""
        counted = {
            "pairs": len(self.layout.same),
            "same": int(self.layout.same.sum()),
            "fingerprint": self.fingerprint,
        }
        return {"name": self.name, "protocol": self.protocol, **counted}


def open_templates(roots: list[Path]) -> list[TemplatePairs]:
    """Open several sets.

    Raises:
        KitError: see `TemplatePairs`; or one set twice, which a report could not tell apart.
    """
    sets = [TemplatePairs(root) for root in roots]
    names = [entry.name for entry in sets]
    if len(set(names)) < len(names):
        raise KitError(
            f"--ijb: two folders hold {max(names, key=names.count)}; a report tells sets apart "
            "by name"
        )
    return sets


def measure(
    embedder: Embedder,
    pairs: TemplatePairs,
    plan: Plan,
    *,
    batch: int,
    cache: Path | None,
    progress: Callable[[int], None] = lambda done: None,
) -> Outcome:
    """Embed the photographs with a model and measure the pairs of templates.

    Args:
        embedder: from `load_embedder`.
        pairs: the set.
        plan: its FARs, and the resamples of 1:N; pairs have no intervals, because templates of 1:1
            do not say who their people are.
        batch: images a run of the network, each with its mirror image in a second run.
        cache: folder of stored results, None for none.
        progress: told the number of images of every batch done.
    Returns:
        The result of `verify` on the listed pairs, with `nearest` (see `tpr_nearest`); and where
        the set comes with the lists of 1:N `searched` (see `search_templates`).
    Raises:
        KitError: a photograph cannot be read, or a template has no direction.
    """
    raw = embed_set(embedder, pairs, flip=True, batch=batch, cache=cache, progress=progress)
    layout = pairs.layout
    numbers, rows = templates(raw, layout.scores, layout.templates, layout.medias)
    left, right = np.searchsorted(numbers, layout.left), np.searchsorted(numbers, layout.right)
    merged = _faces(unit(rows, [f"template {number}" for number in numbers]))
    listed = PairList(merged, left, right, layout.same)
    result = verify(listed, replace(plan, resamples=0, worst=0)).result
    result = {**result, "nearest": tpr_nearest(listed.scores, layout.same)}
    if pairs.searches is None:
        return Outcome(result, {})
    galleries, probes = pairs.searches
    searched, resampled = search_templates(
        merged, numbers, galleries, probes, plan.resamples, plan.seed
    )
    return Outcome({**result, "searched": searched}, resampled)


def templates(
    raw: np.ndarray, scores: np.ndarray, names: np.ndarray, medias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Merge the embeddings of photographs into templates.

    Args:
        raw: (N, D) float32, image and mirror image summed, of any norm.
        scores: (N,) float32 detector scores.
        names: (N,) int, the template of each photograph.
        medias: (N,) int, its media; one media may serve several templates, and counts in each by
            itself.
    Returns:
        (T,) the templates in ascending order, and (T, D) float32 their sums over medias of the mean
        inside each, not normalised.
    """
    order = np.lexsort((medias, names))
    keys = np.stack([names[order], medias[order]], 1)
    starts = np.flatnonzero(np.r_[True, (np.diff(keys, axis=0) != 0).any(axis=1)])
    sizes = np.diff(np.r_[starts, len(order)])
    means = np.add.reduceat(raw[order] * scores[order, None], starts, axis=0) / sizes[
        :, None
    ].astype(np.float32)
    found, firsts = np.unique(keys[starts, 0], return_index=True)
    return found, np.add.reduceat(means, firsts, axis=0)


def tpr_nearest(scores: np.ndarray, same: np.ndarray, fprs: tuple[float, ...] = FPRS) -> list[dict]:
    """Read the ROC as the published protocol does: at the point whose FPR is nearest, of equally
    near ones that with the higher TPR.

    The curve has a point each distinct score, without those in the middle of a straight line, as
    scikit-learn's `roc_curve` draws it.

    Args:
        scores: (P,) float32.
        same: (P,) bool.
        fprs: asked for.
    Returns:
        A row each: `fpr` asked for, `fpr_found` and `tpr` of the point.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.r_[np.flatnonzero(np.diff(scores[order])), len(order) - 1]
    true = np.cumsum(same[order])[last]
    false = last + 1 - true
    if len(true) > 2:
        corners = np.r_[True, (np.diff(false, 2) != 0) | (np.diff(true, 2) != 0), True]
        true, false = true[corners], false[corners]
    tpr, fpr = np.r_[0, true][::-1] / max(true[-1], 1), np.r_[0, false][::-1] / max(false[-1], 1)
    places = [int(np.argmin(np.abs(fpr - wanted))) for wanted in fprs]
    return [
        {"fpr": wanted, "fpr_found": float(fpr[at]), "tpr": float(tpr[at])}
        for wanted, at in zip(fprs, places, strict=True)
    ]


def _faces(rows: np.ndarray) -> Faces:
    """Number the templates: nobody is known, so every template is a person and a photograph of
    its own.
    """
    names = np.array([f"template {index}" for index in range(len(rows))], object)
    nothing = np.full(len(rows), "", object)
    return Faces(
        rows,
        names,
        names,
        np.full(len(rows), NONMASK, object),
        np.ones(len(rows), bool),
        names,
        nothing,
        names,
    )
