"""Where the photographs of a training set go in a folder of people's folders."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from mfr_kit.data.photographs.face_names import TWIN
from mfr_kit.data.photographs.photos import CONDITION_FOLDERS
from mfr_kit.data.training_set import TrainingSet, suffix_of
from mfr_kit.errors import KitError

_SPELLINGS = (".jpeg", ".jpe", ".jfif", ".tiff")  # a suffix by another name is not kept in a stem
_FORBIDDEN = frozenset('/\\:*?"<>|')  # in a folder's name, on one system or another


def refuse_folder_name(person: str, where: object) -> None:
    """Refuse a person's name that cannot name a folder on every system, or that readers of folders
    pass over.

    Raises:
        KitError: see above; `where` names the set.
    """
    bad = not person or person.startswith(".") or any(not fits(sign) for sign in person)
    if bad or _FORBIDDEN & set(person):
        raise KitError(
            f"{where}: a person is called {person!r}, which cannot name a folder; rename the "
            "person first"
        )


def fits(sign: str) -> bool:
    """Whether a character can stand in a line of text: no control character, no line break of
    any kind, no half of a pair.
    """
    control = sign < " " or "\x7f" <= sign < "\xa0"
    return not (control or sign in "\u2028\u2029" or "\ud800" <= sign < "\ue000")


def lay_out(source: TrainingSet, beside: bool = False) -> Iterator[tuple[int, str, str, bytes]]:
    """Yield `(index, person, path, data)` for writing files `path` = "person/...": ordered by
    person, no two alike in any letter case.

    Masked faces get paths that say so: a twin is `person/masked/NAME.masked.jpg` where its clean
    face is `person/NAME.jpg` (`person/NAME.masked.jpg` with `beside`), any other lies in
    `person/masked/`, and no clean face does either.

    Args:
        source: the set.
        beside: twins lie beside their clean faces, and conditions are kept elsewhere: the layout of
            a face set.
    Raises:
        KitError: a person's name that cannot name a folder, or bytes that are no image.
    """
    for label in dict.fromkeys(source.labels.tolist()):
        refuse_folder_name(source.people[label], source.path)
    person = None
    taken: set[str] = set()
    stems: dict[int, str] = {}
    for index in source.by_person().tolist():
        if source.person(index) != person:
            taken, stems = set(), {}
        person = source.person(index)
        data, name = source.encoded(index), source.names[index]
        suffix = suffix_of(data, f"{source.path}: {name}")
        stem = _stem(source, index, suffix, stems, beside)
        path, number = f"{person}/{stem}{suffix}", 1
        while path.lower() in taken:
            number += 1
            path = f"{person}/{_numbered(stem, number)}{suffix}"
        taken.add(path.lower())
        stems[index] = path.removeprefix(f"{person}/").removesuffix(suffix)
        yield index, person, path, data


def _stem(source: TrainingSet, index: int, suffix: str, stems: dict[int, str], beside: bool) -> str:
    """Name a photograph inside its person's folder, without suffix."""
    clean = stems.get(source.clean_row(index))
    if clean is not None:
        return f"{clean}{TWIN}" if beside else f"masked/{clean}{TWIN}"
    stem = _own_stem(source, index, suffix)
    if not source.is_masked(index):
        stem = f"{stem}_" if stem.lower().endswith(TWIN) else stem
    if beside:
        return stem
    folder, slash, _ = stem.partition("/")
    condition = CONDITION_FOLDERS.get(folder.lower(), "nonmask") if slash else "nonmask"
    if source.is_masked(index) != (condition == "mask"):
        return f"masked/{stem}" if source.is_masked(index) else f"unmasked/{stem}"
    return stem


def _own_stem(source: TrainingSet, index: int, suffix: str) -> str:
    person, name = source.person(index), source.names[index]
    inner = name.removeprefix(f"{person}/")
    parts = PurePosixPath(inner).parts
    if inner == name or any(part in ("..", "/") for part in parts):
        parts = parts[-1:]
    stem = PurePosixPath(*(parts or ("photo",)))
    return str(stem.with_suffix("") if stem.suffix.lower() in (suffix, *_SPELLINGS) else stem)


def _numbered(stem: str, number: int) -> str:
    """Put a number behind a stem, but before the mark of a twin."""
    if stem.lower().endswith(TWIN):
        return f"{stem[: -len(TWIN)]}_{number}{stem[-len(TWIN) :]}"
    return f"{stem}_{number}"
