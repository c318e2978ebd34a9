"""One mask on one photograph, with everything that varies about it in the user's hand."""

import copy
import functools
from dataclasses import replace
from typing import Any

import numpy as np

from mfr_kit.data.alignment.align import transform_points
from mfr_kit.data.images import encode
from mfr_kit.errors import KitError
from mfr_kit.masks import drawn_heads, fields, head, library, pose
from mfr_kit.masks.fields import RANGES, Number
from mfr_kit.masks.library import Library, Mask
from mfr_kit.masks.render import render
from mfr_kit.registry import unknown
from mfr_kit.seeding import rng_for
from mfr_kit.studio.photographs import Photograph

SLIDERS: dict[str, Number] = {
    "top": Number(-30, 120, "mm"),  # what [fit] of a mask may say
    "bottom": Number(0, fields.BOX[3], "mm"),
    "width": RANGES["width"],
    "shift": RANGES["shift"],
    "tilt_deg": Number(-30, 30, "degrees"),  # askew is four and a half times what mix.toml spans
    **{name: RANGES[name] for name in ("relief", "softness", "shadow", "crumple", "dirt")},
}
TONE = ("hue", "saturation", "value")  # places of the parameter "tone"
SLIDERS |= {name: RANGES[name] for name in TONE}
ANGLES = {
    "yaw": Number(-90, 90, "degrees"),
    "pitch": Number(-60, 60, "degrees"),
    "roll": Number(-180, 180, "degrees"),
}
_THUMB = 112


@functools.cache
def _shelf() -> Library:
    """Every look there is, also those that are drawn only when named."""
    return library.load(library.names())


def looks_by_kind() -> list[dict[str, Any]]:
    """List the library for the page: kinds with their looks, and how each may be worn."""
    shelf: dict[str, dict[str, Any]] = {}
    for look in _shelf().looks.values():
        kind = shelf.setdefault(
            look.kind, {"kind": look.kind, "styles": list(look.fit.styles), "looks": []}
        )
        kind["looks"].append(look.name)
    return [shelf[kind] for kind in sorted(shelf)]


def choose_mask(
    look: str,
    rng: np.random.Generator,
    style: str = "",
    changes: dict[str, Any] | None = None,
) -> Mask:
    """Draw a mask of one look, as `put_mask` does, and change what the user changed.

    Args:
        look: its name.
        rng: draws all that is not named.
        style: how it is worn, one of the look's; "" draws one.
        changes: numbers by `SLIDERS`, and colours ("#rrggbb") by base, print and trim.
    Raises:
        KitError: no such look or style, or a value out of its range.
    """
    known, mix = _shelf().looks, _shelf().mix
    if look not in known:
        raise KitError(unknown("mask look", look, sorted(known)))
    if style:
        if style not in known[look].fit.styles:
            styles = ", ".join(known[look].fit.styles)
            raise KitError(f"{look} is not worn '{style}': {styles}")
        mix = replace(mix, styles={style: 1.0})
    only = Library({look: known[look]}, {look: 1.0}, mix)
    parameters = dict(only.draw(rng).parameters)
    tone = list(parameters["tone"])
    for name, value in (changes or {}).items():
        if name in fields.COLOURS:
            fields.Colour().check(value, name)
            parameters[name] = [int(value[at : at + 2], 16) for at in (1, 3, 5)]
            continue
        if name not in SLIDERS:
            raise KitError(unknown("slider", name, list(SLIDERS)))
        SLIDERS[name].check(value, name)
        if name in TONE:
            tone[TONE.index(name)] = value
        else:
            parameters[name] = value
    return only.replay(parameters | {"tone": tone})


def put_on(
    photograph: Photograph,
    mask: Mask,
    rng: np.random.Generator,
    angles: dict[str, float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a mask on a photograph and on its aligned face.

    Args:
        photograph: to draw on; unchanged.
        mask: from `choose_mask`.
        rng: places the grain, the same on both.
        angles: yaw, pitch and roll in degrees, in place of those that its landmarks say.
    Returns:
        The photograph (H, W, 3) and the face (112, 112, 3), both uint8 RGB.
    """
    points = photograph.landmarks
    if angles is not None:
        points = turned(points, angles)
    whole = render(photograph.image, points, mask, copy.deepcopy(rng))[0]
    aligned = transform_points(points, photograph.face.matrix)
    return whole, render(photograph.face.image, aligned, mask, rng)[0]


def angles_of(photograph: Photograph) -> dict[str, float]:
    """Say how a face is turned, in degrees, as the renderer sees it."""
    found = pose.estimate(photograph.landmarks)
    return {"yaw": found.yaw, "pitch": found.pitch, "roll": found.roll}


def turned(landmarks: np.ndarray, angles: dict[str, float]) -> np.ndarray:
    """Give the landmarks that the same head would have, turned another way: (5, 2) float32.

    Raises:
        KitError: an angle out of its range.
    """
    for name, number in ANGLES.items():
        number.check(angles.get(name), name)
    found = pose.estimate(landmarks)
    rotation = drawn_heads.rotation(angles["yaw"], angles["pitch"], angles["roll"])
    middle = head.LANDMARKS.mean(axis=0)[None]
    moved = replace(found, rotation=rotation)
    # the face stays where it is in the picture, and turns about its middle
    shift = found.shift + (found.project(middle) - moved.project(middle))[0]
    return replace(moved, shift=shift).project(head.LANDMARKS).astype(np.float32)


@functools.lru_cache(maxsize=256)
def thumbnail(look: str) -> bytes:
    """Draw a look on a small head: a PNG.

    Raises:
        KitError: no such look.
    """
    image, landmarks = drawn_heads.draw(_THUMB, 0, 0, 0, 0)
    rng = rng_for(0)
    chosen = choose_mask(look, rng, style="right")
    return encode(render(image, landmarks, chosen, rng)[0], ".png")
