"""Find plug-ins by folder: a new backbone, loss, protocol or feature format is one new file and
no list to edit.
"""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from mfr_kit.errors import KitError


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
        raise KitError(unknown(f"{package.rpartition('.')[2]} plug-in", name, known))
    return importlib.import_module(f"{package}.{wanted.replace('-', '_')}")


def unknown(what: str, name: str, known: list[str]) -> str:
    """Word the complaint about a name that is not in a list, with the nearest match and the list
    itself.
    """
    near = nearest(name, known)
    guess = f" Did you mean '{near}'?" if near else ""
    return f"unknown {what} '{name}'.{guess} Known: {', '.join(known)}."


def nearest(name: str, known: list[str]) -> str | None:
    """Find the name that was meant: the same but for case and dashes, the one of these initials
    (`lr` for `learning-rate`), or else the most alike; None where nothing is.
    """
    import difflib  # only a mistake pays for it

    plain = {entry.casefold().replace("_", "-"): entry for entry in known}
    wanted = name.casefold().replace("_", "-")
    if wanted in plain:
        return plain[wanted]
    for entry, meant in plain.items():
        words = [word for word in entry.split("-") if word]
        if len(words) > 1 and "".join(word[0] for word in words) == wanted.strip("-"):
            return meant
    near = difflib.get_close_matches(wanted, plain, n=1)
    return plain[near[0]] if near else None
