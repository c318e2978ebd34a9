"""The InsightFace tracks: `model.onnx` at the root, and a track's side files."""

from pathlib import Path

from mfr_kit.errors import KitError
from mfr_kit.models import input_format
from mfr_kit.submission.request import Request

MODEL = "model.onnx"


def files(request: Request) -> dict[str, Path | bytes]:
    """What goes into the zip, by its name there."""
    beside: dict[str, Path | bytes] = {}
    if request.track.side_files:
        numbers = input_format.parse(request.normalisation).rgb_numbers
        if numbers is None:  # `check` has a row for it
            raise KitError(
                f"a package of {request.track.name} says one mean and one std to its reader, and "
                f"{request.model} takes {request.normalisation}"
            )
        mean, std = (float(number) for number in numbers)
        for name, text in request.track.side_files.items():
            beside[name] = text.format(mean=mean, std=std).encode()
    return {MODEL: request.model, **beside}
