"""What is said of a folder of people's folders before work begins: what is in it, and whether it
is laid out as it has to be.
"""

import os
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mfr_kit.data.images import SUFFIXES
from mfr_kit.data.photographs.face_names import fold
from mfr_kit.data.photographs.photos import CONDITION_FOLDERS, NOT_WRITABLE, People, Photo
from mfr_kit.errors import KitError
from mfr_kit.system_errors import shown

_ROWS = "faces.parquet"  # what makes a folder a face set
_SHOWN = 3  # names in a message


def refuse_overlap(src: Path, dst: Path, name: str = "DST", replaces: bool = True) -> None:
    """Refuse an output inside the input, or the other way round, links followed.

    What is written inside SRC would be a person, or a photograph, the next time.

    Args:
        src: a folder, or a file, beside which anything may lie.
        dst: what will be written; what is not whole yet lies beside it.
        name: of `dst`, for the error.
        replaces: whether `dst` becomes a new file or folder, so that nothing may lie in it.
    Raises:
        KitError: one lies inside the other, or they are the same.
    """
    source, target = Path(os.path.realpath(src)), Path(os.path.realpath(dst))
    if source == target:
        raise KitError(f"{name} {shown(dst)} is SRC itself: choose another {name}")
    if source.is_dir() and source in target.parents:
        raise KitError(
            f"{name} {shown(dst)} lies inside SRC {shown(src)}, where it would be taken for a "
            "person or a photograph:"
            f" choose a {name} outside, for example "
            f"{shown(source.with_name(source.name + '-' + target.name))}"
        )
    if replaces and target in source.parents:
        raise KitError(
            f"SRC {shown(src)} lies inside {name} {shown(dst)}, which would be replaced: choose "
            f"another {name}"
        )


def refuse_face_set(src: Path, aligned: bool = False) -> None:
    """Refuse a face set, or what belongs to one, where photographs are wanted: its masked twins
    would become clean faces.

    Args:
        src: the folder.
        aligned: aligned faces are wanted; then the images of a set without masked faces will do.
    Raises:
        KitError: it is a face set, one that is not whole, or the images of one.
    """
    refuse_set(src)
    real = Path(os.path.realpath(src))
    above = next((folder for folder in real.parents if _holds_images(folder, real)), None)
    if above is None:
        return
    masked = _has_masks(above)
    if masked or not aligned:
        what = ", masked twins among them" if masked else ""
        mend = "" if masked else ", say --aligned"
        raise KitError(
            f"{shown(src)} holds the images of the face set {shown(above)}{what}:"
            f" give the folder of photographs it was made of{mend}, or convert the set"
        )


def refuse_set(src: Path) -> None:
    """Refuse a face set, whole or not, where a folder of people's folders, or a person's folder, is
    wanted.

    Raises:
        KitError: it is one.
    """
    if (src / _ROWS).is_file():
        raise KitError(
            f"{shown(src)} is a face set already: give the folder of photographs it was made of,"
            " or turn it into another format with `kit.py convert`"
        )
    if (src / "work" / "plan.json").is_file():
        raise KitError(
            f"{shown(src)} is a face set that is not whole: finish it with the command that "
            "began it, or give the folder of photographs"
        )


def _holds_images(folder: Path, inner: Path) -> bool:
    if not inner.is_relative_to(folder / "faces"):
        return False
    return (folder / _ROWS).exists() or (folder / "work" / "plan.json").is_file()


def _has_masks(folder: Path) -> bool:
    """Whether a face set holds masked faces, or cannot tell."""
    from mfr_kit.data.face_set.faceset import MASK, FaceSet

    try:
        return MASK in set(FaceSet.open(folder).conditions)
    except KitError:
        return True


@dataclass
class Survey:
    """What is in a folder of people's folders."""

    people: int = 0
    entries: int = 0  # all that is in the people's folders
    photographs: int = 0  # files, as far as their names say
    skipped: Counter = field(default_factory=Counter)  # reasons of what is left out
    empty: list[str] = field(default_factory=list)  # people without a file
    deep: dict[str, list[str]] = field(default_factory=dict)  # person -> sub-folders, and no file
    depths: Counter = field(default_factory=Counter)  # folders between a deep person and its files
    merged: list[str] = field(default_factory=list)  # people with several folders
    alike: list[str] = field(default_factory=list)  # people whose names differ in case only

    def lines(self, src: Path) -> Iterator[str]:
        """Say what was found."""
        empty = f", {len(self.empty):,} of them without a file" if self.empty else ""
        yield f"{shown(src)}: {self.people:,} people{empty}, {self.photographs:,} photographs"
        if self.skipped:
            reasons = ", ".join(
                f"{count:,} {reason}" for reason, count in sorted(self.skipped.items())
            )
            yield f"  left out: {reasons}"
        for names, what in (
            (self.empty, "without a file"),
            (self.merged, "have several folders and are one person each"),
            (self.alike, "have names that differ from another's in case only, and stay apart"),
            (list(self.deep), "have their photographs in sub-folders only"),
        ):
            if names:
                yield f"  {len(names):,} people {what}: {_some(names)}"


