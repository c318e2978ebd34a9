"""What every model of an evaluation is put to: one set of faces, one plan, the same pairs."""

from dataclasses import dataclass, field, replace

from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.evaluation import compare, recognition
from mfr_kit.evaluation.inputs.alignment import NEW, OLD, measure_drift
from mfr_kit.evaluation.inputs.drawn_masks import MaskedFaces
from mfr_kit.evaluation.inputs.embedding_file import EmbeddingFile
from mfr_kit.evaluation.inputs.faces import Faces
from mfr_kit.evaluation.published.bin_sets import BinSet
from mfr_kit.evaluation.published.templates import TemplatePairs
from mfr_kit.evaluation.recognition import Recogniser
from mfr_kit.evaluation.report import explain
from mfr_kit.evaluation.settings import Recognition
from mfr_kit.evaluation.subjects import Strangers
from mfr_kit.evaluation.verification.groups import face_sizes, head_turns
from mfr_kit.evaluation.verification.rates import Outcome, Plan


class Maps:
    """What the scores of a few pairs rest on, model by model; the first model chooses the pairs.

    Args:
        count: of pairs, 0 for none.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._faces: Faces | None = None
        self._trios: list[explain.Trio] = []
        self._found: dict[str, list[dict]] = {}

    def add(self, recogniser: Recogniser, faceset: FaceSet, faces: Faces, how: Recognition) -> None:
        """Explain the pairs by one more model, whose embeddings of the set are `faces`."""
        if not self._count:
            return
        assert not isinstance(recogniser.source, EmbeddingFile)  # refused before
        if self._faces is None:
            self._faces, self._trios = faces, explain.choose(faces, self._count)
        self._found[recogniser.label] = explain.explain(
            recogniser.source, faceset, faces, self._trios, how.flip, how.batch
        )

    def side_by_side(self) -> dict | None:
        """Lay the models' explanations side by side; None where none was asked for."""
        if self._faces is None:
            return None
        return explain.concatenate(self._faces, self._trios, self._found)


@dataclass(frozen=True)
class Bench:
    """What every model is measured on, and how.

    Attributes:
        faceset: whose faces, None with verification sets alone.
        realigned: the same photographs under another alignment, or None.
        pair_sets: verification sets.
        plan: of the measurement.
        strangers: beside the people of the set.
        masked: the set's bare faces with masks drawn on them.
        how: models embed.
        protocols: by name; None for those that the set can answer.
        drift: filled with how far the other alignment moves each model's embeddings.
    """

    faceset: FaceSet | None
    realigned: FaceSet | None
    pair_sets: list[BinSet | TemplatePairs]
    plan: Plan
    strangers: Strangers
    masked: MaskedFaces | None
    how: Recognition
    protocols: list[str] | None
    drift: list[dict] = field(default_factory=list)

    def measure(
        self, number: int, recogniser: Recogniser, maps: Maps
    ) -> dict[str, dict[str, Outcome]]:
        """Measure the model of this number; outcomes by label and protocol."""
        label, source = recogniser.label, recogniser.source
        if self.faceset is not None and self.realigned is not None:
            return self._both_alignments(recogniser, self.faceset, self.realigned)
        outcomes: dict[str, Outcome] = {}
        if self.faceset is not None:
            faces = recognition.embed(source, self.faceset, self.how)
            plan = self._with_masks(self._with_strangers(number, recogniser), recogniser)
            outcomes |= compare.measure(faces, plan, self.protocols)
            maps.add(recogniser, self.faceset, faces, self.how)
        for pairs in self.pair_sets:
            outcomes[pairs.protocol] = recognition.measure_pairs(source, pairs, self.plan, self.how)
        return {label: outcomes}

    def _with_strangers(self, number: int, recogniser: Recogniser) -> Plan:
        if self.strangers is None:
            return self.plan
        if isinstance(self.strangers, list):
            return replace(self.plan, distractors=self.strangers[number])
        faces = recognition.embed(recogniser.source, self.strangers, self.how)
        return replace(self.plan, distractors=faces)

    def _with_masks(self, plan: Plan, recogniser: Recogniser) -> Plan:
        if self.masked is None:
            return plan
        rows = recognition.embed_rows(recogniser.source, self.masked, self.how)
        return replace(plan, masked=self.masked.faces(rows), draw=self.masked.about)

    def _both_alignments(
        self, recogniser: Recogniser, old: FaceSet, new: FaceSet
    ) -> dict[str, dict[str, Outcome]]:
        """Measure under both alignments; the pictures of a report are those of the old one, so
        only its errors are named.
        """
        plans = (
            self.plan,
            replace(self.plan, yaws=head_turns(new), sizes=face_sizes(new), worst=0),
        )
        found = [recognition.embed(recogniser.source, faceset, self.how) for faceset in (old, new)]
        rows = [
            faces.embeddings[: len(aligned)]
            for faces, aligned in zip(found, (old, new), strict=True)
        ]
        self.drift.extend(
            {"model": recogniser.label, **row} for row in measure_drift(old, new, *rows)
        )
        return {
            f"{recogniser.label}, {name}": compare.measure(faces, plan, self.protocols)
            for name, faces, plan in zip((OLD, NEW), found, plans, strict=True)
        }
