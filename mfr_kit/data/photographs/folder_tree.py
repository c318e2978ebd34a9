"""Walk a folder so that nothing in it is lost: every file is given, or a row that says why it is
not.
"""

import os
import stat
import unicodedata
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

# What systems and network drives leave in folders, besides all that begins with a dot; compared in
# lower case.
_LITTER = {
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "@eadir",
    "@recently-snapshot",
    "@recycle",
    "@tmp",
    "__macosx",
    "__pycache__",
    "desktop.ini",
    "ehthumbs.db",
    "lost+found",
    "recycler",
    "system volume information",
    "thumbs.db",
    "~snapshot",
}


class Skipped(NamedTuple):
    """Something in a folder that is no photograph to be read, as a row of skipped.csv says it."""

    source: str  # path inside the walked folder, with /
    reason: str
    detail: str


@dataclass
class Listing:
    """What was found in a folder; all are paths inside the walked folder, with /."""

    folders: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def is_litter(name: str, is_folder: bool = False) -> bool:
    """Whether a name is hidden, or one that a system gives to files and folders of its own."""
    if name.startswith(".") or name.lower() in _LITTER:
        return True
    return name == "Icon\r" and not is_folder


def is_writable_name(name: str) -> bool:
    """Whether a name can stand in a list: UTF-8, without control characters and line breaks."""
    if name.isascii():
        return name.isprintable()
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return not any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in name)


def readable(name: str) -> str:
    """Spell out what cannot stand in a list: bytes that are not UTF-8 and control characters, as
    \\xd5 or \\n.
    """
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(
        letter if is_writable_name(letter) else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


class FolderTree:
    """Lists folders below a root. Links are followed where no photograph can come twice.

    A link to a folder is not followed where it leads to the root or above it (a loop), into the
    root (what is there is found without the link), or to a folder that this tree has listed
    already.

    Args:
        root: the folder; paths that are given and taken are inside it.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._real = os.path.realpath(root)
        self._listed: set[tuple[int, int]] = set()

    def list_folder(self, inner: str = "") -> Listing:
        """List one folder, sorted; a folder that cannot be listed is a row."""
        listing, links = Listing(), []
        path = os.path.join(self.root, inner)
        try:
            with os.scandir(path) as scanned:
                entries = sorted(scanned, key=lambda entry: entry.name)
        except OSError as error:
            listing.skipped.append(Skipped(inner, "unreadable", f"folder: {error.strerror}"))
            return listing
        for entry in entries:
            below = f"{inner}/{entry.name}" if inner else entry.name
            if is_litter(entry.name, entry.is_dir(follow_symlinks=False)):
                self._add_litter(entry, below, listing)
            elif entry.is_symlink():
                links.append(below)
            elif entry.is_dir(follow_symlinks=False):
                listing.folders.append(below)
            elif entry.is_file(follow_symlinks=False):
                listing.files.append(below)
            else:
                listing.skipped.append(_special(entry.path, below))
        for below in links:
            self._add_link(below, listing)
        return listing

    def walk(self, inner: str = "") -> Listing:
        """List every file of a folder at any depth, sorted; folders without links come first."""
        whole, waiting = Listing(), [inner]
        linked: deque[str] = deque()
        while waiting or linked:
            here = waiting.pop() if waiting else linked.popleft()
            if (repeated := self.find_repeat(here)) is not None:
                whole.skipped.append(repeated)
                continue
            listing = self.list_folder(here)
            whole.files += listing.files
            whole.skipped += listing.skipped
            for folder in listing.folders:
                is_link = os.path.islink(os.path.join(self.root, folder))
                (linked if is_link else waiting).append(folder)
        whole.files.sort()
        whole.skipped.sort()
        return whole

    def find_repeat(self, inner: str) -> Skipped | None:
        """A row for a folder that was listed, or asked for here, before; None for a new one."""
        try:
            found = os.stat(os.path.join(self.root, inner))
        except OSError:
            return None
        mark = (found.st_dev, found.st_ino)
        if mark in self._listed:
            return Skipped(inner, "link_repeats", "a folder that is listed already")
        self._listed.add(mark)
        return None

    def _add_link(self, below: str, listing: Listing) -> None:
        path = os.path.join(self.root, below)
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            detail = f"link to {readable(os.readlink(path))}: {error.strerror}"
            listing.skipped.append(Skipped(below, "dead_link", detail))
            return
        if stat.S_ISREG(mode):
            listing.files.append(below)
        elif not stat.S_ISDIR(mode):
            listing.skipped.append(Skipped(below, "not_a_file", f"link to a {_kind(mode)}"))
        elif reason := self._refuse_link(path):
            detail = f"link to {readable(os.readlink(path))}, {reason[1]}"
            listing.skipped.append(Skipped(below, reason[0], detail))
        else:
            listing.folders.append(below)

    def _refuse_link(self, path: str) -> tuple[str, str] | None:
        """Say why a link to a folder is not followed; None where it is."""
        target = os.path.realpath(path)
        if self._real == target or self._real.startswith(target.rstrip(os.sep) + os.sep):
            return "link_loop", "a folder above it"
        if not target.startswith(self._real.rstrip(os.sep) + os.sep):
            return None
        inside = os.path.relpath(target, self._real).split(os.sep)
        if any(is_litter(part) for part in inside):
            return None
        if f"{os.path.realpath(os.path.dirname(path))}{os.sep}".startswith(target + os.sep):
            return "link_loop", "a folder above it"
        return "link_repeats", "whose files are found without it"

    def _add_litter(self, entry: os.DirEntry, below: str, listing: Listing) -> None:
        if not entry.is_dir(follow_symlinks=False):
            listing.skipped.append(Skipped(below, "hidden", "hidden, or left by a system"))
            return

        def note(error: OSError) -> None:
            listing.skipped.append(Skipped(below, "unreadable", f"hidden folder: {error.strerror}"))

        for folder, folders, files in os.walk(entry.path, onerror=note):
            inner = os.path.relpath(folder, entry.path).replace(os.sep, "/")
            above = below if inner == "." else f"{below}/{inner}"
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            listing.skipped += (
                Skipped(f"{above}/{name}", "hidden", f"in the folder {readable(entry.name)}")
                for name in files + links
            )


def _special(path: str, below: str) -> Skipped:
    try:
        return Skipped(below, "not_a_file", _kind(os.lstat(path).st_mode))
    except OSError as error:  # it went while the folder was listed
        return Skipped(below, "unreadable", error.strerror or str(error))


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "pipe",
        stat.S_IFSOCK: "socket",
        stat.S_IFCHR: "device",
        stat.S_IFBLK: "device",
    }
    return kinds.get(stat.S_IFMT(mode), "special file")
