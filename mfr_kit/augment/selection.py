"""Which people and photographs of SRC an `augment` run works at: what its lists --people and
--exclude choose.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mfr_kit.data import lists
from mfr_kit.data.photographs.photos import People, find_people
from mfr_kit.errors import KitError


@dataclass(frozen=True)
class Selection:
    """Photographs of a folder of people's folders."""

    src: Path
    level: int | None = None  # folder levels above a person's; None: 0, where SRC allows
    people: Path | None = None  # list of names: only these
    exclude: Path | None = None  # list of photographs to leave out
    allow_unknown: bool = False  # names in the lists that match nothing are no error


def people_of(selection: Selection) -> People:
    """Everybody in SRC.

    Raises:
        KitError: no folder of people.
    """
    return find_people(selection.src, selection.level or 0)


def chosen_people(selection: Selection) -> list[str]:
    """The people that are asked for, sorted; a person's place in this list is the label in a
    `.rec`.

    Raises:
        KitError: no folder of people, or a list that names nobody or somebody who is not there
            (unless --allow-unknown).
    """
    choice = people_choice(selection)
    return list(people_of(selection).homes) if choice is None else sorted(choice.found)


def people_choice(selection: Selection) -> lists.Choice | None:
    """What --people chose among the folders of SRC; None without it."""
    if selection.people is None:
        return None
    everybody = list(people_of(selection).homes)
    choice = lists.choose(
        selection.people,
        everybody,
        "--people",
        where=str(selection.src),
        root=selection.src,
        allow_unknown=selection.allow_unknown,
    )
    if not choice.found:
        raise KitError(
            f"--people {selection.people}: none of its people has a folder in {selection.src}"
        )
    return choice


def share_of_people(selection: Selection, shares: list[tuple[Path, float]]) -> dict[str, float]:
    """Give each person of some lists the list's share.

    Raises:
        KitError: a list cannot be read, or names somebody who is not there (unless
            --allow-unknown) or who has another share already.
    """
    found: dict[str, float] = {}
    for path, share in shares:
        choice = lists.choose(
            path,
            list(people_of(selection).homes),
            "--ratio-people",
            where=str(selection.src),
            root=selection.src,
            allow_unknown=selection.allow_unknown,
        )
        lists.echo("ratio-people", [choice], f"{share:g} of their faces get a twin")
        for person in choice.found:
            if found.setdefault(person, share) != share:
                raise KitError(
                    f"--ratio-people {path}={share:g}: {person} is in another list with the "
                    f"share {found[person]:g}: take the name out of one of them"
                )
    return found


def exclude_choice(selection: Selection) -> lists.Choice | None:
    """What --exclude chose among the files of SRC; None without it. A list without an entry, as
    `audit` writes where all is well, is none.
    """
    if selection.exclude is None:
        return None
    found = people_of(selection)
    everybody = {lists.nfc(person): person for person in found.homes}
    lines = [line for _, line in lists.read_lines(selection.exclude, "--exclude")]
    # Only the folders that the list can mean are read: SRC may hold millions of photographs.
    named = _folders_named(lines, everybody, found)
    known = {photo.source for person in named for photo in found.photos_of(person)}
    return lists.choose(
        selection.exclude,
        known | {row.source for row in found.beside},
        "--exclude",
        where=str(selection.src),
        root=selection.src,
        allow_unknown=selection.allow_unknown,
        may_be_empty=True,
        near=lambda entry: _near(entry, list(everybody.values()), found),
    )


def tell(selection: Selection) -> None:
    """Say on stderr what the lists did.

    Raises:
        KitError: see `chosen_people`.
    """
    people, excluded = people_choice(selection), exclude_choice(selection)
    if people is not None:
        rest = len(people_of(selection).homes) - len(people.found)
        lists.echo("people", [people], f"{rest:,} people left out")
    if excluded is not None:
        mine = None if people is None else set(people.found)
        level = selection.level or 0
        count = sum(mine is None or _person(source, level) in mine for source in excluded.found)
        lists.echo("exclude", [excluded], f"{count:,} photographs left out")


def _folders_named(lines: Iterable[str], everybody: dict[str, str], found: People) -> set[str]:
    """The people whose name is a part of the path that a line may mean."""
    return {
        everybody[part]
        for line in lines
        for form in lists.readings(line, found.folder)
        for part in form.split("/")[found.level : found.level + 1]
        if part in everybody
    }


def _near(entry: str, everybody: list[str], found: People) -> Iterator[str]:
    """The photographs of the person whose name is nearest to the one in an entry."""
    parts = PurePosixPath(entry.replace("\\", "/")).parts
    for part in parts[-2:] if len(parts) > 1 else parts:
        person = lists.nearest(part, everybody)
        if person is not None:
            yield from (photo.source for photo in found.photos_of(person))
            return


def _person(source: str, level: int) -> str:
    return lists.nfc("".join(source.split("/")[level : level + 1]))
