"""A harvested mask as files of a mask library: a TOML and its texture."""

import json
from pathlib import Path

import cv2
import numpy as np

from mfr_kit import files
from mfr_kit.masks import library, texture, variation
from mfr_kit.masks.fields import BOX
from mfr_kit.masks.harvest.chart_view import SCALE, WORN
from mfr_kit.masks.harvest.face import Harvested

KIND = "harvested"
_FINER, _SCALES = 1.25, (0.8, SCALE)  # texels a mm: a little finer than the photograph
_MOST_SIDE = 118.0  # mm from the middle


def write_look(folder: Path, name: str, harvested: Harvested, licence: str) -> None:
    """Write `NAME.toml` and `textures/NAME.png`.

    Args:
        folder: of masks.
        name: of the look, not used in the folder yet.
        harvested: the mask.
        licence: what the TOML says of it.
    """
    rgba, box = _trim(harvested)
    # Masks are drawn wider than their TOML says by the mix's mean: this one was measured as worn.
    wider = variation.read_mix(library.FOLDER / library.MIX).ranges["width"][0]
    left, top, right, bottom = (round(value, 2) for value in _narrowed(box, wider))
    measures = harvested.measures
    points = harvested.outline.points
    side = min(float(np.abs(points[:, 0]).max()) / wider, _MOST_SIDE)
    text = f"""title = "A mask harvested from a photograph"
kind = "{KIND}"
licence = {json.dumps(licence, ensure_ascii=False)}

[fit]
top = {measures.top:.1f}
bottom = {measures.bottom:.1f}
side = {side:.1f}
bulge = {WORN.bulge}
bulge_height = {WORN.bulge_height}

[[look]]
name = "{name}"
texture = "textures/{name}.png"
box = [{left}, {top}, {right}, {bottom}]
"""
    files.write_bytes(folder / "textures" / f"{name}.png", texture.encode(rgba))
    files.write_text(folder / f"{name}.toml", text)


def _trim(harvested: Harvested) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """Cut the texture to what is opaque, at about the photograph's resolution; and where that lies
    in chart mm.
    """
    rgba = harvested.texture
    rows, columns = np.nonzero(rgba[..., 3])
    first, last = (
        (max(int(columns.min()) - 4, 0), max(int(rows.min()) - 4, 0)),
        (min(int(columns.max()) + 5, rgba.shape[1]), min(int(rows.max()) + 5, rgba.shape[0])),
    )
    cut = rgba[first[1] : last[1], first[0] : last[0]]
    scale = float(np.clip(_FINER * harvested.view.pose.scale, *_SCALES)) / SCALE
    size = [max(round(length * scale), 8) for length in cut.shape[1::-1]]
    if scale < 1:
        cut = cv2.resize(cut, size, interpolation=cv2.INTER_AREA)
    left, top, right, bottom = (
        place / SCALE + BOX[axis] for place, axis in zip((*first, *last), (0, 1, 0, 1), strict=True)
    )
    return cut, (left, top, right, bottom)


def _narrowed(
    box: tuple[float, float, float, float], wider: float
) -> tuple[float, float, float, float]:
    return box[0] / wider, box[1], box[2] / wider, box[3]
