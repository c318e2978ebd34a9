"""The mask library: every TOML in a folder, drawn from with the frequencies of its mix.toml."""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfr_kit import shipped
from mfr_kit.errors import KitError
from mfr_kit.files import sha256_of
from mfr_kit.masks import template, texture, variation
from mfr_kit.masks.template import Look
from mfr_kit.registry import unknown

FOLDER = shipped.folder("masks")
MIX = "mix.toml"


@dataclass(frozen=True)
class Mask:
    """One mask as one sample wears it: a look and the parameters drawn for it (JSON-able,
    complete; see `variation.draw`).
    """

    look: Look
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Library:
    """The looks that may be drawn, each with its share of all samples."""

    looks: dict[str, Look]
    shares: dict[str, float]
    mix: variation.Mix

    def draw(self, rng: np.random.Generator) -> Mask:
        """Draw a look by its share, and everything that varies about it.

        Args:
            rng: the sample's generator (`seeding.rng_for`).
        """
        look = self.looks[variation.choose(self.shares, rng.random())]
        return Mask(look, variation.draw(look, self.mix, rng))

    def replay(self, parameters: dict[str, Any]) -> Mask:
        """Rebuild the mask that `draw` gave from its parameters.

        Raises:
            KitError: the look is not in this library, or a parameter is missing or no number.
        """
        name = parameters.get("look") if isinstance(parameters, dict) else parameters
        if not isinstance(name, str) or name not in self.looks:
            raise KitError(unknown("mask look", str(name), sorted(self.looks)))
        variation.check(parameters)
        return Mask(self.looks[parameters["look"]], dict(parameters))

    def preload(self) -> "Library":
        """Read every texture now instead of at its first use, so that processes forked
        afterwards share one copy; returns itself.
        """
        for look in self.looks.values():
            _ = look.levels, look.rim, look.fit.sections.ellipses
        return self

    @property
    def kinds(self) -> list[str]:
        """The kinds its looks belong to, sorted."""
        return sorted({look.kind for look in self.looks.values()})


def names(folder: Path | None = None) -> list[str]:
    """List the looks of a folder (default: the repository's masks/), sorted; what `--masks`
    takes, beside names of kinds.
    """
    return sorted(looks(folder))


def load(
    names: list[str] | None = None, folder: Path | None = None, mix: Path | None = None
) -> Library:
    """Load a library.

    Args:
        names: looks or kinds to draw from; by default all that mix.toml gives a frequency above 0.
            What is named is drawn even if mix.toml never would: then all that is named is equally
            likely when mix.toml gives none of it a frequency.
        folder: where the TOMLs and mix.toml lie (default: the repository's masks/; a folder without
            mix.toml uses that one's).
        mix: a TOML whose entries go over those of the folder's mix.toml.
    Raises:
        KitError: no such folder or look, or a TOML that does not fit.
    """
    folder = Path(folder or FOLDER)
    chosen = looks(folder)
    has_mix = mix is not None or (folder / MIX).exists()
    mixed = _read_mixes(folder, chosen, mix)
    if names is not None:
        chosen = _named(chosen, names, folder)
    shares = _shares(chosen, mixed)
    if names is None:
        frequencies = [mixed.kinds.get(look.kind, 1.0) * look.weight for look in chosen.values()]
        if has_mix and not any(frequencies):
            raise KitError(f"{folder}: every kind has frequency 0 in {MIX}: nothing to draw from")
        chosen = {name: look for name, look in chosen.items() if shares[name] > 0}
    return Library(chosen, {name: share for name, share in shares.items() if name in chosen}, mixed)


def load_cached(names: list[str] | None = None, folder: str | Path | None = None) -> Library:
    """Load a library, or take the one of before if no file of it changed: a replay builds its
    transforms anew each time.

    Raises:
        KitError: as `load`.
    """
    home = Path(folder) if folder else FOLDER
    stamps = []
    for path in [*sorted(home.rglob("*")), FOLDER / MIX]:
        found = path.lstat()
        stamps.append((str(path), found.st_mtime_ns, found.st_size))
    return _load_as_of(None if names is None else tuple(names), home, tuple(stamps))


@functools.lru_cache(maxsize=4)
def _load_as_of(
    names: tuple[str, ...] | None, folder: Path, stamps: tuple[tuple[str, int, int], ...]
) -> Library:
    return load(None if names is None else list(names), folder)


