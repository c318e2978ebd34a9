"""Whether everything the model descends from was trained on what the track allows. Declared by
the file, not provable from it.
"""

import re

from mfr_kit.models import lineage, preprocess
from mfr_kit.submission.rules import FAIL, Row, Subject, requirement


def rows(subject: Subject) -> list[Row]:
    """One row for each ancestor: its own training, the teacher, the initial weights."""
    allowed = subject.track.lineage.training_sets
    if subject.proto is None:
        return []
    try:
        record = stored(subject)
    except ValueError as error:
        return [
            Row(
                "lineage",
                "readable",
                f"metadata {preprocess.META_LINEAGE} cannot be read: {error}",
                verdict=FAIL,
            )
        ]
    limit = "anything" if allowed is None else " or ".join(allowed)
    if not record:
        holds, note = (
            allowed is None,
            "a track with given training data needs to know what the model descends from; export "
            "it from its run folder",
        )
        return [requirement("lineage", limit, "unknown", holds, note)]
    result = [_ancestor("trained on", limit, allowed, None, _own(record))]
    for part in ("teacher", "initial_weights"):
        if record.get(part):
            result.append(
                _ancestor(
                    part.replace("_", " "),
                    limit,
                    allowed,
                    record[part].get("name", "unnamed"),
                    record[part].get("trained_on") or [lineage.UNKNOWN],
                )
            )
    result += _people(subject, record)
    if subject.run is not None:
        agrees = subject.metadata.get(preprocess.META_FINGERPRINT) == subject.run.fingerprint
        result.append(
            requirement(
                "exported from this run",
                subject.run.fingerprint[:12],
                subject.metadata.get(preprocess.META_FINGERPRINT, "unknown")[:12],
                agrees,
                "the run's weights have changed, or the file is of another run: export it again",
            )
        )
    return result


def stored(subject: Subject) -> dict | None:
    """The lineage in the file's metadata, None without one.

    Raises:
        ValueError: it is not the JSON of a lineage.
    """
    text = subject.metadata.get(preprocess.META_LINEAGE)
    return lineage.parse(text) if text else None


def _own(record: dict) -> list[str]:
    return [
        *record.get("trained_on", []),
        *(entry["name"] for entry in record.get("training_sets", [])),
    ] or [lineage.UNKNOWN]


def _ancestor(
    part: str, limit: str, allowed: list[str] | None, name: str | None, sets: list[str]
) -> Row:
    strangers = (
        []
        if allowed is None
        else [
            item
            for item in sets
            if _plain(item) not in {_plain(permitted) for permitted in allowed}
        ]
    )
    found = f"{name}, trained on {'; '.join(sets)}" if name else "; ".join(sets)
    note = "external data and pretrained models are forbidden in this track"
    if name and strangers:
        note = f"the {part} '{name}' brings in data from outside: {note}"
    return requirement(f"lineage: {part}", limit, found, not strangers, note)


def _people(subject: Subject, record: dict) -> list[Row]:
    limit, counts = (
        subject.track.lineage.people,
        [entry.get("people", 0) for entry in record.get("training_sets", [])],
    )
    if limit is None or not counts:
        return []
    return [
        requirement(
            "lineage: people",
            f"<= {limit:,} in the set",
            f"{max(counts):,}",
            max(counts) <= limit,
            "more people than the allowed set has: another set under its name",
        )
    ]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