def survey(
    found: People,
    chosen: Iterable[str],
    left_out: Container[str] = (),
    guess: bool = True,
    visit: Callable[[Photo], None] | None = None,
) -> Survey:
    """Look through a folder of people's folders.

    Args:
        found: who is there.
        chosen: the people to work at.
        left_out: sources that are not wanted.
        visit: gets each entry of the people's folders.
        guess: refuse what looks like a folder one level too high, or too low, for its people.
    Raises:
        KitError: the people hold only folders, as if they were no people (`guess`); no photograph
            at all.
    """
    seen = Survey()
    first_of: dict[str, str] = {}
    for person in chosen:
        seen.people += 1
        if first_of.setdefault(fold(person), person) != person:
            seen.alike.append(person)
        if len(found.homes[person]) > 1:
            seen.merged.append(person)
        for home in found.homes[person]:
            refuse_set(found.folder / home)
        _look_at(found, person, left_out, seen, visit)
    if seen.people == len(found.homes):
        seen.skipped.update(item.reason for item in found.beside)
    if guess:
        _refuse_levels(found, seen)
    if not seen.photographs:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(seen.skipped.items()))
        raise KitError(
            f"{shown(found.folder)}: no photograph in the folders of {seen.people:,} people"
            + (f" (left out: {reasons})" if reasons else "")
            + (f"; bad_name: {NOT_WRITABLE}" if seen.skipped["bad_name"] else "")
        )
    return seen


def _look_at(
    found: People,
    person: str,
    left_out: Container[str],
    seen: Survey,
    visit: Callable[[Photo], None] | None,
) -> None:
    files, direct = 0, 0
    folders: dict[str, int] = {}
    for entry in found.entries_of(person):
        if entry.source in left_out:
            continue
        seen.entries += 1
        if visit is not None:
            visit(entry)
        if entry.reason:
            seen.skipped[entry.reason] += 1
        else:
            files += 1
            parts = entry.source.split("/")[found.level + 1 :]
            if len(parts) == 1 or parts[0].lower() in CONDITION_FOLDERS:
                direct += _is_photograph(parts[-1])
            elif _is_photograph(parts[-1]):
                depth = len(parts) - 1 - (parts[-2].lower() in CONDITION_FOLDERS)
                folders[parts[0]] = min(depth, folders.get(parts[0], depth))
    seen.photographs += files
    if not files:
        seen.empty.append(person)
    if folders and not direct:
        seen.deep[person] = list(folders)
        seen.depths.update(folders.values())


def _is_photograph(name: str) -> bool:
    """Whether a name may be a photograph's: a list beside the people's folders of a branch is
    none.
    """
    suffix = os.path.splitext(name)[1].lower()
    return suffix in SUFFIXES or not suffix


def _refuse_levels(found: People, seen: Survey) -> None:
    """Refuse what looks like a folder of folders of people, or like one person's folder."""
    src = shown(found.folder)
    if (
        seen.people
        and all(name.lower() in CONDITION_FOLDERS for name in found.homes)
        and not seen.deep
    ):
        raise KitError(
            f"{src} looks like one person's folder ({_some(list(found.homes))}): give the folder "
            "above it as SRC,"
            " or say --level 0 if these are people"
        )
    holders = seen.people - len(seen.empty)
    branches = [person for person, folders in seen.deep.items() if len(folders) > 1]
    if not branches and len(seen.deep) < max(holders, 1):
        return
    everybody = len(seen.deep) == holders
    names = list(seen.deep) if everybody else branches
    inner = f"{found.homes[names[0]][0]}/{seen.deep[names[0]][0]}"
    level = found.level + seen.depths.most_common(1)[0][0]
    mend = "take them out of SRC, or "
    if everybody and len(names) == 1 and level == 1:
        mend = f"give {shown(found.folder / found.homes[names[0]][0])} as SRC, or "
    elif everybody:
        mend = f"say --level {level} (a person is {'/'.join(['SRC', *'*' * level, 'PERSON'])}), or "
    raise KitError(
        f"{src}: {_some(names)} hold{'s' * (len(names) == 1)} no photographs but folders "
        f"({inner} ...), as if people lay"
        f" {'one level' if level == 1 else f'{level} levels'} further down: {mend}say --level 0 "
        "if each is one person all the same"
    )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
