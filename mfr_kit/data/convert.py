"""From any training-set format to any other, proved by decoding every image and reading back
what was written.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mfr_kit import registry, remote
from mfr_kit.claims import claims_beside, sole
from mfr_kit.data.face_set import set_folder
from mfr_kit.data.formats import recordio
from mfr_kit.data.formats._samples import is_pattern
from mfr_kit.data.images import decode_rgb
from mfr_kit.data.output_set import made_apart, take_back
from mfr_kit.data.photographs.folder_checks import refuse_overlap
from mfr_kit.data.photographs.skipped_list import write_skipped
from mfr_kit.data.training_set import (
    MARKS,
    TrainingSet,
    digest,
    mark,
    showing_progress,
    suffix_of,
)
from mfr_kit.errors import KitError, SetError
from mfr_kit.leftovers import remove_leftovers
from mfr_kit.paths import check_output, url_of
from mfr_kit.progress import Progress
from mfr_kit.registry import unknown

FORMATS = "mfr_kit.data.formats"
_WORDS = {
    "rec": "recordio",
    "txt": "image-list",
    "lst": "image-list",
    "tar": "webdataset",
    "parquet": "hf-parquet",
}
CHUNK = 1024  # images that are handed to the decoding threads together


@dataclass(frozen=True)
class Proof:
    """What source and destination have in common, and what was left behind."""

    read_as: str
    written_as: str
    photographs: int
    people: int
    digest: str
    masked: int = 0  # of the photographs, twins too
    twins_dropped: int = 0
    skipped: int = 0  # files and records that are no images
    skipped_list: Path | None = None  # where their names are


def open_any(
    path: Path,
    format: str | None = None,
    level: int | None = None,
    allow_outside: bool = False,
) -> tuple[str, TrainingSet]:
    """Open a training set, its format told by its name and content unless given.

    Args:
        path: the set.
        format: a name of `formats`.
        level: of a folder of people's folders, the folder levels above a person's; None: none, and
            what looks deeper is refused.
        allow_outside: of a list, take photographs that lie outside of its folder.

    Raises:
        KitError: it does not exist, no format recognises it, or it holds no photograph.
    """
    path = _localise(path)
    if not path.exists() and not is_pattern(path) and remote.origin(path) is None:
        raise KitError(f"there is no {path}")
    known = registry.names(FORMATS)
    chosen = format or next(
        (name for name in known if registry.get(FORMATS, name).recognises(path)), None
    )
    if chosen is None:
        raise KitError(
            f"{path}: no training set that the kit knows; say which with --from "
            f"({', '.join(known)})"
        )
    source = _open(chosen, path, level, allow_outside)
    if not len(source):
        raise KitError(f"{path}: read as {chosen}, it holds no photograph")
    return chosen, source


def _localise(path: Path) -> Path:
    """Give the local path of a set; behind a URL, a face set or a .rec can be opened."""
    if url_of(path) is None:
        return Path(path)
    if Path(path).suffix.lower() == ".rec":
        names = recordio.side_files(Path(path))
        return remote.localise(Path(path).parent, names) / Path(path).name
    if Path(path).suffix:
        raise KitError(f"{url_of(path)}: only face sets and .rec files are read there: download it")
    return set_folder.locate(path)


def convert(
    src: Path,
    dst: Path,
    read_as: str | None = None,
    write_as: str | None = None,
    twins: str | None = None,
    level: int | None = None,
    say: Callable[[str], None] = lambda line: None,
    allow_outside: bool = False,
) -> Proof:
    """Copy a training set into another format, image bytes unchanged, and compare counts and hashes
    of what was read and what is there.

    Every image is decoded; what is none is left out and listed in `DST.skipped.csv`.

    Args:
        src: the set.
        dst: the new one.
        read_as: a name of `formats`, where the source does not tell.
        write_as: likewise of the destination.
        twins: "keep" or "drop" masked twins; None keeps them in face sets, whose readers know them,
            and drops them elsewhere.
        level: see `open_any`.
        say: gets the lines that say what was found, before the work.
        allow_outside: see `open_any`.
    Raises:
        KitError: source unreadable, nothing in it an image, destination or a file beside it exists,
            or it cannot hold the set, or the copy differs.
    """
    read_as, write_as = _format_of(read_as, "--from"), _format_of(write_as, "--to")
    if twins not in (None, "keep", "drop"):
        raise KitError(f"--twins {twins}: say keep or drop")
    dst = Path(dst)
    remove_leftovers(dst.parent)
    take_back(dst)
    if dst.exists():
        raise KitError(f"{dst} exists already: choose another name or delete it")
    if not _is_rec_folder(Path(src)):
        refuse_overlap(src, dst)
    chosen, source = open_any(src, read_as, level, allow_outside)
    for line in describe(source, chosen):
        say(line)
    write_as = write_as or _format_for(dst)
    writer = registry.get(FORMATS, write_as)
    if write_as.startswith("recordio") and dst.suffix != ".rec":
        raise KitError(f"{dst}: the name of a {write_as} set ends in .rec")
    listing = dst.with_name(f"{dst.name}.skipped.csv")
    outputs = [*getattr(writer, "outputs", lambda path: [path])(dst), listing]
    refuse_outputs(dst, outputs)
    everything = len(source)
    if (twins or ("keep" if write_as.startswith("face-set") else "drop")) == "drop":
        source = source.select(np.flatnonzero(~source.twins))
        source = replace(
            source, skipped=tuple(row for row in source.skipped if not row.get("clean_key"))
        )
    dropped = everything - len(source)
    known = len(source.skipped) if chosen == "face-set" else 0
    source, wanted = prove(source, named=not write_as.startswith("recordio"))
    skipped = source.skipped[known:]
    dst.parent.mkdir(parents=True, exist_ok=True)
    busy = f"{dst}: another command is writing it: wait for it, or choose another name"
    with sole(claims_beside(dst), "set", f"writes {dst}", busy) as expect_held:
        refuse_outputs(dst, outputs)  # written meanwhile, perhaps
        if refuse_place := getattr(writer, "refuse_place", None):
            refuse_place(dst, source)
        with made_apart(dst) as made:
            with showing_progress(source) as counted:
                writer.write_set(made, counted)
            found = digest(_open(write_as, made, 0))
            if wanted != found:
                summary = "{} photographs, {} people, digest {}"
                raise KitError(
                    f"{dst} was not written: {summary.format(*wanted)} were read of {src}, "
                    f"{summary.format(*found)} were there when it was read back"
                )
            if skipped:
                write_skipped(made.with_name(listing.name), skipped)
            expect_held()
    masked = 0 if source.masked is None else int(source.masked.sum())
    left_out = (dropped, len(skipped), listing if skipped else None)
    return Proof(chosen, write_as, *found, masked, *left_out)


def describe(source: TrainingSet, chosen: str) -> Iterator[str]:
    """Say how many people and photographs a set holds."""
    people, place = len(np.unique(source.labels)), remote.origin(source.path) or source.path
    yield from source.remarks or (
        f"{place} ({chosen}): {people:,} people, {len(source):,} photographs",
    )


def _open(name: str, path: Path, level: int | None, allow_outside: bool = False) -> TrainingSet:
    opened = registry.get(FORMATS, name)
    if name == "folder":
        return opened.open_set(path, level)
    if level:
        raise KitError(f"--level {level}: {path} is read as {name}, which has no folder levels")
    if name == "image-list":
        return opened.open_set(path, allow_outside)
    return opened.open_set(path)


def _is_rec_folder(path: Path) -> bool:
    """Whether a folder is read for the .rec in it: what else lies there is no part of the set."""
    recordio, face_set = (registry.get(FORMATS, name) for name in ("recordio", "face-set"))
    return path.is_dir() and recordio.recognises(path) and not face_set.recognises(path)


def refuse_outputs(dst: Path, outputs: Sequence[Path]) -> None:
    """Refuse to write over what belongs to another set.

    Raises:
        KitError: one of the files that a set consists of is there.
    """
    there = next((file for file in outputs if file.exists() or file.is_symlink()), None)
    if there is not None:
        raise KitError(
            f"{there} exists already, and {dst.name} would need that name: choose another name, "
            f"or delete {there.name} if it is left from a set that is gone"
        )
    for file in outputs:
        check_output(file, "file", "DST")


def prove(source: TrainingSet, named: bool) -> tuple[TrainingSet, tuple[int, int, str]]:
    """Decode every image.

    Args:
        source: the set.
        named: the images become files, so their formats need to be known by name.
    Returns:
        the photographs that are images, the others among its `skipped`, and the `digest` of those
        kept.
    Raises:
        KitError: none is an image; or what is wrong concerns the set as a whole.
    """
    problems: dict[int, KitError] = {}
    total = 0

    def check(index: int) -> tuple[int, KitError | None]:
        where = f"{source.path}: {source.names[index]}"
        try:
            data = source.encoded(index)
            decode_rgb(data, where)
            if named:
                suffix_of(data, where)
        except SetError:
            raise
        except KitError as error:
            return 0, error
        return mark(source, index, data), None

    with (
        ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool,
        Progress(len(source), "decoding", "photographs") as progress,
    ):
        for start in range(0, len(source), CHUNK):
            rows = range(start, min(start + CHUNK, len(source)))
            for index, (number, problem) in zip(rows, pool.map(check, rows), strict=True):
                total += number
                progress.advance()
                if problem:
                    problems[index] = problem
    kept = source.select(np.array([row for row in range(len(source)) if row not in problems]))
    if not len(kept):
        raise KitError(
            f"{source.path}: none of the {len(source)} photographs can be read, the first "
            "because of: "
            f"{next(iter(problems.values()))}"
        )
    unreadable = (_skipped(source, index, problem) for index, problem in problems.items())
    kept = replace(kept, skipped=(*source.skipped, *unreadable))
    return kept, (len(kept), len(np.unique(kept.labels)), f"{total % MARKS:032x}")


def _skipped(source: TrainingSet, index: int, problem: KitError) -> dict:
    return {
        "source": source.names[index],
        "identity": source.person(index),
        "condition": "mask" if source.is_masked(index) else "nonmask",
        "clean_key": "",
        "reason": getattr(problem, "reason", "unreadable"),
        "detail": str(problem),
    }


def _format_of(word: str | None, flag: str) -> str | None:
    """Name the format that a word means: its own name, or a suffix, as other commands say it.

    Raises:
        KitError: none.
    """
    if word is None:
        return None
    known = registry.names(FORMATS)
    name = _WORDS.get(word.lower().lstrip("."), word.replace("_", "-"))
    if name not in known:
        raise KitError(unknown(f"format for {flag}", word, [*known, *_WORDS]))
    return name


def _format_for(dst: Path) -> str:
    suffixes = {f".{word}": name for word, name in _WORDS.items()} | {"": "folder"}
    if dst.suffix.lower() not in suffixes:
        raise KitError(
            f"{dst}: which format? Say it with --to ({', '.join(registry.names(FORMATS))})"
        )
    return suffixes[dst.suffix.lower()]
