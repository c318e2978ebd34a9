"""One kind of mask as its TOML describes it: where it sits, the looks it comes in, and its
texture at several sizes.
"""

from dataclasses import dataclass, field
from functools import cached_property
from math import log2
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.masks import fields, head, recipe
from mfr_kit.options import read_toml
from mfr_kit.registry import unknown

# Bilinear sampling of a texture coarser by an octave looks like a blur of about one pixel.
_OCTAVES_PER_BLUR = 1.0
# Millimetres: worn under the nose the upper edge lies at up to 59, and the lower edge 6 above its
# usual place.
_UNDER_NOSE = 75.0


@dataclass(frozen=True)
class Fit:
    """Where a mask sits on the chart, in mm: upper edge over the nose, lower edge at the chin, side
    edge; and its bulk.

    `bulge` is how far it stands off the face at height `bulge_height`, fading over `bulge_spread`;
    `draped` cloth falls to the neck. `styles` are the ways it can be worn.
    """

    top: float = 16.0
    bottom: float = 120.0
    side: float = 74.0
    bulge: float = 3.0
    bulge_height: float = 62.0
    bulge_spread: float = 30.0
    draped: bool = False
    styles: tuple[str, ...] = fields.STYLES

    @cached_property
    def sections(self) -> head.Sections:
        """The head's cross-sections with this mask on."""
        return head.sections(self.draped, self.bulge, self.bulge_height, self.bulge_spread)


