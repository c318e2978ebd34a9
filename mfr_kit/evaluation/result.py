"""What an evaluation found, in plain values with names."""

from dataclasses import dataclass, fields
from typing import Any

from mfr_kit import __version__

SCHEMA = "mfr-kit/evaluation/1"


@dataclass(frozen=True)
class Evaluation:
    """The outcome of `evaluate`; all of it is plain values.

    Attributes:
        command: as it was typed.
        options: of the command.
        set: what was measured; None without a face set.
        realigned: what two alignments share, or None.
        bins: about each verification set.
        models: about each model, in order.
        overlap: people that a model was trained on (`overlap.find_overlap`).
        protocols: by protocol (or verification set) `title`, `models` (each with the result of
            `verification.verify`) and the `differences` to the first model. Under two alignments
            every model stands twice among the `models` of a protocol, as `NAME, old alignment` and
            `NAME, new alignment`.
        challenge: the challenge's score by model where both of its halves were measured.
        explained: what the scores of some pairs rest on, where it was asked for.
        operating_point: where it was asked for.
    """

    command: str
    options: dict
    set: dict | None
    realigned: dict | None
    bins: list[dict]
    models: list[dict]
    overlap: list[dict]
    protocols: dict[str, dict]
    challenge: dict | None
    explained: dict | None
    operating_point: dict | None

    def to_dict(self) -> dict[str, Any]:
        """Return what `report.json` holds: the attributes, behind `schema` and `kit_version`."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"schema": SCHEMA, "kit_version": __version__, **found}
