"""What a network takes for a pixel, described once: names, and a free form for all others."""

import functools
import math
import re
from dataclasses import dataclass

from mfr_kit.errors import KitError
from mfr_kit.registry import unknown

ORDERS = ("rgb", "bgr")
LARGEST = 1e4  # of a mean or std: beyond it nothing is left of a pixel in half precision
FIELDS = ("mean", "std", "order")
FREE_FORM = "mean=M+std=S+order=rgb|bgr"
DESCRIPTIONS = (  # for the help of options that take one
    "minus1_to_1, raw_0_255, imagenet, bgr_minus1_to_1 ... or mean=M+std=S+order=rgb|bgr in units "
    "of pixels 0..255 (docs/reference/input_formats.md)."
)
Channels = tuple[float, float, float]


class InputUnknown(KitError):
    """A model's file does not say what it takes, and neither did the user."""


@dataclass(frozen=True)
class InputFormat:
    """What a network takes for a pixel: `(pixel - mean) / std`, its channels in `order`.

    Size and layout are not here: faces are 112x112, and an ONNX file's own input says whether
    channels come first or last.

    Args:
        order: "rgb" or "bgr", of the channels as the network gets them.
        mean: of each channel in that order, in pixel units 0..255.
        std: likewise, above 0.
    """

    order: str
    mean: Channels
    std: Channels

    @property
    def text(self) -> str:
        """Its name where it has one, else the free form; `parse` reads both back."""
        return _NAMES.get(self) or self.free_form

    @property
    def free_form(self) -> str:
        """The free form: `mean=123.7/116.3/103.5+std=58.4/57.1/57.4+order=rgb`."""
        return f"mean={_numbers(self.mean)}+std={_numbers(self.std)}+order={self.order}"

    @property
    def sentence(self) -> str:
        """For people: `(pixel - 127.5) / 127.5`, with `, BGR` behind it where that is so."""
        behind = ", BGR" if self.order == "bgr" else ""
        if self.is_pixels:
            return f"raw pixels 0..255{behind}"
        mean, std = (
            _numbers(values) if len(set(values)) == 1 else f"({_numbers(values)})"
            for values in (self.mean, self.std)
        )
        return f"(pixel - {mean}) / {std}{behind}"

    @property
    def is_pixels(self) -> bool:
        """Whether it leaves pixels 0..255 as they are, in either order."""
        return set(self.mean) == {0.0} and set(self.std) == {1.0}

    @property
    def numbers(self) -> tuple[float, float] | None:
        """Mean and std where all channels share them, else None."""
        if len(set(self.mean)) == len(set(self.std)) == 1:
            return self.mean[0], self.std[0]
        return None

    @property
    def rgb_numbers(self) -> tuple[float, float] | None:
        """Mean and std where they say it all: the channels share them and are RGB."""
        return self.numbers if self.order == "rgb" else None

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest number that a network can get."""
        pairs = list(zip(self.mean, self.std, strict=True))
        return (
            min((0 - mean) / std for mean, std in pairs),
            max((255 - mean) / std for mean, std in pairs),
        )


def _same(order: str, mean: float, std: float) -> InputFormat:
    return InputFormat(order, (mean,) * 3, (std,) * 3)


USUAL = "minus1_to_1"  # what the kit's own networks take
PIXELS = "raw_0_255"  # what a graph takes that normalises by itself
# by the name that a user gives; metadata, banks and caches hold these names
NORMALISATIONS = {
    USUAL: _same("rgb", 127.5, 127.5),
    PIXELS: _same("rgb", 0, 1),
    "imagenet": InputFormat("rgb", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "minus1_to_1_by_128": _same("rgb", 127.5, 128),
    "zero_to_1": _same("rgb", 0, 255),
    "bgr_minus1_to_1": _same("bgr", 127.5, 127.5),
    "bgr_raw_0_255": _same("bgr", 0, 1),
    "bgr_imagenet": InputFormat("bgr", (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)),
    "bgr_minus1_to_1_by_128": _same("bgr", 127.5, 128),
    "bgr_zero_to_1": _same("bgr", 0, 255),
}
ALIASES = {"facenet": "minus1_to_1_by_128"}  # its fixed standardisation
_NAMES = {form: name for name, form in NORMALISATIONS.items()}


@functools.lru_cache(maxsize=256)
def parse(text: str, what: str = "value for --normalisation") -> InputFormat:
    """Read a description of a network's input.

    Args:
        text: one of `NORMALISATIONS`, or the free form `mean=M+std=S+order=rgb`, in pixel units
            0..255: one number for all channels or three with `/` between them, in the order that
            the network gets them. What is left out is mean 0, std 1, order rgb. Commas serve for
            `+` and `/` too, where no ensemble is written.
        what: what the complaint calls it.
    Raises:
        KitError: an unknown name or key, a key twice, not one or three numbers, or a std that is
            not above 0.
    """
    text = ALIASES.get(text, text)
    if text in NORMALISATIONS:
        return NORMALISATIONS[text]
    if "=" not in text:
        raise KitError(unknown(what, text, [*NORMALISATIONS, FREE_FORM]))
    where = f"{what} '{text}'"
    given = _fields(text, where)
    order = "/".join(given.get("order", ["rgb"])).lower()
    if order not in ORDERS:
        raise KitError(f"{where}: {unknown('order', order, list(ORDERS))}")
    mean = _channels(given.get("mean", ["0"]), f"{where}: mean")
    std = _channels(given.get("std", ["1"]), f"{where}: std")
    if min(std) <= 0:
        raise KitError(f"{where}: std is what pixels are divided by, and must be above 0")
    return InputFormat(order, mean, std)


def _fields(text: str, where: str) -> dict[str, list[str]]:
    """Split the free form into its keys, each with one or several values."""
    given: dict[str, list[str]] = {}
    key = ""
    for piece in re.split(r"[+,]", text):
        name, sign, value = (part.strip() for part in piece.partition("="))
        if sign and name in given:
            raise KitError(f"{where}: {name} stands there twice")
        if sign and name not in FIELDS:
            raise KitError(f"{where}: {unknown('key', name, list(FIELDS))}")
        if not sign and not key:
            raise KitError(f"{where}: '{name}' is no key=value: write {FREE_FORM}")
        key = name if sign else key
        # without a key it is one more number, behind a comma
        given.setdefault(key, []).extend((value if sign else name).split("/"))
    return given


def canonical(text: str, what: str = "value for --normalisation") -> str:
    """Bring a description to the one text under which it is stored and compared.

    Raises:
        KitError: see `parse`.
    """
    return parse(text, what).text


def is_description(text: str) -> bool:
    """Whether `parse` reads it."""
    try:
        parse(text)
    except KitError:
        return False
    return True


def _channels(values: list[str], where: str) -> Channels:
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        numbers = []
    if not all(math.isfinite(number) and abs(number) <= LARGEST for number in numbers):
        numbers = []
    if len(numbers) not in (1, 3):
        raise KitError(
            f"{where} takes one number, or three with / between them, in pixel units 0..255"
        )
    first, second, third = numbers if len(numbers) == 3 else numbers * 3
    return first, second, third


def _numbers(values: Channels) -> str:
    shown = [repr(float(value)).removesuffix(".0") for value in values]
    return shown[0] if len(set(values)) == 1 else "/".join(shown)
