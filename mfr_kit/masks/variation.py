"""What is drawn per sample, and from which distribution: `masks/mix.toml` holds the numbers, this file the meaning."""

import colorsys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.masks.template import Look
from mfr_kit.options import read_toml
from mfr_kit.registry import unknown

RANGES = (
    "top", "bottom", "width", "shift", "tilt_deg", "relief", "softness", "shadow", "crumple", "dirt", "hue", "saturation", "value",
)  # fmt: skip
STYLES = ("right", "under_nose", "under_chin", "askew")


@dataclass(frozen=True)
class Mix:
    """How often each kind and style is worn, and the spread of everything else.

    `ranges` maps a name of RANGES to (mean, standard deviation, lowest, highest) of a clipped normal; `dirty` is the share with stains.
    """

    kinds: dict[str, float]
    styles: dict[str, float]
    ranges: dict[str, tuple[float, float, float, float]]
    dirty: float


def read_mix(path: Path, under: Mix | None = None) -> Mix:
    """Read mix.toml.

    Args:
        path: the TOML.
        under: what stands where the TOML says nothing; without it every range must be there.
    Raises:
        KitError: unreadable, unknown or missing names, or a range that is not [mean, deviation, lowest, highest].
    """
    raw = read_toml(path, "the mix of masks")
    for table, known in (("styles", STYLES), ("ranges", RANGES)):
        for name in raw.get(table, {}):
            if name not in known:
                raise KitError(f"{path}: {unknown(f'name in [{table}]', name, list(known))}")
    if under is not None:
        before = {"kinds": under.kinds, "styles": under.styles, "ranges": under.ranges}
        raw = {
            "dirty": under.dirty,
            **raw,
            **{table: {**values, **raw.get(table, {})} for table, values in before.items()},
        }
    missing = [name for name in RANGES if name not in raw.get("ranges", {})]
    if missing or "right" not in raw.get("styles", {}):
        raise KitError(
            f"{path}: missing in [ranges]: {', '.join(missing) or 'nothing'}; [styles] needs at least 'right'"
        )
    ranges = {name: tuple(float(v) for v in values) for name, values in raw["ranges"].items()}
    for name, values in ranges.items():
        if len(values) != 4 or values[2] > values[3]:
            raise KitError(f"{path}: range '{name}' must be [mean, deviation, lowest, highest]")
    return Mix(raw.get("kinds", {}), raw["styles"], ranges, float(raw.get("dirty", 0.0)))


def draw(look: Look, mix: Mix, rng: np.random.Generator) -> dict[str, Any]:
    """Draw one sample's parameters: plain numbers, text and lists, everything a replay needs.

    Keys: look; style; top, bottom (mm on the face); width (factor); shift (mm); tilt_deg; relief (fold depth, factor); softness
    (edge blur, pixels); shadow, crumple, dirt (strengths); seed (of stains and crumples); base, print, trim (RGB, or [-1, -1, -1]
    for the face's own skin); tone (hue in turns, saturation and value factors, for textures that bring their own colours).
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
    parameters = {"look": look.name, "style": style} | _placed(look, style, value)
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
