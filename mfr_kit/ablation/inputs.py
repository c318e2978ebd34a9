"""The files that a cell rests on, by content: its key names them by path, and what lies there may
have been replaced.

A record and a run folder keep the digests; those of an earlier kit have none and are not compared.
"""

import functools
import hashlib
from pathlib import Path

from mfr_kit.data import lists
from mfr_kit.errors import KitError
from mfr_kit.files import sha256_of, write_json
from mfr_kit.masks import library
from mfr_kit.models.identity import fingerprint_files
from mfr_kit.records import read_json

INPUTS = "inputs.json"  # in a run folder


def digests_of_teacher(teacher: str) -> dict[str, str]:
    """Digest what the teacher's row is made from: the model.

    Raises:
        KitError: a file that is not there or cannot be read.
    """
    return {"teacher": _of_model(teacher)}


def digests_of_run(
    teacher: str,
    init: str,
    people: dict[str, list[Path]],
    mask_folder: Path | None,
    mask_mix: Path | None,
    drift_table: Path | None = None,
) -> dict[str, str]:
    """Digest what a trained cell is made from.

    Args:
        teacher: of the table.
        init: the run's initial weights: "random", "teacher", or a model.
        people: its lists of names, by option; an option without lists is left out.
        mask_folder: None for the kit's own.
        mask_mix: None for the folder's.
        drift_table: None for the set's own twins.
    Returns:
        Hex digits by the name of the option.
    Raises:
        KitError: a file that is not there or cannot be read.
    """
    found = digests_of_teacher(teacher)
    if init not in ("random", "teacher"):
        found["init"] = _of_model(init)
    for name, paths in people.items():
        if paths:
            names = sorted({person for path in paths for person in lists.read_names(path)})
            found[name] = hashlib.sha256("\n".join(names).encode()).hexdigest()
    if mask_folder or mask_mix:
        found["masks"] = library.fingerprint(mask_folder, mask_mix)
    if drift_table:
        found["drift_table"] = sha256_of(drift_table)
    return found


@functools.cache
def _of_model(spec: str) -> str:
    """A table asks for the same few models in every cell."""
    return fingerprint_files(spec)


def changed(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Name the inputs that are others now."""
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))


def expect_same(folder: Path, now: dict[str, str]) -> None:
    """Refuse a run that was made from other files.

    Raises:
        KitError: names the options.
    """
    path = folder / INPUTS
    if not path.is_file():
        return
    other = changed(read_json(path, {...: str}, f"delete {folder}"), now)
    if other:
        raise KitError(
            f"{folder} was made from other files under the same paths ({', '.join(other)}): "
            "delete it to make it again, or put the former files back"
        )


def store(folder: Path, now: dict[str, str]) -> None:
    """Write beside a run what it is made from."""
    write_json(folder / INPUTS, now)
