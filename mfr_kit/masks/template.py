"""One kind of mask as its TOML describes it: where it sits, the looks it comes in, and its texture at several sizes."""

from dataclasses import dataclass, field
from functools import cached_property
from math import log2
from pathlib import Path
from typing import Any

import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.masks import head
from mfr_kit.options import read_toml
from mfr_kit.registry import unknown

MODES = ("palette", "colour")
LEVELS_PER_OCTAVE = 2
_OCTAVES_PER_BLUR = (
    1.0  # bilinear sampling of a texture coarser by an octave looks like a blur of about one pixel
)
_TABLES = {"title", "kind", "licence", "author", "fit", "recipe", "look"}
_LOOK = {
    "name",
    "colours",
    "pattern",
    "pattern_size",
    "texture",
    "mode",
    "box",
    "weight",
    "noise",
    "flat",
}
_COLOURS = {"base", "print", "trim"}


@dataclass(frozen=True)
class Fit:
    """Where a mask sits on the chart, in mm: upper edge over the nose, lower edge at the chin, side edge; and its bulk.

    `bulge` is how far it stands off the face at height `bulge_height`, fading over `bulge_spread`; `draped` cloth falls to the neck.
    `styles` are the ways it can be worn.
    """

    top: float = 16.0
    bottom: float = 120.0
    side: float = 74.0
    bulge: float = 3.0
    bulge_height: float = 62.0
    bulge_spread: float = 30.0
    draped: bool = False
    styles: tuple[str, ...] = ("right", "under_nose", "under_chin", "askew")

    @cached_property
    def sections(self) -> head.Sections:
        """The head's cross-sections with this mask on."""
        return head.sections(self.draped, self.bulge, self.bulge_height, self.bulge_spread)


@dataclass(frozen=True)
class Look:
    """One look of a kind: its texture and the colours it may take.

    `colours` maps base, print and trim to lists of RGB triples, one of which is drawn per sample. Mode `palette` textures hold print,
    trim, relief and alpha; mode `colour` textures are ordinary RGBA pictures. `box` is what the texture covers, in chart mm.
    `toml` is the file that describes it. `flat` looks take neither light nor shadow; `noise` is the grain laid over them, a standard
    deviation in 0..255.
    """

    name: str
    kind: str
    fit: Fit
    toml: Path
    recipe: dict[str, Any] = field(default_factory=dict)
    colours: dict[str, tuple[tuple[int, int, int], ...]] = field(default_factory=dict)
    pattern: str = "none"
    pattern_size: float = 12.0
    texture: str = ""
    mode: str = "palette"
    box: tuple[float, float, float, float] = (-120.0, -40.0, 120.0, 170.0)
    weight: float = 1.0
    noise: float = 0.0
    flat: bool = False

    @property
    def texture_path(self) -> Path:
        """The PNG: the one the TOML names, or the one `masks render-library` writes for this recipe and print."""
        plain = self.kind if self.pattern == "none" else f"{self.kind}-{self.pattern}"
        return self.toml.parent / (self.texture or f"textures/{plain}.png")

    @cached_property
    def levels(self) -> list[np.ndarray]:
        """The texture, then each smaller by half an octave: (H, W, 4) uint8, print/trim/relief/alpha or RGBA.

        Read from `texture_path`; a recipe whose PNG was not rendered yet is drawn on the spot.
        """
        from mfr_kit.masks import texture

        return texture.levels(self)

    @cached_property
    def rim(self) -> np.ndarray:
        """(N, 1, 3) float32 head points in mm around everything the texture paints, to find the region of a photo it touches."""
        from mfr_kit.masks import texture

        return texture.rim(self)

    def level(self, pixels_per_mm: float, blur: float = 0.0) -> int:
        """Choose the entry of `levels` for a face of this scale, and coarser by what a blur of that many pixels takes away."""
        levels = self.levels
        finest = levels[0].shape[1] / (self.box[2] - self.box[0])
        octaves = log2(finest / pixels_per_mm) + 0.2 + _OCTAVES_PER_BLUR * blur
        return min(max(round(octaves * LEVELS_PER_OCTAVE), 0), len(levels) - 1)


def read(path: Path) -> list[Look]:
    """Read a mask's TOML; returns its looks.

    Raises:
        KitError: unreadable, unknown key, no look, a colour that is not "#rrggbb", or neither texture nor recipe.
    """
    raw = read_toml(path, "the mask")
    _refuse_unknown(raw, _TABLES, path, "key")
    if not raw.get("look") or not raw.get("licence"):
        raise KitError(f"{path}: a mask needs a licence and at least one [[look]] with a name")
    _refuse_unknown(raw.get("fit", {}), set(Fit.__dataclass_fields__), path, "key in [fit]")
    values = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in raw.get("fit", {}).items()
    }
    fit = Fit(**values)
    return [_look(entry, raw, fit, path) for entry in raw["look"]]


def _look(entry: dict[str, Any], raw: dict[str, Any], fit: Fit, path: Path) -> Look:
    _refuse_unknown(entry, _LOOK, path, "key in [[look]]")
    if "name" not in entry:
        raise KitError(f"{path}: every [[look]] needs a name")
    if "texture" not in entry and "recipe" not in raw:
        raise KitError(
            f"{path}: look '{entry['name']}' has neither a texture (a PNG beside the TOML) nor a [recipe]"
        )
    if entry.get("mode", "palette") not in MODES:
        raise KitError(f"{path}: {unknown('mode', entry['mode'], list(MODES))}")
    colours = entry.get("colours", {})
    _refuse_unknown(colours, _COLOURS, path, "colour")
    parsed = {part: tuple(_rgb(text, path) for text in texts) for part, texts in colours.items()}
    rest = {
        key: entry[key]
        for key in ("pattern", "pattern_size", "texture", "mode", "weight", "noise", "flat")
        if key in entry
    }
    if "texture" in entry:
        rest |= {
            "mode": entry.get("mode", "colour"),
            "box": tuple(entry.get("box", (-fit.side, fit.top, fit.side, fit.bottom))),
        }
    return Look(
        entry["name"], raw.get("kind", path.stem), fit, path, raw.get("recipe", {}), parsed, **rest
    )


def _rgb(text: str, path: Path) -> tuple[int, int, int]:
    if text == "skin":
        return (-1, -1, -1)
    try:
        if len(text) != 7 or text[0] != "#":
            raise ValueError
        return (int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16))
    except (ValueError, TypeError):
        raise KitError(f"{path}: colour {text!r} is not of the form '#rrggbb'") from None


def _refuse_unknown(table: dict[str, Any], known: set[str], path: Path, what: str) -> None:
    for key in table:
        if key not in known:
            raise KitError(f"{path}: {unknown(what, key, sorted(known))}")
