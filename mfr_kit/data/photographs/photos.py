"""List the photographs of a folder of people's folders, in an order that depends on nothing but
their names.
"""

import functools
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mfr_kit.data.photographs.face_names import fold, person_folder, stems
from mfr_kit.data.photographs.folder_tree import FolderTree, Skipped, is_writable_name, readable
from mfr_kit.errors import KitError

# A person's photographs may be sorted by condition, as in RMFRD: `person/bare/1.jpg`,
# `person/masked/2.jpg`.
CONDITION_FOLDERS = {
    "bare": "nonmask",
    "nonmask": "nonmask",
    "unmasked": "nonmask",
    "masked": "mask",
    "mask": "mask",
}
MOST_LEVELS = 5  # folder levels above a person's folder
NOT_WRITABLE = (
    "the name is not UTF-8 or has a control character: rename it (for names from a Chinese Windows:"
    " `convmv -r -f GBK -t UTF-8 --notest FOLDER`)"
)


@dataclass(frozen=True)
class Photo:
    """One file below a person's folder."""

    source: str  # path inside the folder of people, with /
    identity: str  # the person's folder
    condition: str  # "nonmask" or "mask" (a really masked face)
    stem: str  # path inside the face set, without suffix; unique
    reason: str = (
        ""  # why this is no photograph that can be read, as skipped.csv says it; "" for a file
    )
    detail: str = ""


@dataclass(frozen=True)
class People:
    """Who is in a folder of people's folders."""

    folder: Path
    level: int  # folder levels above a person's folder
    # name -> the person's folders inside `folder`; sorted by name
    homes: dict[str, tuple[str, ...]]
    beside: tuple[Skipped, ...]  # what is in nobody's folder

    def entries_of(self, person: str) -> Iterator[Photo]:
        """List everything of one person, at any depth, sorted: files, and with a `reason` what
        cannot be read.
        """
        tree, skipped, files = FolderTree(self.folder), [], []
        for home in self.homes[person]:
            listing = tree.walk(home)
            skipped += listing.skipped
            files += listing.files
        named = sorted(source for source in files if is_writable_name(source))
        skipped += (
            Skipped(source, "bad_name", NOT_WRITABLE)
            for source in files
            if not is_writable_name(source)
        )
        photos = [
            Photo(source, person, self._condition(source), stem)
            for source, stem in zip(named, self._stems(person, named), strict=True)
        ]
        photos += (
            Photo(readable(source), person, self._condition(source), "", reason, readable(detail))
            for source, reason, detail in skipped
        )
        yield from sorted(photos, key=lambda photo: photo.source)

    def photos_of(self, person: str) -> Iterator[Photo]:
        """List every file of one person, at any depth, sorted."""
        return (photo for photo in self.entries_of(person) if not photo.reason)

    def _stems(self, person: str, sources: list[str]) -> Iterator[str]:
        own = person_folder(person, self._first_of[fold(person)])
        return stems(own, sources, self.level, branches=len(self.homes[person]) > 1)

    @functools.cached_property
    def _first_of(self) -> dict[str, str]:
        """Folded name -> the first person of that name, of those whose names differ in case
        only.
        """
        return {fold(name): name for name in reversed(self.homes)}

    def _condition(self, source: str) -> str:
        """The last of a path's folders that names a condition decides; the person's own name is
        none.
        """
        *folders, _ = source.split("/")
        del folders[self.level : self.level + 1]
        for name in (*folders[self.level : self.level + 1], *folders[: self.level]):
            if name.lower() in CONDITION_FOLDERS:
                return CONDITION_FOLDERS[name.lower()]
        return "nonmask"


