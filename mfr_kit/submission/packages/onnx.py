"""The InsightFace tracks: `model.onnx` at the root, and a track's side files."""

from pathlib import Path

from mfr_kit.submission.request import Request

MODEL = "model.onnx"
PIXELS = {"minus1_to_1": (127.5, 127.5), "raw_0_255": (0.0, 1.0)}  # mean, std


def files(request: Request) -> dict[str, Path | bytes]:
    """What goes into the zip, by its name there."""
    mean, std = PIXELS[request.normalisation]
    beside = {
        name: text.format(mean=mean, std=std).encode()
        for name, text in request.track.side_files.items()
    }
    return {MODEL: request.model, **beside}
