"""What is drawn per sample, and from which distribution: `masks/mix.toml` holds the numbers,
this file the meaning.
"""

import colorsys
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.masks import fields
from mfr_kit.masks.fields import RANGES, SHARE, STYLES, Number
from mfr_kit.masks.template import Look
from mfr_kit.options import read_toml
from mfr_kit.registry import unknown

_TABLES = {"dirty", "kinds", "styles", "ranges"}
_NUMBERS = (*[name for name in RANGES if name not in ("hue", "saturation", "value")], "seed")
_LEAST_WORN = 5.0  # mm from the upper to the lower edge of a mask on a face


@dataclass(frozen=True)
class Mix:
    """How often each kind and style is worn, and the spread of everything else.

    `ranges` maps a name of RANGES to (mean, standard deviation, lowest, highest) of a clipped
    normal; `dirty` is the share with stains.
    """

    kinds: dict[str, float]
    styles: dict[str, float]
    ranges: dict[str, tuple[float, float, float, float]]
    dirty: float


def read_mix(path: Path, under: Mix | None = None, kinds: set[str] | None = None) -> Mix:
    """Read mix.toml.

    Args:
        path: the TOML.
        under: what stands where the TOML says nothing; without it every range must be there.
        kinds: the kinds `[kinds]` may name; by default any.
    Raises:
        KitError: unreadable, an unknown or missing name, or a value of the wrong type or out of its
            range (fields.py).
    """
    raw = read_toml(path, "the mix of masks")
    for key in raw:
        if key not in _TABLES:
            raise KitError(f"{path}: {unknown('key', key, sorted(_TABLES))}")
    named = raw.get("kinds", {})
    known = kinds if kinds is not None else named if isinstance(named, dict) else ()
    shares = {"kinds": dict.fromkeys(known, SHARE), "styles": dict.fromkeys(STYLES, SHARE)}
    for table, declared in shares.items():
        fields.check(raw.get(table, {}), declared, f"{path}: [{table}]", f"name in [{table}]")
    dirty = raw.get("dirty", under.dirty if under else 0.0)
    Number(0, 1).check(dirty, f"{path}: dirty")
    styles = {**(under.styles if under else {}), **raw.get("styles", {})}
    if "right" not in styles or not sum(styles.values()) > 0:
        raise KitError(f"{path}: [styles] needs at least 'right', and one that is above 0")
    return Mix(
        {**(under.kinds if under else {}), **raw.get("kinds", {})},
        styles,
        _read_ranges(raw.get("ranges", {}), under, path),
        float(dirty),
    )


def _read_ranges(
    raw: Any, under: Mix | None, path: Path
) -> dict[str, tuple[float, float, float, float]]:
    where = f"{path}: [ranges]"
    if not isinstance(raw, dict):
        raise KitError(f"{where} must be a table, not {fields.shorten(raw)}")
    for name in raw:
        if name not in RANGES:
            raise KitError(f"{where}: {unknown('name in [ranges]', name, list(RANGES))}")
    ranges = dict(under.ranges) if under else {}
    ranges |= {name: fields.check_range(raw[name], name, f"{where}: {name}") for name in raw}
    if missing := [name for name in RANGES if name not in ranges]:
        raise KitError(f"{where} lacks {', '.join(missing)}")
    return {name: ranges[name] for name in RANGES}


def draw(look: Look, mix: Mix, rng: np.random.Generator) -> dict[str, Any]:
    """Draw one sample's parameters: plain numbers, text and lists, everything a replay needs.

    Keys: look; style; top, bottom (mm on the face); width (factor); shift (mm); tilt_deg; relief
    (fold depth, factor); softness (edge blur, pixels); shadow, crumple, dirt (strengths); seed (of
    stains and crumples); base, print, trim (RGB, or [-1, -1, -1] for the face's own skin); tone
    (hue in turns, saturation and value factors, for textures that bring their own colours).
    """
    normal = rng.standard_normal(len(RANGES)).tolist()
    value = {}
    for name, z in zip(RANGES, normal, strict=True):
        mean, deviation, low, high = mix.ranges[name]
        value[name] = min(max(mean + deviation * z, low), high)
    style, pick, stain = rng.random(3).tolist()
    style = choose(
        {name: share for name, share in mix.styles.items() if name in look.fit.styles}, style
    )
    parameters: dict[str, Any] = {"look": look.name, "style": style} | _placed(look, style, value)
    parameters |= {name: value[name] for name in ("relief", "softness", "shadow", "crumple")}
    parameters["dirt"] = value["dirt"] if stain < mix.dirty else 0.0
    parameters = {
        name: round(item, 4) if isinstance(item, float) else item
        for name, item in parameters.items()
    }
    parameters["seed"] = int(rng.integers(1 << 31))
    for part, choices in look.colours.items():
        colour = choices[int(pick * 9973) % len(choices)]
        parameters[part] = (
            list(colour)
            if colour[0] < 0
            else _jitter(colour, value["hue"], value["saturation"], value["value"])
        )
    parameters["tone"] = [
        round(value["hue"], 4),
        round(value["saturation"], 4),
        round(value["value"], 4),
    ]
    return parameters


def check(parameters: dict[str, Any]) -> None:
    """Check that parameters from elsewhere are as `draw` gives them.

    Raises:
        KitError: one is missing, or is no finite number, colour or tone.
    """
    sizes = {name: 0 for name in _NUMBERS} | {"tone": 3}
    sizes |= {part: 3 for part in fields.COLOURS if part in parameters}
    for name, size in sizes.items():
        value = parameters.get(name)
        numbers = value if size and isinstance(value, list | tuple) else [value]
        fits = all(isinstance(part, int | float) and isfinite(part) for part in numbers)
        if not fits or (size and len(numbers) != size):
            wanted = f"{size} numbers" if size else "a number"
            raise KitError(
                f"parameters of mask {parameters.get('look')!r}: {name} must be {wanted}, not "
                f"{fields.shorten(value)}"
            )
    if parameters["bottom"] <= parameters["top"]:
        raise KitError(f"parameters of mask {parameters.get('look')!r}: bottom lies above top")


def _placed(look: Look, style: str, value: dict[str, float]) -> dict[str, float]:
    """Turn offsets into the body's place on the face, by wearing style."""
    fit = look.fit
    top, bottom = fit.top + value["top"], fit.bottom + value["bottom"]
    tilt, shift = value["tilt_deg"], value["shift"]
    if style == "under_nose":
        top = max(52.0 + 0.8 * value["top"], top + 20)
    elif style == "under_chin":
        top, bottom = 99.0 + value["top"], 142.0 + value["bottom"]
    elif style == "askew":
        tilt, shift = 4.5 * tilt, 3 * shift
    bottom = max(bottom, top + _LEAST_WORN)
    return {"top": top, "bottom": bottom, "width": value["width"], "shift": shift, "tilt_deg": tilt}


def choose(weights: dict[str, float], at: float) -> str:
    """Pick the name at the share `at` in [0, 1) of the summed weights."""
    left = at * sum(weights.values())
    for name, weight in weights.items():
        left -= weight
        if left < 0:
            return name
    return next(reversed(weights))


def _jitter(colour: tuple[int, int, int], hue: float, saturation: float, value: float) -> list[int]:
    """Shift a colour's hue (turns), and scale its saturation and value."""
    h, s, v = colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))
    rgb = colorsys.hsv_to_rgb((h + hue) % 1.0, min(s * saturation, 1.0), min(v * value, 1.0))
    return [round(255 * channel) for channel in rgb]
