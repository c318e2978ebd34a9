"""Names of faces, after their photographs: no two alike where file systems fold case or accents,
none too long.
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

TWIN = ".masked"  # ends the stem of a masked twin's image
# A file's name has 255 bytes at most; a face's is the stem with `.masked.jpg`, and may get `.part`
# or a number while it is written.
_NAME_BYTES = 220
# of a whole stem: a path has 4096 bytes at most, those of the face set's own folder among them
_PATH_BYTES = 1500


def fold(name: str) -> str:
    """Spell a name as file systems that fold case and accents compare it."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def person_folder(person: str, first: str) -> str:
    """A person's folder in a face set: the name, marked where it differs from another person's in
    case only.

    Args:
        person: the name.
        first: the first person of the names that differ in case only.
    """
    return person if person == first else f"{person}~{_digest(person)}"


def stems(folder: str, sources: Sequence[str], level: int, branches: bool) -> Iterator[str]:
    """Name the faces of a person's files: paths inside a face set, without suffix.

    Args:
        folder: the person's, see `person_folder`.
        sources: paths of the files inside the folder of people, sorted.
        level: folder levels above the person's folder.
        branches: the person has several folders, so that what lies above them is kept.
    """
    inner = [_inner(folder, source, level, branches) for source in sources]
    folded = Counter(fold(_without_suffix(path)) for path in inner)
    taken = {stem for stem, count in folded.items() if count == 1 and not stem.endswith(TWIN)}
    for path in inner:
        stem = _without_suffix(path)
        if fold(stem) not in taken or folded[fold(stem)] > 1:
            # a.jpg beside a.png must not become one face, nor A.jpg, where file systems fold
            # case, nor a.masked.jpg the twin of a.jpg
            stem = str(PurePosixPath(path).with_name(path.rsplit("/", 1)[-1].replace(".", "_")))
            while fold(stem) in taken:
                stem += "_"
            taken.add(fold(stem))
        yield _shorten_path(stem)


def _inner(folder: str, source: str, level: int, branches: bool) -> str:
    """A file's path below its person's folder of faces."""
    parts = source.split("/")
    branch = parts[:level] if branches else []
    return "/".join([folder, *branch, *parts[level + 1 :]])


def _without_suffix(path: str) -> str:
    return str(PurePosixPath(path).with_suffix(""))


def _shorten_path(stem: str) -> str:
    """Cut names that would be too long with what is added to them, marked with a digest of the
    whole.
    """
    parts = stem.split("/")
    if len(stem.encode()) > _PATH_BYTES:
        parts = [parts[0], f"{_cut(parts[-1], _NAME_BYTES - 11)}~{_digest(stem)}"]
    if len(parts[-1].encode()) > _NAME_BYTES:
        parts[-1] = f"{_cut(parts[-1], _NAME_BYTES - 11)}~{_digest(stem)}"
    return "/".join(parts)


def _cut(name: str, size: int) -> str:
    return name.encode()[:size].decode(errors="ignore")


def _digest(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=5).hexdigest()
