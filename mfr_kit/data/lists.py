"""Lists of people and of photographs, one name a line: the one reader and the one writer of them,
for all commands.

A line is a name. It may be written by any editor: UTF-8 or UTF-16, with or without a byte order
mark, lines that end in LF, CR LF or CR, `\\` for `/`, a `./` or the folder's own path in front. A
line that begins with `#` is a remark, unless it is a name of the set (where names begin with `#` a
remark begins with `# `). A line in double quotes is a JSON string, which is how the kit writes a
name that would be read otherwise: one that begins with `#` or `"`, that begins or ends with a
space, or that holds a control character. Names are compared in Unicode's form NFC.
"""

import dataclasses
import hashlib
import json
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from mfr_kit.errors import KitError
from mfr_kit.files import write_text
from mfr_kit.options import option, options_class
from mfr_kit.text import read_text, split_lines

NAMED = 3  # entries that a complaint names; it counts the rest
MANY = 20_000  # names among which the nearest is looked for letter by letter


@options_class
class ListOptions:
    """What every command that takes a list has."""

    allow_unknown: bool = option(
        False,
        help="Go on where a list names people or photographs that are not there: they are "
        "counted instead of refused.",
        affects="machine",
    )


@dataclass(frozen=True)
class Choice:
    """What a list chose among known names.

    Attributes:
        path: of the list.
        found: the known names that the list names, in its order, each once.
        entries: lines that name something.
        repeated: entries that named again what was found already.
        warning: names the first entries that match nothing and counts them; "" where all match.
    """

    path: Path
    found: list[str]
    entries: int
    repeated: int
    warning: str


def nfc(name: str) -> str:
    """The form in which names are compared."""
    return unicodedata.normalize("NFC", name)


def read_lines(path: Path, what: str = "the list") -> list[tuple[int, str]]:
    """Read the lines that are not blank, each with its number, as they stand: spaces around a name
    may belong to it.

    Raises:
        KitError: see `read_text`.
    """
    lines = enumerate(split_lines(read_text(path, what)), 1)
    # Files put together with `cat` have byte order marks inside.
    stripped = ((number, line.lstrip("\ufeff")) for number, line in lines)
    return [(number, line) for number, line in stripped if line.strip()]


def read_names(path: Path, what: str = "the list of people") -> list[str]:
    """Read a list where nobody knows what it may name: quoted lines as they were, the others
    trimmed, comments passed over.

    Raises:
        KitError: see `read_text`; or it names nothing.
    """
    lines = (line for _, line in read_lines(path, what))
    names = [
        line.strip() if (exact := _unquoted(line)) is None else exact
        for line in lines
        if not line.lstrip().startswith("#")
    ]
    if not names:
        raise KitError(f"{what} {path} is empty: it names nobody")
    return names


def choose(
    path: Path,
    known: Collection[str],
    what: str,
    *,
    where: str,
    root: Path | None = None,
    allow_unknown: bool = False,
    may_be_empty: bool = False,
    near: Callable[[str], Iterable[str]] | None = None,
) -> Choice:
    """Look the entries of a list up among the names there are.

    Args:
        path: of the list.
        known: all names that an entry may mean.
        what: names the list in a message: "--holdout-people".
        where: what has the known names, for the message.
        root: the folder that the names lie in; an entry may begin with its path.
        allow_unknown: entries that match nothing become the choice's warning, in place of an error.
        may_be_empty: a list without an entry chooses nothing, in place of an error.
        near: names to suggest from for an entry; `known` if left out.
    Raises:
        KitError: an entry matches nothing (the first ones are named, with what may be meant), the
            list is empty or cannot be read.
    """
    exact = set(known)
    other_forms: dict[str, list[str]] = {}  # of names that are not in the form they are compared in
    for name in exact:
        if not unicodedata.is_normalized("NFC", name):
            other_forms.setdefault(nfc(name), []).append(name)
    hashed = [name for name in (*exact, *other_forms) if name.startswith("#")]

    def spelled(form: str) -> list[str]:
        return [*([form] if form in exact else []), *other_forms.get(form, [])]

    found: dict[str, None] = {}
    entries, repeated, unknown = 0, 0, []
    for number, line in read_lines(path, what):
        names = next(filter(None, map(spelled, readings(line, root))), None)
        if names is None and _is_comment(line, hashed):
            continue
        entries += 1
        if names is None:
            unknown.append((number, line.strip()))
            continue
        repeated += all(name in found for name in names)
        found.update(dict.fromkeys(sorted(names)))
    if not entries and not may_be_empty:
        raise KitError(f"{what} {path} is empty: leave the option out, or name somebody")
    choice = settle(
        path,
        list(found),
        entries,
        unknown,
        what,
        where,
        allow_unknown,
        near or (lambda entry: exact),
    )
    return dataclasses.replace(choice, repeated=repeated)


