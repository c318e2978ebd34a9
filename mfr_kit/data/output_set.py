"""The files of one training set, made apart, proved, and moved into place together."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from mfr_kit import files
from mfr_kit.claims import claims_beside, sole
from mfr_kit.errors import KitError
from mfr_kit.paths import refuse_existing

SET, MOVES = "set", "moves.json"


@contextlib.contextmanager
def made_apart(dst: Path) -> Iterator[Path]:
    """Yield a path of the name of `dst` in a folder of its own; what the block writes there and
    beside it is moved beside `dst` when the block ends well, `dst` itself last. After a kill at any
    moment `dst` is there whole or not at all, and `take_back` clears away what is.

    Raises:
        KitError, OSError: what the block raises, with the names that were asked for.
    """
    with files.scratch(dst) as folder:
        made = folder / SET / dst.name
        made.parent.mkdir()
        try:
            with files.attributed_to(dst.parent, made.parent):
                yield made
        except KitError as error:
            text = str(error).replace(str(made.parent), str(dst.parent))
            error.args = (text, *error.args[1:])
            raise
        _move(folder, dst)


def _move(folder: Path, dst: Path) -> None:
    names = sorted(path.name for path in (folder / SET).iterdir())
    for name in names:
        if name != "property":
            refuse_existing(dst.with_name(name))
    if names == [dst.name]:
        files.move_into_place(folder / SET / dst.name, dst)
        return
    if "property" in names:  # of all .rec in a folder, which say the same: never taken back
        names.remove("property")
        if not dst.with_name("property").exists():
            files.move_into_place(folder / SET / "property", dst.with_name("property"))
    names = [*(name for name in names if name != dst.name), dst.name]
    files.write_json(folder / MOVES, names)
    moving = _moving(dst)
    try:
        files.move_into_place(folder, moving)  # from here on others know which files are whose
        for name in names:
            files.move_into_place(moving / SET / name, dst.with_name(name))
    finally:
        _take_back(dst)


def take_back(dst: Path) -> None:
    """Clear away what a killed command has left of `dst` and beside it: files whose set never got
    its name, and its claim.

    Raises:
        KitError: the command is alive.
    """
    if _moving(dst).exists() or claims_beside(dst).exists():
        busy = f"{dst}: another command is writing it: wait for it, or choose another name"
        with sole(claims_beside(dst), "set", f"writes {dst}", busy):
            _take_back(dst)


def _take_back(dst: Path) -> None:
    moving = _moving(dst)
    if (moving / MOVES).is_file() and (moving / SET / dst.name).exists():  # it did not come so far
        for name in json.loads((moving / MOVES).read_text(encoding="utf-8")):
            made, target = moving / SET / name, dst.with_name(name)
            if made.exists():
                continue
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
    shutil.rmtree(moving, ignore_errors=True)


def _moving(dst: Path) -> Path:
    return claims_beside(dst).with_suffix(".moving")
