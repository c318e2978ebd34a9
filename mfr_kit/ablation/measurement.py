"""Measure a model on one of a table's face sets."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mfr_kit.ablation.table import Measured
from mfr_kit.data import lists
from mfr_kit.data.face_set.bystanders import refuse_bystanders
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.evaluation.agreement import PROTOCOL as AGREEMENT
from mfr_kit.evaluation.agreement import measure_agreement
from mfr_kit.evaluation.compare import measure
from mfr_kit.evaluation.inputs.embed import cache_folder, embed_set
from mfr_kit.evaluation.inputs.faces import Faces, from_set
from mfr_kit.evaluation.verification.rates import Outcome, Plan, figure
from mfr_kit.models.embedders import Embedder


def open_set(entry: Measured, allow_unknown: bool) -> FaceSet:
    """Open a set's faces, those of its list of people where it has one.

    Raises:
        KitError: no face set, or a list that names people who are not there.
    """
    faces = FaceSet.open(entry.data)
    refuse_bystanders(faces, "ablate")
    if not entry.people:
        return faces
    choice = faces.chosen(entry.people, f"the people of set '{entry.name}'", allow_unknown)
    lists.echo(
        f"people of set {entry.name}", [choice], f"{len(faces.of_people(choice.found)):,} faces"
    )
    return faces.of_people(choice.found)


def measure_set(
    embedder: Embedder,
    entry: Measured,
    faces: FaceSet,
    resamples: int,
    teacher: Callable[[], Embedder],
) -> dict[str, Any]:
    """Measure a model on a set: the TAR at each FAR by protocol, and those of the resamples (the
    same people for every model) for paired intervals.

    Args:
        embedder: the model.
        entry: how the set is measured.
        faces: of the set.
        resamples: how often its people are drawn anew.
        teacher: loads the model that the protocol `teacher-agreement` asks for.
    Returns:
        What a record keeps of the set (record.py).
    """

    def embed(model: Embedder) -> Faces:
        return from_set(embed_set(model, faces, flip=entry.flip, cache=cache_folder()), faces)

    embedded, plan = embed(embedder), Plan(entry.fars, resamples)
    found: dict[str, Outcome] = {}
    usual = entry.protocols and [name for name in entry.protocols if name != AGREEMENT]
    if usual or entry.protocols is None:
        found = measure(embedded, plan, usual)
    if entry.protocols and AGREEMENT in entry.protocols:
        found[AGREEMENT] = measure_agreement(embedded, embed(teacher()), plan)
    return {
        "fingerprint": faces.fingerprint,
        "faces": len(faces),
        "people": len(faces.people),
        "protocols": {protocol: _rates(outcome) for protocol, outcome in found.items()},
    }


def _rates(outcome: Outcome) -> list[dict[str, Any]]:
    """What a record keeps of a protocol, a row each FAR."""
    rows = []
    for row in outcome.result["tar_at_far"]:
        values = outcome.resampled.get(figure(row["far"]), np.array([]))
        kept = [None if np.isnan(value) else round(float(value), 4) for value in values]
        known = {name: row[name] for name in ("far", "tar", "false_accepts")}
        rows.append({**known, "resampled": kept})
    return rows
