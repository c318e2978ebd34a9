"""`kit.py augment`: photographs to a face set, by many processes, resumable, the same bytes
every time.
"""

import itertools
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mfr_kit import __version__, files, paths
from mfr_kit.augment import selection, shards
from mfr_kit.augment.options import AugmentOptions
from mfr_kit.data import lists
from mfr_kit.data.alignment.align import SIZE
from mfr_kit.data.alignment.upright import SURE
from mfr_kit.data.face_set import faceset
from mfr_kit.data.face_set.storage import rec_path
from mfr_kit.data.formats._names import refuse_names, write_names
from mfr_kit.data.images import encode
from mfr_kit.data.photographs.folder_checks import Survey, refuse_face_set, refuse_overlap, survey
from mfr_kit.data.photographs.photos import Photo
from mfr_kit.errors import KitError
from mfr_kit.masks import library
from mfr_kit.options import as_dict, names_affecting

FEW, UNSURE = 10, 0.4  # the least faces and share of unsure ones for a hint
TRIED = 32  # photographs that a dry run measures


@dataclass
class Summary:
    """What an augment run did."""

    counts: dict[str, int]  # faces, twins, skipped
    reasons: Counter = field(default_factory=Counter)  # why photographs were skipped
    seconds: float = 0.0
    notes: Counter = field(default_factory=Counter)  # what was done to photographs before the rest
    changed: str = ""  # how SRC changed during the run
    unsure: int = 0  # clean faces whose score leaves open whether the photograph is upright
    resumed: int = 0  # photographs that an earlier, stopped run had finished

    @property
    def faces_per_second(self) -> float:
        """Aligned faces written a second (twins count too), by this run."""
        return (self.counts["faces"] + self.counts["twins"]) / max(self.seconds, 1e-9)

    @property
    def hint(self) -> str:
        """What to look at in a set with many low scores; empty for another."""
        faces = self.counts["faces"]
        if faces < FEW or self.unsure < UNSURE * faces:
            return ""
        return (
            f"hint: {self.unsure:,} of {faces:,} faces have a score below {SURE} (of upright, bare "
            "ones fewer than one in five): if photographs lie on their side or upside down, "
            "`--upright` turns them, and `kit.py audit` names them"
        )


Say = Callable[[str], None]


def _keep_quiet(line: str) -> None:
    """Say nothing."""


def augment(options: AugmentOptions, say: Say = _keep_quiet) -> Summary:
    """Make a face set of a folder of people's folders.

    The set is built in `DST.part` and moved to DST when it is whole; an interrupted run leaves
    `DST.part`, and the same command continues there. Photographs without a face, unreadable ones
    and files that are no image are listed in `skipped.csv`.

    Raises:
        KitError: DST exists, nothing usable in SRC, or `DST.part` was begun with other options.
    """
    from tqdm import tqdm

    started = time.perf_counter()
    if (
        options.dst / shards.WORK
    ).is_dir():  # killed between moving the whole set to DST and tidying up
        shutil.rmtree(options.dst / shards.WORK)
        return Summary(faceset.FaceSet.open(options.dst).counts)
    seen = begin(options, say)
    summary = Summary(counts={})
    with (
        shards.crew(options) as submit,
        tqdm(unit=" photos", desc="augment", smoothing=0.05, mininterval=0.5) as bar,
    ):
        for shard in range(options.shards):
            summary.resumed += shards.make_shard(options, shard, submit, bar.update)
    summary.notes, found, unsure = _read_notes(options)
    judged = options.detector == "yunet" and not (options.aligned or options.upright)
    summary.unsure = unsure if judged else 0
    if found != seen.entries:
        summary.changed = (
            f"{options.src} changed during the run: {seen.entries:,} files at first, {found:,} then"
        )
    with files.attributed_to(shards.building_of(options)):
        summary.counts, summary.reasons = finish(options)
    summary.seconds = time.perf_counter() - started
    return summary


