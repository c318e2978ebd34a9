"""Whether the organisers' checker, which guesses the normalisation from node names, would feed
what the network wants.
"""

from mfr_kit.models import preprocess
from mfr_kit.submission.rules import Row, Subject, requirement

LOOKED_AT = 8  # nodes
SHIFTS, SCALES = ("Sub", "_minus"), ("Mul", "_mul", "Div")
SHOWN = {"raw_0_255": "raw pixels 0..255", "minus1_to_1": "(pixel - 127.5) / 127.5"}


def rows(subject: Subject) -> list[Row]:
    """Compare what is fed with what is wanted, and the metadata with the graph."""
    if subject.proto is None or not subject.inputs:
        return []
    wanted, fed = subject.normalisation, guess(subject)
    stored = subject.metadata.get(preprocess.META_NORMALISATION)
    if stored not in (None, *preprocess.NORMALISATIONS):
        known = " or ".join(preprocess.NORMALISATIONS)
        return [requirement("normalisation fed", known, f"metadata says '{stored}'", False)]
    source = "metadata" if stored else "the graph"
    result = [
        requirement(
            "normalisation fed",
            f"{SHOWN.get(wanted, wanted)} (by {source})",
            SHOWN[fed],
            fed == wanted,
            "the checker guesses from the names of the first 8 nodes, wrongly here: the input "
            "would be normalised twice or not at all",
        )
    ]
    if stored is not None:
        inside = "raw_0_255" if subject.normalises_itself else "minus1_to_1"
        # a folded shift cannot be seen
        agrees = stored == inside or (stored == "raw_0_255" and not subject.normalises_itself)
        note = (
            "the graph shifts its input by a constant although its metadata says that this "
            "happened outside"
        )
        result.append(
            requirement(
                "normalisation in the graph", SHOWN.get(stored, stored), SHOWN[inside], agrees, note
            )
        )
    return result


def guess(subject: Subject) -> str:
    """What the organisers' checker feeds: raw pixels where early node names look like a subtraction
    and a scaling.

    A track with side files (cfat) is told instead, by our package.
    """
    if subject.track.side_files:
        return subject.normalisation
    names = [node.name for node in subject.parsed.graph.node[:LOOKED_AT]]
    found = any(name.startswith(SHIFTS) for name in names) and any(
        name.startswith(SCALES) for name in names
    )
    return "raw_0_255" if found else "minus1_to_1"
