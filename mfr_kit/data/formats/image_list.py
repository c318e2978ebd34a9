"""A text file that lists photographs: `path <tab or space> label` a line (.txt), or mxnet's `number
<tab> label <tab> path` (.lst).

Paths are relative to the list's folder. Labels of a .lst are numbers, "0" and "0.0" are one person;
those of a .txt are names, letter by letter, unless `train.txt.people.txt` beside it names the
labels 0, 1, 2 ... line by line.
"""

import os
from pathlib import Path

import numpy as np

from mfr_kit import files
from mfr_kit.data.formats._list_rows import split_rows
from mfr_kit.data.formats._names import people_file, read_names, refuse_names, write_names
from mfr_kit.data.named_files import refuse_outside
from mfr_kit.data.photographs.layout import lay_out
from mfr_kit.data.photographs.masked_names import says_masked
from mfr_kit.data.text_lines import read_lines
from mfr_kit.data.training_set import Files, TrainingSet, from_names
from mfr_kit.errors import KitError


def recognises(path: Path) -> bool:
    """A .txt or .lst file."""
    return path.suffix.lower() in (".txt", ".lst")


def open_set(path: Path, allow_outside: bool = False) -> TrainingSet:
    """Read the list; with `allow_outside` its photographs lie where it says, else below its folder.

    Raises:
        KitError: unreadable, empty, a line of another shape, a photograph outside of the list's
            folder, or a number that `train.txt.people.txt` has no line for.
    """
    rows = split_rows(path, read_lines(path, "the image list"), path.suffix.lower() == ".lst")
    names = [
        name.replace("\\", "/") if _is_from_windows(path, name) else name for _, name, _ in rows
    ]
    if not allow_outside:
        numbers = (number for number, _, _ in rows)
        refuse_outside(zip(numbers, names, strict=True), path.parent, path)
    labels = [label for _, _, label in rows]
    people = _people(path, labels)
    if people is not None:
        labels = [people[_row_of(path, number, label, people)] for number, _, label in rows]
    inner = [name.removeprefix(f"{path.stem}/") for name in names]
    masked = np.array(
        [says_masked(name, label) for name, label in zip(inner, labels, strict=True)], bool
    )
    return from_names(path, labels, names, Files(path.parent, names, path, allow_outside), masked)


def outputs(path: Path) -> list[Path]:
    """Name what `write_set` makes."""
    return [path, path.with_suffix(""), people_file(path)]


def write_set(path: Path, source: TrainingSet) -> None:
    """Write the photographs to `<person>/<name>` in a folder `STEM` beside the list, then the list
    with labels 0, 1, 2 ...

    Raises:
        KitError: a name that a line of text cannot hold.
    """
    present = [source.people[label] for label in np.unique(source.labels)]
    refuse_names(present, source.path)
    refuse_names([path.stem, *source.names], source.path)
    folder = path.with_suffix("")
    people: list[str] = []
    rows = []
    with files.building(folder) as temporary:
        for _, person, name, data in lay_out(source):
            if not people or people[-1] != person:
                people.append(person)
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            rows.append((f"{folder.name}/{name}", len(people) - 1))
    write_names(path, people)
    plain = path.suffix.lower() != ".lst"
    lines = [
        f"{name}\t{label}\n" if plain else f"{number}\t{label}\t{name}\n"
        for number, (name, label) in enumerate(rows)
    ]
    files.write_text(path, "".join(lines))


def _is_from_windows(path: Path, name: str) -> bool:
    """Whether a path with \\ was written on Windows: no such file is here, but one with / is."""
    return (
        "\\" in name
        and not os.path.exists(path.parent / name)
        and os.path.exists(path.parent / name.replace("\\", "/"))
    )


def _people(path: Path, labels: list[str]) -> list[str] | None:
    """Find the names of the labels: in the list's own file, or in the one that older lists
    shared with a .rec.
    """
    own = read_names(path)
    shared = path.with_suffix(".rec")
    if own is not None or not shared.with_suffix(".people.txt").is_file():
        return own
    names = read_names(shared)
    count = len(names or ())
    if not shared.exists():
        return names
    if all(_is_row(label) and int(label) < count for label in set(labels)):
        raise KitError(
            f"{path}: {shared.stem}.people.txt belongs to {shared.name} and may name these "
            "labels or not: "
            f"copy it to {people_file(path).name} if it does, else rename the list"
        )
    return None


def _is_row(label: str) -> bool:
    return label.isascii() and label.isdigit() and len(label) < 19 and str(int(label)) == label


def _row_of(path: Path, number: int, label: str, people: list[str]) -> int:
    if not _is_row(label) or int(label) >= len(people):
        raise KitError(
            f"{path}: line {number}: label {label[:40]!r}, but its .people.txt names "
            f"{len(people)} people (labels 0 .. {len(people) - 1})"
        )
    return int(label)