@dataclass(frozen=True)
class Look:
    """One look of a kind: its texture and the colours it may take.

    `colours` maps base, print and trim to lists of RGB triples, one of which is drawn per sample.
    Mode `palette` textures hold print, trim, relief and alpha; mode `colour` textures are ordinary
    RGBA pictures. `box` is what the texture covers, in chart mm. `toml` is the file that describes
    it. `flat` looks take neither light nor shadow; `noise` is the grain laid over them, a standard
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
    box: tuple[float, float, float, float] = fields.BOX
    weight: float = 1.0
    noise: float = 0.0
    flat: bool = False

    @property
    def texture_path(self) -> Path:
        """The PNG: the one the TOML names, or the one `masks render-library` writes for this
        recipe and print.
        """
        plain = self.kind if self.pattern == "none" else f"{self.kind}-{self.pattern}"
        return self.toml.parent / (self.texture or f"textures/{plain}.png")

    @cached_property
    def levels(self) -> list[np.ndarray]:
        """The texture, then each smaller by half an octave: (H, W, 4) uint8,
        print/trim/relief/alpha or RGBA.

        Read from `texture_path`; a recipe whose PNG was not rendered yet is drawn on the spot.
        """
        from mfr_kit.masks import texture

        return texture.levels(self)

    @cached_property
    def rim(self) -> np.ndarray:
        """(N, 1, 3) float32 head points in mm around everything the texture paints, to find the
        region of a photo it touches.
        """
        from mfr_kit.masks import texture

        return texture.rim(self)

    def level(self, pixels_per_mm: float, blur: float = 0.0) -> int:
        """Choose the entry of `levels` for a face of this scale, and coarser by what a blur of
        that many pixels takes away.
        """
        from mfr_kit.masks import texture

        levels = self.levels
        finest = levels[0].shape[1] / (self.box[2] - self.box[0])
        octaves = log2(finest / pixels_per_mm) + 0.2 + _OCTAVES_PER_BLUR * blur
        return min(max(round(octaves * texture.LEVELS_PER_OCTAVE), 0), len(levels) - 1)


def read(path: Path) -> list[Look]:
    """Read a mask's TOML; returns its looks.

    Raises:
        KitError: unreadable, no look, neither texture nor recipe, a key that is unknown or has no
            effect, or a value of the wrong type or out of its range (fields.py); the error names
            file, look and key.
    """
    raw = read_toml(path, "the mask")
    tables = {"fit", "recipe", "look"}
    unknown_keys = [key for key in raw if key not in fields.MASK and key not in tables]
    if unknown_keys:
        known = sorted({*fields.MASK, *tables})
        raise KitError(f"{path}: {unknown('key', unknown_keys[0], known)}")
    fields.check({key: raw[key] for key in raw if key not in tables}, fields.MASK, str(path))
    fields.Name().check(raw.setdefault("kind", path.stem), f"{path}: kind (else the file's name)")
    entries = raw.get("look")
    if not entries or "licence" not in raw:
        raise KitError(f"{path}: a mask needs a licence and at least one [[look]] with a name")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise KitError(
            f"{path}: looks are written [[look]], with two brackets, each followed by its keys"
        )
    fit = _fit(raw.get("fit", {}), path)
    if "recipe" in raw:
        recipe.check(raw["recipe"], f"{path}: [recipe]")
    looks = [_look(entry, raw, fit, path) for entry in entries]
    _refuse_one_texture_for_two(looks, path)
    if not any(look.weight for look in looks):
        raise KitError(
            f"{path}: weight is 0 in every [[look]]; to leave a kind out give it 0 in [kinds] of "
            "mix.toml"
        )
    return looks


def _fit(raw: dict[str, Any], path: Path) -> Fit:
    fields.check(raw, fields.FIT, f"{path}: [fit]", "key in [fit]")
    values = {key: _plain(value) for key, value in raw.items()}
    fit = Fit(**values)
    fields.check_height(fit.top, fit.bottom, f"{path}: [fit]")
    if "under_nose" in fit.styles and fit.bottom < _UNDER_NOSE:
        raise KitError(
            f"{path}: [fit]: a mask that ends at {fit.bottom:g} mm cannot be worn under the nose "
            "(bottom at "
            f"{_UNDER_NOSE:g} or lower): give styles without 'under_nose', for instance styles = "
            '["right"]'
        )
    return fit


def _look(entry: dict[str, Any], raw: dict[str, Any], fit: Fit, path: Path) -> Look:
    if "name" not in entry:
        raise KitError(f"{path}: every [[look]] needs a name")
    where = f"{path}: look {fields.shorten(entry['name'])}"
    colours = entry.get("colours", {})
    plain = {key: value for key, value in entry.items() if key != "colours"}
    if unknown_keys := [key for key in plain if key not in fields.LOOK]:
        known = sorted({*fields.LOOK, "colours"})
        raise KitError(f"{where}: {unknown('key in [[look]]', unknown_keys[0], known)}")
    fields.check(plain, fields.LOOK, where, "key in [[look]]")
    fields.check(colours, fields.COLOURS, f"{where}: colours", "colour")
    if "texture" not in entry and "recipe" not in raw:
        raise KitError(f"{where} has neither a texture (a PNG beside the TOML) nor a [recipe]")
    values = {key: _plain(value) for key, value in plain.items()}
    if "texture" in entry:
        values = _with_picture(values, fit, where)
    _refuse_without_effect(values, colours, where)
    parsed = {part: tuple(_rgb(text) for text in texts) for part, texts in colours.items()}
    return Look(
        kind=raw["kind"],
        fit=fit,
        toml=path,
        recipe=raw.get("recipe", {}),
        colours=parsed,
        **values,
    )


def _with_picture(values: dict[str, Any], fit: Fit, where: str) -> dict[str, Any]:
    """Fill in what a look with a picture of its own means where it says nothing, and check where
    the picture lies.
    """
    body = (-fit.side, fit.top, fit.side, fit.bottom)
    values = {"mode": "colour", "box": body} | values
    fields.check_box(list(values["box"]), list(body), where)
    texture = PurePosixPath(values["texture"].replace("\\", "/"))
    if texture.is_absolute() or ".." in texture.parts or PureWindowsPath(texture).drive:
        raise KitError(
            f"{where}: texture must lie in the folder of the TOML or below it, not "
            f"{values['texture']!r}"
        )
    return values | {"texture": str(texture)}


def _refuse_without_effect(values: dict[str, Any], colours: dict, where: str) -> None:
    """Refuse keys that would be read and then change nothing."""
    picture = "texture" in values
    for key in ("mode", "box"):
        if key in values and not picture and values[key] != "palette":
            raise KitError(f"{where}: {key} is for looks with a texture of their own")
    for key in ("pattern", "pattern_size"):
        if key in values and picture and values[key] != "none":
            raise KitError(
                f"{where}: {key} is for looks drawn from a [recipe], this one has a texture"
            )
    if colours and picture and values["mode"] == "colour":
        raise KitError(
            f"{where}: colours are for looks drawn from a [recipe] and for textures of mode "
            "'palette'"
        )


def _refuse_one_texture_for_two(looks: list[Look], path: Path) -> None:
    """Refuse one print in two sizes: both would be drawn into one file."""
    sizes: dict[Path, Look] = {}
    for look in looks:
        if look.texture:
            continue
        other = sizes.setdefault(look.texture_path, look)
        if other.pattern_size != look.pattern_size and look.pattern != "none":
            raise KitError(
                f"{path}: looks '{other.name}' and '{look.name}' ask for the pattern "
                f"'{look.pattern}' in two sizes "
                f"({other.pattern_size:g} and {look.pattern_size:g} mm): put one into a TOML of "
                "another kind"
            )


def _plain(value: Any) -> Any:
    """Numbers as float and lists as tuples."""
    if isinstance(value, list):
        return tuple(_plain(item) for item in value)
    return float(value) if type(value) is int else value


def _rgb(text: str) -> tuple[int, int, int]:
    if text == "skin":
        return (-1, -1, -1)
    return (int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16))
