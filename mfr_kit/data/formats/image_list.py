"""A text file that lists photographs: `path <tab or space> label` a line, or mxnet's `.lst` with `number <tab> label <tab> path`.

Paths are relative to the list's folder; `STEM.people.txt` beside it, where there is one, names the labels 0, 1, 2 ... line by line.
"""

import os
import shutil
from pathlib import Path

from mfr_kit.data.formats._names import read_names, write_names
from mfr_kit.data.training_set import Files, TrainingSet, from_names, lay_out
from mfr_kit.errors import KitError


def recognises(path: Path) -> bool:
    """A .txt or .lst file."""
    return path.suffix.lower() in (".txt", ".lst")


def open_set(path: Path) -> TrainingSet:
    """Read the list; labels may be numbers or names.

    Raises:
        KitError: unreadable, empty, a line of another shape, or a number that `STEM.people.txt` has no line for.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise KitError(f"cannot read the image list {path}: {error}") from None
    rows = [_row(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise KitError(f"the image list {path} is empty")
    names, labels = [name for name, _ in rows], [label for _, label in rows]
    people = read_names(path)
    if people:
        wrong = next(
            (label for label in labels if not (label.isdigit() and int(label) < len(people))), None
        )
        if wrong is not None:
            raise KitError(
                f"{path}: label {wrong!r}, but its .people.txt names {len(people)} people (labels 0 .. {len(people) - 1})"
            )
        labels = [people[int(label)] for label in labels]
    return from_names(path, labels, names, Files(path.parent, names, path))


def write_set(path: Path, source: TrainingSet) -> None:
    """Write the photographs to `<person>/<name>` in a folder `STEM` beside the list, then the list with labels 0, 1, 2 ..."""
    folder = path.with_suffix("")
    if folder.exists():
        raise KitError(
            f"{folder} exists already (the photographs of {path.name} would go there): choose another name or delete it"
        )
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    people, lines = [], []
    try:
        for _, person, name, data in lay_out(source):
            if not people or people[-1] != person:
                people.append(person)
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            lines.append(f"{folder.name}/{name}\t{len(people) - 1}\n")
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    write_names(path, people)
    listing = path.with_name(f".{path.name}.{os.getpid()}.part")
    listing.write_text("".join(lines), encoding="utf-8")
    os.replace(listing, path)


def _row(path: Path, number: int, line: str) -> tuple[str, str]:
    fields = line.rstrip("\r\n").split("\t")
    if len(fields) == 3:  # mxnet: number, label (written as a float), path
        label = fields[1]
        return fields[2], str(int(float(label))) if label.replace(".", "", 1).isdigit() else label
    if len(fields) == 1:
        fields = line.strip().rsplit(" ", 1)
    if len(fields) != 2 or not all(field.strip() for field in fields):
        raise KitError(f"{path}: line {number}: `path <tab> label` expected, found {line[:60]!r}")
    return fields[0].strip(), fields[1].strip()
