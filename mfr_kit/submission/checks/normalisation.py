"""Whether the organisers' checker, which guesses the normalisation from node names, would feed
what the network wants.
"""

from mfr_kit.models import input_format, preprocess
from mfr_kit.submission.rules import Row, Subject, requirement

LOOKED_AT = 8  # nodes
SHIFTS, SCALES = ("Sub", "_minus"), ("Mul", "_mul", "Div")
GUESSED = (
    "the checker guesses from the names of the first 8 nodes, wrongly here: the input would be "
    "normalised twice or not at all"
)
UNSAYABLE = (
    "it can be told of no other colour order, and of no mean and std of each channel: distil a "
    "student that takes minus1_to_1 from this model"
)


def rows(subject: Subject) -> list[Row]:
    """Compare what is fed with what is wanted, and the metadata with the graph."""
    if subject.proto is None or not subject.inputs:
        return []
    wanted, fed = subject.normalisation, guess(subject)
    stored = subject.metadata.get(preprocess.META_NORMALISATION)
    if stored is not None and not input_format.is_description(stored):
        known = ", ".join(input_format.NORMALISATIONS)
        return [requirement("normalisation fed", known, f"metadata says '{stored}'", False)]
    source = "metadata" if stored else "the graph"
    result = [
        requirement(
            "normalisation fed",
            f"{_sentence(wanted)} (by {source})",
            _sentence(fed),
            fed == wanted,
            GUESSED if wanted in (input_format.USUAL, input_format.PIXELS) else UNSAYABLE,
        )
    ]
    if stored is not None:
        inside = input_format.PIXELS if subject.normalises_itself else input_format.USUAL
        # a folded shift cannot be seen, and what is only scaled outside may be shifted inside
        agrees = not (any(input_format.parse(wanted).mean) and subject.normalises_itself)
        note = (
            "the graph shifts its input by a constant although its metadata says that this "
            "happened outside"
        )
        result.append(
            requirement(
                "normalisation in the graph", _sentence(wanted), _sentence(inside), agrees, note
            )
        )
    return result


def guess(subject: Subject) -> str:
    """What the organisers' checker feeds: raw pixels where early node names look like a subtraction
    and a scaling.

    A track with side files (cfat) is told instead, by our package, where one mean and one std say
    it; and where our own code feeds the model, it feeds what is wanted.
    """
    is_sayable = input_format.parse(subject.normalisation).rgb_numbers is not None
    if subject.track.fed_by_kit or (subject.track.side_files and is_sayable):
        return subject.normalisation
    names = [node.name for node in subject.parsed.graph.node[:LOOKED_AT]]
    found = any(name.startswith(SHIFTS) for name in names) and any(
        name.startswith(SCALES) for name in names
    )
    return "raw_0_255" if found else "minus1_to_1"


def _sentence(normalisation: str) -> str:
    return input_format.parse(normalisation).sentence
