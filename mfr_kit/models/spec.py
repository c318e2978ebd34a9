"""What a user writes for a model: an asset or a path, `:NORMALISATION` behind it where the file
does not say, commas for an ensemble.
"""

from pathlib import Path
from typing import NamedTuple

from mfr_kit.errors import KitError
from mfr_kit.models import input_format

ADAPTED = "student.onnx"  # the result in a run folder of `kit.py adapt`
WEIGHTS = (".pt", ".pth", ".ckpt", ".tar", ".bin", ".safetensors")  # suffixes of weights files
# the assets that are recognisers; sface-int8 is what OpenCV alone can run
ASSET_NORMALISATION = {"sface": "raw_0_255"}


class ModelSpec(NamedTuple):
    """One model: its `place` (an asset or a path), and the normalisation that was written behind
    it, if any, as `input_format.canonical` gives it.
    """

    place: str
    normalisation: str | None


def parse_specs(text: str | Path) -> list[ModelSpec]:
    """Take apart what was written for a model; more than one is an ensemble.

    What exists under the whole text is one model: colons and commas in paths stay what they are.
    The free form of a normalisation holds no comma: `a.onnx:mean=127.5+std=128+order=bgr,sface`;
    one with commas is understood behind a file that is there.

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
    return _is_place(text) or (input_format.is_description(tail) and _is_place(head))


def _parse_model(text: str) -> ModelSpec:
    head, colon, tail = text.rpartition(":")
    if not colon or _is_place(text):
        return ModelSpec(text, None)
    if _is_place(head) or input_format.is_description(tail):
        return ModelSpec(head, input_format.canonical(tail, f"normalisation behind {head}:"))
    return ModelSpec(text, None)
