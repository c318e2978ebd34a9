"""What a user writes for a model: an asset or a path, `:NORMALISATION` behind it where the file
does not say, commas for an ensemble.
"""

from pathlib import Path
from typing import NamedTuple

from mfr_kit.errors import KitError
from mfr_kit.models import preprocess
from mfr_kit.registry import unknown

ADAPTED = "student.onnx"  # the result in a run folder of `kit.py adapt`
WEIGHTS = (".pt", ".pth", ".ckpt", ".tar", ".bin", ".safetensors")  # suffixes of weights files
# the assets that are recognisers; sface-int8 is what OpenCV alone can run
ASSET_NORMALISATION = {"sface": "raw_0_255"}


class ModelSpec(NamedTuple):
    """One model: its `place` (an asset or a path), and the normalisation that was written behind
    it, if any.
    """

    place: str
    normalisation: str | None


def parse_specs(text: str | Path) -> list[ModelSpec]:
    """Take apart what was written for a model; more than one is an ensemble.

    What exists under the whole text is one model: colons and commas in paths stay what they are.

    Raises:
        KitError: nothing between two commas, or behind a colon no normalisation.
    """
    text = str(text)
    pieces = [text] if _is_place(text) else text.split(",")
    if not all(piece.strip() for piece in pieces):
        raise KitError(f"model '{text}': a name is missing before or after a comma")
    specs = []
    while pieces:
        taken = next(
            (count for count in range(len(pieces), 1, -1) if _is_model(",".join(pieces[:count]))), 1
        )
        specs.append(_parse_model(",".join(pieces[:taken])))
        pieces = pieces[taken:]
    return specs


def parse_spec(text: str | Path) -> ModelSpec | None:
    """Take apart what was written for a model; None for an ensemble."""
    specs = parse_specs(text)
    return specs[0] if len(specs) == 1 else None


def _is_place(text: str) -> bool:
    if text in ASSET_NORMALISATION:
        return True
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False


def _is_model(text: str) -> bool:
    head, _, tail = text.rpartition(":")
    return _is_place(text) or (tail in preprocess.NORMALISATIONS and _is_place(head))


def _parse_model(text: str) -> ModelSpec:
    head, colon, tail = text.rpartition(":")
    if not colon or _is_place(text):
        return ModelSpec(text, None)
    if tail in preprocess.NORMALISATIONS:
        return ModelSpec(head, tail)
    if _is_place(head):
        known = unknown(f"normalisation behind {head}:", tail, list(preprocess.NORMALISATIONS))
        raise KitError(known)
    return ModelSpec(text, None)
