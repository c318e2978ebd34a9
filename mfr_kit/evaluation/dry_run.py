"""`evaluate --dry-run`: what a measurement will take, from a few tries of its parts; nothing is
embedded for good, compared or written.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mfr_kit import registry
from mfr_kit.data.face_set.faceset import NONMASK, FaceSet
from mfr_kit.evaluation import compare, recognition, run
from mfr_kit.evaluation import subjects as whom
from mfr_kit.evaluation.inputs.embed import cache_folder, embed_set, stored
from mfr_kit.evaluation.inputs.embedding_file import EmbeddingFile
from mfr_kit.evaluation.inputs.faces import Faces, from_set
from mfr_kit.evaluation.options import EvaluateOptions
from mfr_kit.evaluation.protocols import all_to_all
from mfr_kit.evaluation.published.bin_sets import open_bins
from mfr_kit.evaluation.published.templates import open_templates
from mfr_kit.evaluation.recognition import Recogniser
from mfr_kit.evaluation.settings import Recognition
from mfr_kit.evaluation.subjects import Strangers, Subjects
from mfr_kit.evaluation.verification import cost
from mfr_kit.evaluation.verification.comparisons import Pairs
from mfr_kit.evaluation.verification.groups import by_person
from mfr_kit.evaluation.verification.rates import DEFAULT_FARS, Plan
from mfr_kit.models import placement
from mfr_kit.seeding import rng_for

TRIED_BATCHES = 4
TRIED_FACES = 32_768  # compared with one another, to see how long that takes


def estimate(options: EvaluateOptions) -> str:
    """Say in lines what the measurement will take on this machine.

    Raises:
        KitError: a model or the set cannot be read.
    """
    how, lines, seconds = options.recognition, [], 0.0
    subjects = run.subjects_of(options)
    if subjects is not None:
        lines.append(
            f"{options.data}: {len(subjects.measured):,} faces of "
            f"{len(subjects.measured.people):,} people"
        )
    strangers = whom.open_strangers(options.distractors or [], options.models)
    others = _count_others(options, subjects, strangers)
    keys = None if subjects is None else subjects.whole.keys
    for _, model in recognition.load_all(options.models, how, keys):
        line, taken = _embedding(model, subjects, others, how)
        lines.append(line)
        seconds += taken
        if subjects is not None:
            size = model.source.embedding_size
            for line, taken in _comparing(options, subjects, size):
                lines.append(line)
                seconds += taken
    lines.append(f"time: about {_duration(seconds)} for {len(options.models)} model(s)")
    return "\n".join(lines)


def _count_others(options: EvaluateOptions, subjects: Subjects | None, strangers: Strangers) -> int:
    """Count the faces to embed beside those of the set."""
    others = sum(len(pairs) for pairs in open_bins(options.bin or []))
    others += sum(len(pairs) for pairs in open_templates(options.ijb or []))
    if isinstance(strangers, FaceSet):
        others += len(strangers)
    if options.realigned:
        others += len(FaceSet.open(options.realigned))
    if subjects is not None and run.asks_for_masks(options.protocol or []):
        others += int((subjects.measured.conditions == NONMASK).sum())
    return others


@dataclass(frozen=True)
class _FewFaces:
    """The first faces of a set."""

    faces: FaceSet
    count: int

    @property
    def fingerprint(self) -> str:
        return self.faces.fingerprint

    @property
    def keys(self) -> np.ndarray:
        return self.faces.keys[: self.count]

    def __len__(self) -> int:
        return self.count

    def image(self, index: int) -> np.ndarray:
        return self.faces.image(index)


def _embedding(
    model: Recogniser, subjects: Subjects | None, others: int, how: Recognition
) -> tuple[str, float]:
    """Say how long a model takes to embed what it has to see; also in seconds."""
    if isinstance(model.source, EmbeddingFile):
        return f"{model.label}: embeddings are given", 0.0
    if subjects is None:
        return f"{model.label}: {others:,} faces to embed, nothing to try", 0.0
    faces = subjects.measured
    kept = stored(model.source, faces, how.flip, cache_folder() if how.cache else None)
    count = others + (0 if kept is not None and kept.path.exists() else len(faces))
    if not count:
        return f"{model.label}: the embeddings are kept from before", 0.0
    tried = min(len(faces), TRIED_BATCHES * how.batch)
    embed_set(model.source, _FewFaces(faces, min(tried, how.batch)), flip=how.flip, batch=how.batch)
    start = time.perf_counter()
    embed_set(model.source, _FewFaces(faces, tried), flip=how.flip, batch=how.batch)
    each = (time.perf_counter() - start) / tried
    mib = len(faces) * model.source.embedding_size * 4 / 2**20
    return (
        f"{model.label}: {count:,} faces to embed at {1 / each:,.0f} faces/s, about "
        f"{_duration(each * count)}; the set's embeddings take {mib:,.1f} MiB"
    ), each * count


def _comparing(
    options: EvaluateOptions, subjects: Subjects, size: int
) -> Iterator[tuple[str, float]]:
    """Say of every protocol how many comparisons it makes, and how long that takes; also in
    seconds.
    """
    groups = whom.groups_of(subjects.whole, options.groups, options.allow_unknown)
    plan = Plan(DEFAULT_FARS, options.resamples, options.seed, groups=groups)
    faces = from_set(np.ones((len(subjects.measured), 1), np.float32), subjects.measured)
    each = _seconds_each(faces, size, options.device)
    sweeps = 2 if options.resamples else 1
    often = "once, and once more for intervals" if options.resamples else "once"
    left_out = []
    for name in options.protocol or compare.possible(faces, plan):
        protocol = registry.get(compare.PROTOCOLS, name)
        if not hasattr(protocol, "pairs"):
            left_out.append(name)
            continue
        parts = [faces]
        if groups and protocol is all_to_all:
            parts += [group for _, group in by_person(faces, groups)]
        counts = [protocol.pairs(part).count for part in parts]
        number = sum(count.genuine_found + count.impostor_found for count in counts)
        taken = each * number * sweeps
        yield f"  {name}: {number:,} comparisons, {often}: about {_duration(taken)}", taken
    if left_out:
        yield f"  {', '.join(left_out)}: not estimated", 0.0


def _seconds_each(faces: Faces, size: int, device: str) -> float:
    """Time comparisons of made-up embeddings of this many people."""
    rows = np.arange(min(len(faces), TRIED_FACES))
    made_up = rng_for(0).standard_normal((len(rows), size), np.float32)
    made_up /= np.linalg.norm(made_up, axis=1, keepdims=True)
    few = faces.select(rows)
    pairs = Pairs(
        Faces(**{**few.__dict__, "embeddings": made_up}),
        device=placement.resolve_unless_cpu(device),
    )
    return cost.seconds_each(pairs) if pairs.possible else 0.0


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
