"""Find plug-ins by folder: a new backbone, loss, protocol or feature format is one new file and
no list to edit.
"""

import importlib
import importlib.util
import itertools
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from mfr_kit.errors import KitError

LOOKED_AT = 10_000  # files beside one that is not there
SHORT = 4  # characters: of so few, half are enough to be alike


def names(package: str) -> list[str]:
    """List the plug-ins of a package (its modules without a leading underscore), sorted, without
    importing any.

    A module `mask_nonmask.py` is called `mask-nonmask` on the command line, in configs and here.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(package)
    folder = Path(next(iter(spec.submodule_search_locations)))
    return sorted(
        path.stem.replace("_", "-") for path in folder.glob("*.py") if not path.stem.startswith("_")
    )


def get(package: str, name: str) -> ModuleType:
    """Import the plug-in `name` of `package`.

    Raises:
        KitError: no file of that name; the message lists the names there are.
    """
    known = names(package)
    wanted = name.replace("_", "-")
    if wanted not in known:
        folder = package.rpartition(".")[2].replace("_", " ")
        kind = folder.removesuffix("es") if folder == "losses" else folder.removesuffix("s")
        raise KitError(unknown(kind, name, known))
    return importlib.import_module(f"{package}.{wanted.replace('-', '_')}")


def unknown(what: str, name: str, known: list[str]) -> str:
    """Word the complaint about a name that is not in a list, with the nearest match and the list
    itself.
    """
    return f"unknown {what} '{name}'.{_guess(nearest(name, known))} Known: {', '.join(known)}."


def near_path(path: Path | str, names: Sequence[str] = ()) -> str:
    """Word the guess at what was meant by a path where nothing lies, to end a message with:
    ". Did you mean 'b.toml'?", "" where nothing is alike.

    Args:
        path: of what is not there.
        names: that could stand in its place; else a file or folder beside it is looked for.
    """
    near = nearest(str(path), list(names))
    if near is None:
        folder = Path(path).parent
        try:
            beside = [entry.name for entry in itertools.islice(folder.iterdir(), LOOKED_AT)]
        except (OSError, ValueError):
            return ""
        name = nearest(Path(path).name, sorted(beside), least=0.8)
        near = str(folder / name) if name else None
    return f".{_guess(near)}" if near else ""


def _guess(near: str | None) -> str:
    return f" Did you mean '{near}'?" if near else ""


def nearest(name: str, known: list[str], least: float | None = None) -> str | None:
    """Find the name that was meant: the same but for case and dashes, the one of these initials
    (`lr` for `learning-rate`), or else the most alike; None where nothing is.

    Args:
        name: as it was given.
        known: what it could be.
        least: share of both names' characters that must agree, 0 to 1; 0.6 by default, half of a
            short name.
    """
    import difflib  # only a mistake pays for it

    plain = {_plain(entry): entry for entry in known}
    wanted = _plain(name)
    if wanted in plain:
        return plain[wanted]
    for entry, meant in plain.items():
        words = [word for word in entry.split("-") if word]
        if len(words) > 1 and "".join(word[0] for word in words) == wanted:
            return meant
    if least is None:
        least = 0.5 if len(wanted) <= SHORT else 0.6
    near = difflib.get_close_matches(wanted, plain, n=1, cutoff=least)
    return plain[near[0]] if near else None


def _plain(name: str) -> str:
    return name.casefold().replace("_", "-").strip("-")