def begin(options: AugmentOptions, say: Say = _keep_quiet) -> Survey:
    """Look through SRC and say what is in it; lay out `DST.part`, or find it as an earlier run with
    the same options left it.

    Raises:
        KitError: DST exists, an unknown mask, fewer people than shards, or `DST.part` was begun
            with other options.
    """
    if options.dst.exists() and (not options.dst.is_dir() or any(options.dst.iterdir())):
        raise KitError(f"{options.dst} exists already: choose another DST or remove it first")
    paths.check_output(shards.building_of(options), "folder", "DST")
    seen = look_through(options, say)
    people = shards.chosen_people(options)
    if options.format == "rec":
        refuse_names(people, options.src)
    count = len(people)
    if count < options.shards:
        raise KitError(
            f"--shards {options.shards}: there are only {count} people in {options.src}, and a "
            "person is in one shard"
        )
    library.load(options.masks)  # a name that no mask has is refused before DST.part is begun
    building = shards.building_of(options)
    plan = building / shards.WORK / "plan.json"
    places = {
        "src": str(options.src.resolve()),
        "people": _content(selection.people_choice(options)),
        "exclude": _content(selection.exclude_choice(options)),
        "found": shards.people_digest(people),
    }
    wanted = json.loads(json.dumps({**_about(options), **places}))
    if building.is_dir() and not any(path.is_file() for path in building.rglob("*")):
        shutil.rmtree(building)  # a full disk stopped an earlier start here
    if building.exists() and not plan.is_file():
        raise KitError(f"{building} is in the way and was not left by this command: remove it")
    if plan.is_file():
        _expect_same_plan(plan, wanted, options)
    files.write_text(plan, json.dumps(wanted, sort_keys=True))
    return seen


def look_through(options: AugmentOptions, say: Say) -> Survey:
    """Check where SRC and DST lie and how SRC is laid out, and say what the lists chose and what
    was found.

    Raises:
        KitError: SRC is a face set, or a level too high for its people; DST lies inside it, or the
            other way round; no photograph.
    """
    for target in (options.dst, shards.building_of(options)):
        refuse_overlap(options.src, target)
    if options.src.is_dir():
        refuse_face_set(options.src, options.aligned)
    selection.tell(options)
    people, excluded = shards.chosen_people(options), selection.exclude_choice(options)
    left_out = set() if excluded is None else set(excluded.found)
    seen = survey(selection.people_of(options), people, left_out, guess=options.level is None)
    for line in seen.lines(options.src):
        say(line)
    return seen


