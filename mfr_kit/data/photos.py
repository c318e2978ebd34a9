"""List the photographs of a folder of people's folders, in an order that depends on nothing but their names."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mfr_kit.errors import KitError

# A person's photographs may be sorted by condition, as in RMFRD: `person/bare/1.jpg`, `person/masked/2.jpg`.
CONDITION_FOLDERS = {
    "bare": "nonmask",
    "nonmask": "nonmask",
    "unmasked": "nonmask",
    "masked": "mask",
    "mask": "mask",
}
TWIN = ".masked"  # ends the stem of a masked twin's image


@dataclass(frozen=True)
class Photo:
    """One file below a person's folder."""

    source: str  # path inside the folder of people, with /
    identity: str  # the person's folder
    condition: str  # "nonmask" or "mask" (a really masked face)
    stem: str  # path inside the face set, without suffix; unique


def list_people(folder: Path, people: set[str] | None = None) -> list[str]:
    """List the people's folders, sorted.

    Args:
        folder: holds one folder a person.
        people: keep only these.
    Raises:
        KitError: no such folder, no person's folder in it, or none of those asked for.
    """
    if not folder.is_dir():
        raise KitError(
            f"{folder} is not a folder: give a folder that holds one folder of photographs per person"
        )
    persons = sorted(
        item.name for item in folder.iterdir() if item.is_dir() and not item.name.startswith(".")
    )
    if not persons:
        raise KitError(
            f"{folder} holds no folders: put the photographs of each person into a folder of their own, named after the person"
        )
    chosen = [person for person in persons if people is None or person in people]
    if not chosen:
        first = min(people or ())
        raise KitError(
            f"none of the {len(people or ())} people asked for has a folder in {folder} (the first is '{first}')"
        )
    return chosen


def list_photos(folder: Path, people: set[str] | None = None) -> Iterator[Photo]:
    """List every file of a folder of people's folders, sorted, one person in memory at a time.

    Files below the people's folders count at any depth, files beside them do not; arguments and errors are those of `list_people`.
    """
    return (photo for person in list_people(folder, people) for photo in photos_of(folder, person))


def strays(folder: Path) -> list[str]:
    """Name the files beside the people's folders: whose they are is not known."""
    return sorted(item.name for item in folder.iterdir() if item.is_file())


def photos_of(folder: Path, person: str) -> Iterator[Photo]:
    """List every file of one person, at any depth, sorted."""
    files = sorted(
        item.relative_to(folder).as_posix()
        for item in (folder / person).rglob("*")
        if item.is_file()
    )
    stems = Counter(str(PurePosixPath(source).with_suffix("")).lower() for source in files)
    taken = {stem for stem, count in stems.items() if count == 1 and not stem.endswith(TWIN)}
    for source in files:
        path = PurePosixPath(source)
        stem = str(path.with_suffix(""))
        if stem.lower() not in taken or stems[stem.lower()] > 1:
            # a.jpg beside a.png must not become one face, nor A.jpg, where file systems fold case, nor a.masked.jpg the twin of a.jpg
            stem = str(path.with_name(path.name.replace(".", "_")))
            while stem.lower() in taken:
                stem += "_"
            taken.add(stem.lower())
        yield Photo(source, person, _condition(path), stem)


def _condition(path: PurePosixPath) -> str:
    return (
        CONDITION_FOLDERS.get(path.parts[1].lower(), "nonmask")
        if len(path.parts) > 2
        else "nonmask"
    )
