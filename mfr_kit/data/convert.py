"""From any training-set format to any other, proved by reading back what was written."""

from dataclasses import dataclass
from pathlib import Path

from mfr_kit import registry
from mfr_kit.data.training_set import TrainingSet, digest
from mfr_kit.errors import KitError

FORMATS = "mfr_kit.data.formats"


@dataclass(frozen=True)
class Proof:
    """What source and destination have in common."""

    read_as: str
    written_as: str
    photographs: int
    people: int
    digest: str


def open_any(path: Path, format: str | None = None) -> tuple[str, TrainingSet]:
    """Open a training set, its format told by its name and content unless given.

    Raises:
        KitError: it does not exist, no format recognises it, or it holds no photograph.
    """
    path = Path(path)
    if not path.exists():
        raise KitError(f"there is no {path}")
    known = registry.names(FORMATS)
    chosen = format or next(
        (name for name in known if registry.get(FORMATS, name).recognises(path)), None
    )
    if chosen is None:
        raise KitError(
            f"{path}: no training set that the kit knows; say which with --from ({', '.join(known)})"
        )
    source = registry.get(FORMATS, chosen).open_set(path)
    if not len(source):
        raise KitError(f"{path}: read as {chosen}, it holds no photograph")
    return chosen, source


def convert(src: Path, dst: Path, read_as: str | None = None, write_as: str | None = None) -> Proof:
    """Copy a training set into another format, image bytes unchanged, and compare counts and hashes of what was read and what is there.

    Raises:
        KitError: source unreadable, destination exists or cannot hold the set, or the copy differs.
    """
    chosen, source = open_any(src, read_as)
    if Path(dst).exists():
        raise KitError(f"{dst} exists already: choose another name or delete it")
    write_as = write_as or _format_for(Path(dst))
    writer = registry.get(FORMATS, write_as)
    if write_as.startswith("recordio") and Path(dst).suffix != ".rec":
        raise KitError(f"{dst}: the name of a {write_as} set ends in .rec")
    Path(dst).parent.mkdir(parents=True, exist_ok=True)
    writer.write_set(Path(dst), source)
    wanted, found = digest(source), digest(writer.open_set(Path(dst)))
    if wanted != found:
        told = "{} photographs, {} people, digest {}"
        raise KitError(
            f"{dst} differs from {src}: {told.format(*wanted)} were read, {told.format(*found)} are there; do not use it"
        )
    return Proof(chosen, write_as, *found)


def _format_for(dst: Path) -> str:
    suffixes = {".rec": "recordio", ".txt": "image-list", ".lst": "image-list", "": "folder"}
    if dst.suffix.lower() not in suffixes:
        raise KitError(
            f"{dst}: which format? Say it with --to ({', '.join(registry.names(FORMATS))})"
        )
    return suffixes[dst.suffix.lower()]
