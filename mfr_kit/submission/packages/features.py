"""Tracks that take features instead of a model: the feature file at the root."""

from pathlib import Path

from mfr_kit.errors import KitError
from mfr_kit.submission.features import lfr
from mfr_kit.submission.request import Request
from mfr_kit.submission.rules import Row, requirement

MODEL = None  # none is sent


def inspect(folder: Path) -> list[Row]:
    """What a receiver sees of the features: the LFR matrix is read, other formats only by their
    hash.
    """
    matrix = folder / f"features{lfr.SUFFIX}"
    if not matrix.is_file():
        return []
    try:
        rows, columns = lfr.read(matrix, []).shape
        found, sound = f"{rows} x {columns}", True
    except KitError as error:
        found, sound = str(error), False
    return [requirement("features", "an LFR matrix", found, sound)]


def files(request: Request) -> dict[str, Path | bytes]:
    """What goes into the zip, by its name there.

    Raises:
        KitError: no features were asked for.
    """
    if request.features is None:
        raise KitError(
            f"track {request.track.name} takes features, not a model: add --features LIST (the "
            "track's images, in its order)"
        )
    if request.features.is_dir():
        return {
            f"features/{file.relative_to(request.features).as_posix()}": file
            for file in sorted(request.features.rglob("*"))
            if file.is_file()
        }
    return {f"features{request.features.suffix}": request.features}