def fingerprint(folder: Path | None = None, mix: Path | None = None) -> str:
    """SHA-256 over the content of what `load` reads with these arguments, wherever it lies."""
    folder = Path(folder or FOLDER)
    files = sorted(path for path in folder.rglob("[!.]*") if path.is_file())
    read = {path.relative_to(folder).as_posix(): path for path in files}
    read.setdefault(MIX, FOLDER / MIX)
    if mix is not None:
        read["--mask-mix"] = Path(mix)
    digest = hashlib.sha256()
    for name, path in read.items():
        digest.update(f"{name} {sha256_of(path)}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _read_mixes(folder: Path, chosen: dict[str, Look], own: Path | None) -> variation.Mix:
    """Read the folder's mix.toml, or else the kit's, and what goes over it; kinds that neither
    folder nor kit has are refused.
    """
    shipped, beside = FOLDER / MIX, folder / MIX
    own_kinds = {look.kind for look in chosen.values()}
    if beside.exists() and beside.samefile(shipped):
        usual, kinds = variation.read_mix(shipped, kinds=own_kinds), own_kinds
    else:
        usual = variation.read_mix(shipped)
        kinds = own_kinds | set(usual.kinds)
        usual = variation.read_mix(beside, kinds=kinds) if beside.exists() else usual
    return usual if own is None else variation.read_mix(own, usual, kinds)


def _named(chosen: dict[str, Look], names: list[str], folder: Path) -> dict[str, Look]:
    """Keep the looks that are named, by themselves or by their kind."""
    if not names:
        raise KitError("no mask to draw from: name at least one (kit.py masks list)")
    kinds = {look.kind for look in chosen.values()}
    for name in names:
        if "," in name and name not in chosen:
            parts = " ".join(f"--masks {part.strip()}" for part in name.split(","))
            raise KitError(f"masks '{name}': give each a flag of its own, {parts}")
        if name not in chosen and name not in kinds:
            raise KitError(f"{folder}: {unknown('mask', name, sorted(kinds | set(chosen)))}")
    return {name: look for name, look in chosen.items() if name in names or look.kind in names}


def _shares(chosen: dict[str, Look], mix: variation.Mix) -> dict[str, float]:
    """Split each kind's frequency among its looks by weight; a kind that mix.toml does not know
    gets 1.
    """
    totals: dict[str, float] = {}
    for look in chosen.values():
        totals[look.kind] = totals.get(look.kind, 0.0) + look.weight
    raw = {
        name: mix.kinds.get(look.kind, 1.0) * look.weight / max(totals[look.kind], 1e-9)
        for name, look in chosen.items()
    }
    if sum(raw.values()) <= 0:
        raw = dict.fromkeys(raw, 1.0)
    return {name: share / sum(raw.values()) for name, share in raw.items()}


def looks(folder: Path | None = None) -> dict[str, Look]:
    """Read every TOML of a folder (default: the repository's masks/); returns its looks by name.

    Raises:
        KitError: no such folder, none in it, a TOML or a picture that does not fit, a name used
            twice, or one texture drawn twice.
    """
    folder = Path(folder or FOLDER)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise KitError(f"no folder of masks at {folder}: it {what}")
    found: dict[str, Look] = {}
    painters: dict[Path, Look] = {}
    for path in _tomls(folder):
        for look in template.read(path):
            if look.name in found:
                other = found[look.name].toml.name
                raise KitError(
                    f"{path}: the look '{look.name}' exists already, in {other}; names are "
                    "unique in a library"
                )
            found[look.name] = look
            if look.texture:
                texture.check(look)
            elif painters.setdefault(look.texture_path, look).toml != path:
                other = painters[look.texture_path].toml.name
                raise KitError(
                    f"{path}: kind '{look.kind}' is drawn by {other} already, into "
                    f"{look.texture_path.name}; give "
                    "this one a kind of its own"
                )
    return found


def _tomls(folder: Path) -> list[Path]:
    """List the masks of a folder; what begins with a dot (macOS writes such) is none."""
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() == ".toml" and path.name != MIX and not path.name.startswith(".")
    )
    if not paths:
        raise KitError(
            f"{folder} holds no mask: a mask is a TOML in it, see docs/extend/add_a_mask.md"
        )
    return paths
