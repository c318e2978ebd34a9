"""Measure a model on one of a table's face sets."""

from typing import Any

import numpy as np

from mfr_kit.ablation.table import Measured
from mfr_kit.data import lists
from mfr_kit.data.face_set.bystanders import refuse_bystanders
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.evaluation.compare import measure
from mfr_kit.evaluation.inputs.embed import cache_folder, embed_set
from mfr_kit.evaluation.inputs.faces import from_set
from mfr_kit.evaluation.verification.rates import Plan, figure
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
    embedder: Embedder, entry: Measured, faces: FaceSet, resamples: int
) -> dict[str, Any]:
    """Measure a model on a set: the TAR at each FAR by protocol, and those of the resamples (the
    same people for every model) for paired intervals.

    Args:
        embedder: the model.
        entry: how the set is measured.
        faces: of the set.
        resamples: how often its people are drawn anew.
    Returns:
        What a record keeps of the set (record.py).
    """
    embedded = from_set(embed_set(embedder, faces, flip=entry.flip, cache=cache_folder()), faces)
    found = measure(embedded, Plan(entry.fars, resamples), entry.protocols)
    rates = {}
    for protocol, outcome in found.items():
        rows = []
        for row in outcome.result["tar_at_far"]:
            values = outcome.resampled.get(figure(row["far"]), np.array([]))
            kept = [None if np.isnan(value) else round(float(value), 4) for value in values]
            rows.append(
                {
                    "far": row["far"],
                    "tar": row["tar"],
                    "false_accepts": row["false_accepts"],
                    "resampled": kept,
                }
            )
        rates[protocol] = rows
    return {
        "fingerprint": faces.fingerprint,
        "faces": len(faces),
        "people": len(faces.people),
        "protocols": rates,
    }
