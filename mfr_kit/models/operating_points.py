"""The thresholds that an exported file carries: at which false-accept rate, measured on what, and
how sure they are.

They stand in an ONNX file's metadata under `mfr_kit.operating_points`, as JSON::

    {"set": {"name", "fingerprint", "faces", "people"}, "mirrored": bool, "kit_version": "...",
     "points": [{"protocol", "far", "threshold", "tar", "low", "high", "false_accepts", "genuine",
                 "impostor", "far_measured"}]}

`kit.py export-onnx --report` writes them; a file without them is read as it always was. No person,
photograph or path is named in them.
"""

from pathlib import Path
from typing import Any, NamedTuple

from mfr_kit.errors import KitError
from mfr_kit.models.onnx_models import onnx_file
from mfr_kit.records import check, parse_json

META_POINTS = "mfr_kit.operating_points"
META_CARD = "mfr_kit.card"  # JSON, see submission/card.py
UNMASKED = "nonmask-nonmask"
MOST_BYTES = 1 << 16  # of the points as text
ADVICE = "export the model again with `kit.py export-onnx RUN --report REPORT`"
_POINT = {
    "protocol": str,
    "far": float,
    "threshold": float,
    "tar": float,
    "low?": (float, None),
    "high?": (float, None),
    "false_accepts": int,
    "genuine": int,
    "impostor": int,
    "far_measured?": (float, None),
}
_KEYS = [key.removesuffix("?") for key in _POINT]
_SET = {"name": str, "fingerprint": str, "faces": int, "people": int}
SHAPE: dict[str, Any] = {
    "set": _SET,
    "mirrored": bool,
    "kit_version?": str,
    "points": [_POINT],
}


class OperatingPoint(NamedTuple):
    """A threshold, and what it was measured to do.

    Attributes:
        protocol: what was compared: "nonmask-nonmask", "mask-nonmask", ...
        far: false-accept rate that the threshold keeps, in (0, 1).
        threshold: two faces count as one person where their cosine is at least this.
        tar: share of one person's pairs that it accepts, in [0, 1].
        low: of the 95 % interval of `tar` over people; None where there is none.
        high: see `low`.
        false_accepts: pairs of two people that it accepted.
        genuine: pairs of one person that were compared.
        impostor: pairs of two people that were compared.
        far_measured: under "fixed-threshold" the rate that masked probes make of `far`; else None.
        set_name: the face set it was measured on.
        mirrored: whether the embedding of the mirrored face was added to each, as `evaluate --flip`
            does: then the threshold holds for such sums only.
    """

    protocol: str
    far: float
    threshold: float
    tar: float
    low: float | None
    high: float | None
    false_accepts: int
    genuine: int
    impostor: int
    far_measured: float | None
    set_name: str
    mirrored: bool


def operating_points(model: Path | str) -> list[OperatingPoint]:
    """Read the thresholds that an exported file carries.

    Args:
        model: an .onnx file.
    Returns:
        The operating points in the order of the report they come from; none where the file carries
        none.
    Raises:
        KitError: no ONNX file, or points that are damaged.
    Example:
        >>> from torch import nn
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 28, stride=28), nn.Flatten())
        >>> done = mk.export_onnx(network, tmp / "bare.onnx")  # a run could have report=...
        >>> mk.operating_points(done.path)
        []
    """
    if Path(model).suffix.lower() != ".onnx":
        raise KitError(
            f"{model} is no .onnx file: operating points stand in what `kit.py export-onnx RUN "
            "--report REPORT` writes"
        )
    proto = onnx_file.load(Path(model))
    return parse({item.key: item.value for item in proto.metadata_props}, str(model))


def parse(metadata: dict[str, str], where: str) -> list[OperatingPoint]:
    """Read the operating points out of a file's metadata.

    Raises:
        KitError: they are damaged; names `where`.
    """
    text = metadata.get(META_POINTS)
    if text is None:
        return []
    place = f"{where}: metadata {META_POINTS}"
    stored = check(parse_json(text, place, ADVICE), SHAPE, place, ADVICE)
    return [
        OperatingPoint(
            **{key: row.get(key) for key in _KEYS},
            set_name=stored["set"]["name"],
            mirrored=stored["mirrored"],
        )
        for row in stored["points"]
    ]


def without_measurements(metadata: dict[str, str]) -> dict[str, str]:
    """Leave out what was measured with other numbers: for a file that is made of another one."""
    return {key: value for key, value in metadata.items() if key not in (META_POINTS, META_CARD)}


def operating_point(model: Path | str, far: float, protocol: str = UNMASKED) -> OperatingPoint:
    """Read the threshold of an exported file at a false-accept rate.

    Args:
        model: an .onnx file.
        far: one of the rates that it was measured at.
        protocol: what is compared: "nonmask-nonmask", "mask-nonmask", "fixed-threshold", ...
    Returns:
        The operating point; two faces count as one person where the cosine of their embeddings is
        at least its `threshold`.
    Raises:
        KitError: no ONNX file, or one without this operating point; names those that it has.
    Example:
        >>> from torch import nn
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 28, stride=28), nn.Flatten())
        >>> done = mk.export_onnx(network, tmp / "none.onnx")
        >>> try:
        ...     same = 0.5 >= mk.operating_point(done.path, far=1e-4).threshold
        ... except mk.KitError as error:
        ...     print("carries no operating points" in str(error))
        True
    """
    points = operating_points(model)
    for point in points:
        if point.protocol == protocol and abs(point.far - far) <= 1e-9 * far:
            return point
    if not points:
        raise KitError(f"{model} carries no operating points: {ADVICE}")
    known = ", ".join(f"{point.protocol} at {point.far:g}" for point in points)
    raise KitError(
        f"{model} has no operating point of {protocol} at FAR {far:g}; it has {known}: evaluate "
        "with --far, and export with that report"
    )