def settle(
    path: Path,
    found: list[str],
    entries: int,
    unknown: list[tuple[int, str]],
    what: str,
    where: str,
    allow_unknown: bool,
    near: Callable[[str], Iterable[str]],
) -> Choice:
    """Refuse, or put into a warning, the entries of a list that match nothing.

    Args:
        path: of the list; it and the other arguments are those of `choose`.
        found: the known names that were named.
        entries: how many the list has.
        unknown: line and text of those that match nothing.
        what: see `choose`.
        where: see `choose`.
        allow_unknown: see `choose`.
        near: see `choose`.
    Raises:
        KitError: there are some, and they are not allowed.
    """
    warning = ""
    if unknown:
        places = [(f"line {number}", entry) for number, entry in unknown]
        named = unknown_of(places, near)
        warning = (
            f"{what} {path}: {len(unknown):,} of {entries:,} names match nothing in {where}: "
            f"{named}"
        )
        if not allow_unknown:
            raise KitError(f"{warning}. Mend the list, or go on without them with --allow-unknown")
    return Choice(Path(path), found, entries, 0, warning)


def readings(line: str, root: Path | None) -> Iterable[str]:
    """Yield what a line may mean, the most literal first, in NFC; `root`: the folder that an
    entry's path may begin with.
    """
    exact = _unquoted(line)
    if exact is not None:
        yield nfc(exact)
    literal = nfc(line)
    yield literal
    trimmed = literal.strip()
    yield trimmed
    plain = re.sub(r"/(\./|/)+", "/", trimmed.replace("\\", "/"))
    while plain.startswith("./"):
        plain = plain[2:]
    plain = plain.rstrip("/")
    yield plain
    if root is None:
        return
    folders = (str(root), os.path.abspath(root), os.path.realpath(root), os.path.relpath(root))
    for folder in dict.fromkeys(folders):
        inside = nfc(os.path.normpath(folder).replace("\\", "/")).rstrip("/") + "/"
        if plain.startswith(inside):
            yield plain[len(inside) :]


def echo(role: str, choices: list[Choice], outcome: str) -> None:
    """Say on stderr what the lists of one role did, as "holdout: 40 names, 40 found, 150 faces
    left out".
    """
    entries = sum(choice.entries for choice in choices)
    found = {name for choice in choices for name in choice.found}
    repeated = sum(choice.repeated for choice in choices)
    again = f" ({repeated:,} named twice)" if repeated else ""
    lines = [f"warning: {choice.warning} (--allow-unknown)" for choice in choices if choice.warning]
    lines.append(f"{role}: {entries:,} names{again}, {len(found):,} found, {outcome}")
    print("\n".join(lines), file=sys.stderr, flush=True)


def digest(names: Iterable[str]) -> str:
    """Name a list's content: equal for equal names in any order, however they were written down."""
    text = "\0".join(sorted({nfc(name) for name in names}))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def write_names(path: Path, names: Iterable[str]) -> None:
    """Write a list so that `choose` and `read_names` read every name back."""
    write_text(path, as_text(names))


def as_text(names: Iterable[str]) -> str:
    """Write names as the text of a list."""
    return "".join(f"{quoted(name)}\n" for name in names)


def quoted(name: str) -> str:
    """Write a name as a line: as it is, or as a JSON string where it would be read otherwise."""
    odd = any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name)
    if odd or name != name.strip() or name.startswith(("#", '"', "\ufeff")):
        return json.dumps(name, ensure_ascii=odd)
    return name


def nearest(entry: str, names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Guess which of the names an entry means; None where none is near."""
    import difflib  # only a mistake pays for it

    plain = _plain(entry)
    names = list(names)
    for name in names:
        if _plain(name) == plain:
            return name
    if len(names) > MANY:  # comparing letter by letter with a million names takes minutes
        names = [name for name in names if _plain(name)[:2] == plain[:2]][:MANY]
    return next(iter(difflib.get_close_matches(entry, names, 1, cutoff)), None)


def unknown_of(entries: list[tuple[str, str]], near: Callable[[str], Iterable[str]]) -> str:
    """Name the first of some (place, entry) that match nothing, each with what may be meant."""
    named = []
    for place, entry in entries[:NAMED]:
        guess = nearest(entry, near(entry))
        hint = f"; did you mean {quoted(guess)!r}?" if guess else ""
        named.append(f"{entry!r} ({place}{hint})")
    more = len(entries) - NAMED
    return ", ".join(named) + (f" and {more:,} more" if more > 0 else "")


def _is_comment(line: str, hashed: list[str]) -> bool:
    """Whether a line that is no name is a remark; where names begin with # a remark has a space
    behind it, for a name may be misspelt.
    """
    text = line.strip()
    if not text.startswith("#"):
        return False
    return not hashed or (text[1:2] in ("", "#", " ", "\t") and nearest(text, hashed, 0.75) is None)


def _unquoted(line: str) -> str | None:
    text = line.strip()
    if len(text) < 2 or not (text[0] == text[-1] == '"'):
        return None
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


def _plain(name: str) -> str:
    """What is left of a name without the differences that typing makes."""
    return re.sub(r"[\s_\-.]+", "", nfc(name).casefold()).replace("\\", "/")