def find_people(folder: Path, level: int = 0) -> People:
    """Find the people's folders.

    Args:
        folder: holds one folder a person.
        level: how many folder levels lie above a person's folder: 1 for `folder/*/person`. A person
            of whom several of them hold a folder is one person; names are compared in Unicode's
            composed form.
    Raises:
        KitError: no such level or folder, or it cannot be listed; no person's folder in it whose
            name a list can hold; numbers that name people in several branches.
    """
    folder = Path(folder)
    if not 0 <= level <= MOST_LEVELS:
        raise KitError(f"--level must be 0 to {MOST_LEVELS}, not {level}")
    if not folder.is_dir():
        raise KitError(
            f"{folder} is not a folder: give a folder that holds one folder of photographs per "
            "person"
        )
    tree = FolderTree(folder)
    beside: list[Skipped] = []
    above = _descend(tree, level, beside)
    homes: dict[str, list[str]] = {}
    for home in sorted(above, key=lambda home: ((folder / home).is_symlink(), home)):
        if (repeated := tree.find_repeat(home)) is not None:
            beside.append(repeated)
        elif is_writable_name(home):
            name = unicodedata.normalize("NFC", home.rsplit("/", 1)[-1])
            homes.setdefault(name, []).append(home)
        else:
            beside += _unnamed(folder, home)
    _refuse_numbers(folder, homes, level)
    ordered = {name: tuple(sorted(homes[name])) for name in sorted(homes)}
    if not ordered:
        raise KitError(
            f"{readable(str(folder))}: no person's folder has a name that a list can hold; "
            f"{NOT_WRITABLE}"
        )
    beside = [
        Skipped(readable(source), reason, readable(detail)) for source, reason, detail in beside
    ]
    return People(folder, level, ordered, tuple(sorted(beside)))


def _descend(tree: FolderTree, level: int, beside: list[Skipped]) -> list[str]:
    """List the folders at a level; what lies above them and is no folder goes to `beside`."""
    above = [""]
    for depth in range(level + 1):
        below = []
        for inner in above:
            listing = tree.list_folder(inner)
            if not inner and listing.skipped and listing.skipped[0].source == "":
                raise KitError(f"{tree.root} cannot be listed ({listing.skipped[0].detail})")
            below += listing.folders
            beside += listing.skipped
            beside += (
                Skipped(name, "no_person", "not in a person's folder") for name in listing.files
            )
        above = below
        if not above:
            raise KitError(
                f"{tree.root} holds no folders"
                + (f" {depth + 1} levels down: --level {level} is too much" if depth else "")
                + ": put the photographs of each person into a folder of their own, named "
                "after the "
                "person"
            )
    return above


def choose_people(found: People, people: Iterable[str] | None = None) -> list[str]:
    """Keep those that are asked for, sorted.

    Raises:
        KitError: none of them is there.
    """
    wanted = None if people is None else set(people)
    chosen = [person for person in found.homes if wanted is None or person in wanted]
    if not chosen:
        first = min(wanted or ())
        raise KitError(
            f"none of the {len(wanted or ())} people asked for has a folder in {found.folder} "
            f"(the first is '{first}')"
        )
    return chosen


def list_photos(folder: Path, people: set[str] | None = None, level: int = 0) -> Iterator[Photo]:
    """List every file of a folder of people's folders, sorted, one person in memory at a time.

    Files below the people's folders count at any depth, files beside them do not.

    Args:
        folder: holds one folder a person.
        people: keep only these.
        level: see `find_people`.
    Raises:
        KitError: as `find_people` and `choose_people`.
    """
    found = find_people(folder, level)
    return (photo for name in choose_people(found, people) for photo in found.photos_of(name))


def list_entries(folder: Path, people: set[str] | None = None, level: int = 0) -> Iterator[Photo]:
    """List a folder of people's folders whole: as `list_photos`, and with a `reason` everything
    that is no file of a person.
    """
    found = find_people(folder, level)
    for name in choose_people(found, people):
        yield from found.entries_of(name)
    if people is None:
        yield from (
            Photo(item.source, "", "", "", item.reason, item.detail) for item in found.beside
        )


def strays(folder: Path, level: int = 0) -> list[str]:
    """Name the files beside the people's folders: whose they are is not known."""
    return [item.source for item in find_people(folder, level).beside if item.reason == "no_person"]


def _unnamed(folder: Path, home: str) -> Iterator[Skipped]:
    """Rows for a folder whose name cannot stand in a list: of whom its photographs are cannot be
    written down.
    """
    listing = FolderTree(folder).walk(home)
    yield from listing.skipped
    yield from (Skipped(source, "bad_name", NOT_WRITABLE) for source in listing.files)


def _refuse_numbers(folder: Path, homes: dict[str, list[str]], level: int) -> None:
    twice = [name for name, own in homes.items() if len(own) > 1 and name.isdigit()]
    if level and twice:
        first, second = homes[twice[0]][:2]
        raise KitError(
            f"{folder}: --level {level} makes one person of {first} and {second}, and numbers "
            "name other people in another branch;"
            f" rename them, or work on each branch apart ({len(twice)} numbers are in several)"
        )
