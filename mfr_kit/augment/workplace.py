"""`DST.part`, where an `augment` run puts its face set together: laid out, found again, and moved
to DST when the set is whole.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from mfr_kit import files, paths
from mfr_kit.augment.job import Job
from mfr_kit.augment.journal import WORK, holds_faces, journal_of, read_journal
from mfr_kit.augment.selection import (
    Selection,
    chosen_people,
    exclude_choice,
    people_choice,
    people_of,
    tell,
)
from mfr_kit.claims import claims_beside, clear, sole
from mfr_kit.data import lists
from mfr_kit.data.alignment.align import SIZE
from mfr_kit.data.alignment.face_choice import SEVERAL
from mfr_kit.data.face_set import faceset
from mfr_kit.data.face_set.faceset_writer import write_rows
from mfr_kit.data.face_set.storage import rec_path
from mfr_kit.data.formats._names import refuse_names, write_names
from mfr_kit.data.photographs.folder_checks import Survey, refuse_face_set, refuse_overlap, survey
from mfr_kit.errors import KitError
from mfr_kit.leftovers import remove_leftovers
from mfr_kit.masks import library
from mfr_kit.records import check

Say = Callable[[str], None]
PLAN = "plan.json"  # below WORK


def keep_quiet(line: str) -> None:
    """Say nothing."""


def begin(job: Job, say: Say = keep_quiet) -> Survey:
    """Look through SRC and say what is in it; lay out `DST.part`, or find it as an earlier run of
    the same job left it.

    Raises:
        KitError: DST exists, an unknown mask, fewer people than shards, or `DST.part` was begun
            for another job.
    """
    _refuse_taken(job)
    seen = look_through(job, say)
    plan, building = _plan_of(job), job.target.building
    with sole(claims_beside(building), "plan", f"begins {building}"):
        _refuse_there(job.target.dst)  # made by a run that has ended meanwhile
        _lay_out(building, plan, job.selection.src)
    return seen


def join(job: Job, say: Say = keep_quiet) -> None:
    """Find `DST.part` as another process of this run has laid it out, or `begin`; of processes
    that start together one looks through SRC, and the others wait for it.

    Raises:
        KitError: as `begin`.
    """
    _refuse_taken(job)
    building, src = job.target.building, job.selection.src
    with sole(claims_beside(building), "survey", f"looks through {src}"):
        if not _read_plan(building) or _read_plan(building) != _plan_of(job):
            begin(job, say)


def _refuse_taken(job: Job) -> None:
    clear(claims_beside(job.target.building))  # of a run that was killed when the set was whole
    _refuse_there(job.target.dst)
    paths.check_output(job.target.building, "folder", "DST")


def _refuse_there(dst: Path) -> None:
    if dst.exists() and (not dst.is_dir() or any(dst.iterdir())):
        raise KitError(f"{dst} exists already: choose another DST or remove it first")


def _plan_of(job: Job) -> dict:
    """All that must be the same when a run is continued.

    Raises:
        KitError: names that a .rec cannot hold, fewer people than shards, or an unknown mask.
    """
    selection, target = job.selection, job.target
    people = chosen_people(selection)
    if target.in_records:
        refuse_names(people, selection.src)
    if len(people) < target.shards:
        raise KitError(
            f"--shards {target.shards}: there are only {len(people)} people in {selection.src}, "
            "and a person is in one shard"
        )
    twins = job.twins
    library.load(twins.masks, twins.folder)  # an unknown name is refused before DST.part is begun
    places = {
        "src": str(selection.src.resolve()),
        "people": _content(people_choice(selection)),
        "exclude": _content(exclude_choice(selection)),
        "found": people_digest(people),
        **_own_ratios(job),
    }
    return json.loads(json.dumps({**job.about, **places}))


def _own_ratios(job: Job) -> dict[str, str]:
    """A digest of who has another share of twins; nothing where nobody has."""
    own = sorted(job.twins.own_ratios.items())
    return {"own_ratios": lists.digest(f"{name}={share}" for name, share in own)} if own else {}


def look_through(job: Job, say: Say) -> Survey:
    """Check where SRC and DST lie and how SRC is laid out, and say what the lists chose and what
    was found.

    Raises:
        KitError: SRC is a face set, or a level too high for its people; DST lies inside it, or the
            other way round; no photograph.
    """
    selection = job.selection
    for path in (job.target.dst, job.target.building):
        refuse_overlap(selection.src, path)
    if selection.src.is_dir():
        refuse_face_set(selection.src, job.alignment.aligned)
    tell(selection)
    people, excluded = chosen_people(selection), exclude_choice(selection)
    left_out = set() if excluded is None else set(excluded.found)
    seen = survey(people_of(selection), people, left_out, guess=selection.level is None)
    for line in seen.lines(selection.src):
        say(line)
    return seen


def _lay_out(building: Path, wanted: dict, src: Path) -> None:
    path = building / WORK / PLAN
    remove_leftovers(path.parent)  # a kill stopped an earlier start here
    if building.is_dir() and not any(item.is_file() for item in building.rglob("*")):
        shutil.rmtree(building)  # a full disk stopped an earlier start here
    if building.exists() and not path.is_file():
        raise KitError(f"{building} is in the way and was not left by this command: remove it")
    if path.is_file():
        _expect_same_plan(building, wanted, src)
    files.write_text(path, json.dumps(wanted, sort_keys=True))


def _read_plan(building: Path) -> dict:
    """What a run wrote when it began; empty where there is none, or a damaged one."""
    try:
        found = json.loads((building / WORK / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _expect_same_plan(building: Path, wanted: dict, src: Path) -> None:
    found = _read_plan(building)
    if found == wanted:
        return
    if not holds_faces(building):  # left by a start that was refused
        shutil.rmtree(building)
        return
    if {**found, "found": ""} == {**wanted, "found": ""}:
        raise _other_people(src, building)
    raise KitError(
        f"{building} was begun with other options or other names in its lists: give the same "
        "ones to continue it, or remove it to start afresh"
    )


def expect_people(selection: Selection, building: Path) -> list[str]:
    """The people of the run, as `begin` found them: their places are the labels, and say which
    shard they are in.

    Raises:
        KitError: others are there by now.
    """
    people = chosen_people(selection)
    try:
        plan = json.loads((building / WORK / PLAN).read_text(encoding="utf-8"))
        check(plan, {"found": str}, f"{building}", "remove it")
    except (OSError, ValueError, RecursionError, KitError):
        raise KitError(
            f"{building}: not laid out, damaged, or moved by another run that has finished it: "
            "remove it if it is there to start afresh"
        ) from None
    if plan.get("found") != people_digest(people):
        raise _other_people(selection.src, building)
    return people


def people_digest(people: list[str]) -> str:
    """A digest of names, in their order."""
    return hashlib.blake2b("\n".join(people).encode(), digest_size=16).hexdigest()


def _other_people(src: Path, building: Path) -> KitError:
    return KitError(
        f"{src} changed since the run began (other people): remove {building} to start afresh"
    )


def _content(choice: lists.Choice | None) -> str | None:
    return None if choice is None else lists.digest(choice.found)


def finish(job: Job) -> tuple[dict[str, int], Counter]:
    """Put the rows of all shards together and move `DST.part` to DST; of processes that do it
    together the first one.

    Returns:
        the counts of faces, twins and skipped photographs, and why these were skipped.
    Raises:
        KitError: a shard was never begun, no face was found at all, or another has made DST.
    """
    building = job.target.building
    with sole(claims_beside(building), "end", f"finishes {building}"):
        _refuse_there(job.target.dst)
        return _finish(job)


def _finish(job: Job) -> tuple[dict[str, int], Counter]:
    target, building = job.target, job.target.building
    remove_leftovers(building)  # of an end that was cut off
    shards = range(target.shards)
    missing = [shard for shard in shards if not journal_of(building, shard).is_file()]
    if missing:
        raise KitError(f"{building}: shard {missing[0]} of {len(shards)} has not been made")
    reasons: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    rows = _rows(job, reasons, notes)
    about = {**job.about, "notes": notes}  # filled while the rows are written
    counts = write_rows(building, rows, about, target.in_records)["counts"]
    if not counts["faces"]:
        raise KitError(_no_face(job.selection.src, building, reasons))
    if target.in_records:
        people = expect_people(job.selection, building)
        (building / "property").write_text(f"{len(people)},{SIZE},{SIZE}\n", encoding="ascii")
        for shard in shards:
            write_names(rec_path(building, shard), people)
    if target.dst.exists():
        target.dst.rmdir()
    files.move_into_place(building, target.dst)
    shutil.rmtree(target.dst / WORK)
    return counts, reasons


def notes_of(faces: list[dict]) -> Iterator[str]:
    """What was done to the photographs of some rows before their faces were found, and which of
    them hold several faces.
    """
    for row in faces:
        done = row["note"].removesuffix(SEVERAL)
        yield from filter(None, (done.removesuffix(", "), row["note"][len(done) :]))


def _rows(job: Job, reasons: Counter, notes: Counter) -> Iterator[tuple[list[dict], list[dict]]]:
    """Read the journals back in order, count the reasons and what was done to photographs, and
    end with the files that lie beside the people's folders.
    """
    for shard in range(job.target.shards):
        for note in read_journal(job.target.building, shard):
            reasons.update(row["reason"] for row in note["skipped"])
            notes.update(notes_of(note["faces"]))
            yield note["faces"], note["skipped"]
    beside = () if job.selection.people else people_of(job.selection).beside
    reasons.update(item.reason for item in beside)
    empty = dict.fromkeys(faceset.SKIPPED_COLUMNS, "")
    yield [], [{**empty, **item._asdict()} for item in beside]


def _no_face(src: Path, building: Path, reasons: Counter) -> str:
    counted = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
    listed = f"{building / faceset.SKIPPED} says why for each file"
    if set(reasons) == {"not_aligned"}:
        return (
            f"none of the {reasons['not_aligned']:,} files in {src} is an aligned face "
            f"({listed}): leave --aligned out, so that faces are found and aligned"
        )
    return f"no face was found in {src} ({counted}): {listed}"