def _expect_same_plan(plan: Path, wanted: dict, options: AugmentOptions) -> None:
    building = plan.parent.parent
    try:
        found = json.loads(plan.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        found = {}
    found = found if isinstance(found, dict) else {}
    if found == wanted:
        return
    if not shards.holds_faces(building):  # left by a start that was refused
        shutil.rmtree(building)
        return
    if {**found, "found": ""} == {**wanted, "found": ""}:
        raise KitError(
            f"{options.src} changed since the run began (other people): remove {building} to "
            "start afresh"
        )
    raise KitError(
        f"{building} was begun with other options or other names in its lists: give the same "
        "ones to continue it, or remove it to start afresh"
    )


def _content(choice: lists.Choice | None) -> str | None:
    return None if choice is None else lists.digest(choice.found)


def finish(options: AugmentOptions) -> tuple[dict[str, int], Counter]:
    """Put the rows of all shards together and move `DST.part` to DST.

    Returns:
        the counts of faces, twins and skipped photographs, and why these were skipped.
    Raises:
        KitError: a shard was never begun, or no face was found at all.
    """
    building = shards.building_of(options)
    reasons: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    missing = [
        shard for shard in range(options.shards) if not shards.journal_of(building, shard).is_file()
    ]
    if missing:
        raise KitError(f"{building}: shard {missing[0]} of {options.shards} has not been made")
    in_records = options.format == "rec"
    rows = _rows(options, reasons, notes)
    about = {**_about(options), "notes": notes}  # filled while the rows are written
    counts = faceset.write_rows(building, rows, about, in_records)["counts"]
    if not counts["faces"]:
        raise KitError(_no_face(options, reasons))
    if in_records:
        people = shards.expect_people(options)
        (building / "property").write_text(f"{len(people)},{SIZE},{SIZE}\n", encoding="ascii")
        for shard in range(options.shards):
            write_names(rec_path(building, shard), people)
    if options.dst.exists():
        options.dst.rmdir()
    os.replace(building, options.dst)
    shutil.rmtree(options.dst / shards.WORK)
    return counts, reasons


def _no_face(options: AugmentOptions, reasons: Counter) -> str:
    said = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
    listed = f"{shards.building_of(options) / faceset.SKIPPED} says why for each file"
    if set(reasons) == {"not_aligned"}:
        return (
            f"none of the {reasons['not_aligned']:,} files in {options.src} is an aligned face "
            f"({listed}):"
            " leave --aligned out, so that faces are found and aligned"
        )
    return f"no face was found in {options.src} ({said}): {listed}"


def estimate(options: AugmentOptions) -> str:
    """Try a few photographs spread over SRC and say what the whole will take; nothing is written.

    Raises:
        KitError: nothing usable in SRC.
    """
    seen = look_through(options, _keep_quiet)
    total = seen.entries
    workers = shards.worker_count(options)
    step = max(1, total // TRIED)
    maker = shards.load_maker(options)
    sample = list(itertools.islice(_chosen(options), 0, step * TRIED, step))
    maker.make(sample[0])  # the first face pays for loading
    started = time.perf_counter()
    made = [maker.make(photo) for photo in sample]
    sizes = [len(encode(row["image"], f".{options.image}")) for faces, _ in made for row in faces]
    seconds = (time.perf_counter() - started) / len(sample) * total / max(workers, 1)
    lost = sum(bool(skipped) for _, skipped in made)
    size_bytes = sum(sizes) / len(sample) * total
    lines = (
        *seen.lines(options.src),
        f"{options.src}: {total} files; tried {len(sample)}, of which {lost} gave no face or no "
        "twin",
        f"time: about {seconds / 60:.1f} min with {max(workers, 1)} process(es) on this machine",
        f"disk: about {size_bytes / 2**20:.0f} MiB",
        f"memory: about {_peak_mib() * (workers + 1 if workers else 1):.0f} MiB, whatever the "
        "size of the set",
    )
    return "\n".join(lines)


def _peak_mib() -> float:
    """Peak resident memory of this process, which has loaded what a worker loads."""
    try:
        import resource
    except ImportError:  # Windows has no such counter; a worker takes about this much elsewhere
        return 300.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )


def _chosen(options: AugmentOptions) -> Iterator[Photo]:
    return (
        photo for shard in range(options.shards) for photo in shards.photos_of_shard(options, shard)
    )


def _about(options: AugmentOptions) -> dict:
    told = names_affecting(AugmentOptions, "result")
    chosen = {name: value for name, value in as_dict(options).items() if name in told}
    return {
        "kit_version": __version__,
        "source": options.src.resolve().name,
        "options": {**chosen, "mask_on": "photo" if options.draws_on_photo else "crop"},
    }


def _read_notes(options: AugmentOptions) -> tuple[Counter, int, int]:
    """What was done to photographs, how many entries of the people's folders the run went
    through, and how many clean faces have an unsure score.
    """
    notes: Counter[str] = Counter()
    count = unsure = 0
    for shard in range(options.shards):
        for line in shards.read_journal(shards.building_of(options), shard):
            count += line["count"]
            notes.update(_notes_of(line["faces"]))
            unsure += sum(row["score"] < SURE for row in line["faces"] if not row["clean_key"])
    return notes, count, unsure


def _notes_of(faces: list[dict]) -> Iterator[str]:
    return (row["note"] for row in faces if row["note"])


def _rows(
    options: AugmentOptions, reasons: Counter, notes: Counter
) -> Iterator[tuple[list[dict], list[dict]]]:
    """Read the journals back in order, count the reasons and what was done to photographs, and
    end with the files that lie beside the people's folders.
    """
    building = shards.building_of(options)
    for shard in range(options.shards):
        for note in shards.read_journal(building, shard):
            reasons.update(row["reason"] for row in note["skipped"])
            notes.update(_notes_of(note["faces"]))
            yield note["faces"], note["skipped"]
    beside = () if options.people else selection.people_of(options).beside
    reasons.update(lost.reason for lost in beside)
    empty = dict.fromkeys(faceset.SKIPPED_COLUMNS, "")
    yield [], [{**empty, **lost._asdict()} for lost in beside]
