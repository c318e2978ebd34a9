"""`kit.py augment`: photographs to a face set, by many processes, resumable, the same bytes every time."""

import concurrent.futures
import itertools
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mfr_kit import __version__
from mfr_kit.data import faceset
from mfr_kit.data.photos import Photo, list_photos, strays
from mfr_kit.errors import KitError
from mfr_kit.options import as_dict
from mfr_kit.pipelines.options import AugmentOptions

CHUNK = 64  # photographs that are finished, and survive a kill, together
TRIED = 32  # photographs that a dry run measures
_UNCHANGING = (
    "ratio",
    "seed",
    "masks",
    "mask_on",
    "aligned",
    "image",
)  # options that decide the bytes; the rest may change between stop and resume


@dataclass
class Summary:
    """What an augment run did."""

    counts: dict[str, int]  # faces, twins, skipped
    reasons: Counter = field(default_factory=Counter)  # why photographs were skipped
    seconds: float = 0.0
    resumed: int = 0  # photographs that an earlier, stopped run had finished

    @property
    def faces_per_second(self) -> float:
        """Aligned faces written a second (twins count too), by this run."""
        return (self.counts["faces"] + self.counts["twins"]) / max(self.seconds, 1e-9)


def augment(options: AugmentOptions) -> Summary:
    """Make a face set of a folder of people's folders.

    The set is built in `DST.part` and moved to DST when it is whole; an interrupted run leaves `DST.part`, and the same
    command continues there. Photographs without a face, unreadable ones and files that are no image are listed in `skipped.csv`.

    Raises:
        KitError: DST exists, nothing usable in SRC, or `DST.part` was begun with other options.
    """
    started = time.perf_counter()
    if options.dst.exists() and (not options.dst.is_dir() or any(options.dst.iterdir())):
        raise KitError(f"{options.dst} exists already: choose another DST or remove it first")
    photos = _chosen(options)
    building = options.dst.with_name(options.dst.name + ".part")
    rows = building / "rows"
    done = _begin(options, building)
    chunks = ((number, chunk) for number, chunk in enumerate(_chunked(photos)) if number not in done)
    _run(options, building, chunks)
    summary = Summary(counts={}, resumed=len(done) * CHUNK)
    written = faceset.write_rows(building, _finished(options, rows, summary.reasons), _about(options))
    summary.counts = written["counts"]
    if not summary.counts["faces"]:
        raise KitError(f"no face was found in {options.src}: {building / faceset.SKIPPED} says why for each file")
    shutil.rmtree(rows)
    if options.dst.exists():
        options.dst.rmdir()
    os.replace(building, options.dst)
    summary.seconds = time.perf_counter() - started
    return summary


def estimate(options: AugmentOptions) -> str:
    """Try a few photographs spread over SRC, in a folder that is thrown away, and say what the whole will take.

    Raises:
        KitError: nothing usable in SRC.
    """
    total = sum(1 for _ in _chosen(options))
    if not total:
        raise KitError(f"no photographs in {options.src}")
    workers = options.workers if options.workers is not None else os.cpu_count() or 1
    step = max(1, total // TRIED)
    with tempfile.TemporaryDirectory() as folder:
        maker = _maker(options, Path(folder))
        sample = list(itertools.islice(_chosen(options), 0, step * TRIED, step))
        maker.make(sample[0])  # the first face pays for loading
        started = time.perf_counter()
        lost = sum(bool(maker.make(photo)[1]) for photo in sample)
        seconds = (time.perf_counter() - started) / len(sample) * total / max(workers, 1)
        size_bytes = sum(item.stat().st_size for item in Path(folder).rglob("*.*") if item.is_file()) / len(sample) * total
    lines = (
        f"{options.src}: {total} files; tried {len(sample)}, of which {lost} gave no face or no twin",
        f"time: about {seconds / 60:.1f} min with {max(workers, 1)} process(es) on this machine",
        f"disk: about {size_bytes / 2**20:.0f} MiB",
        f"memory: about {_peak_mib() * (workers + 1 if workers else 1):.0f} MiB, whatever the size of the set",
    )
    return "\n".join(lines)


def _peak_mib() -> float:
    """Peak resident memory of this process, which has loaded what a worker loads."""
    try:
        import resource
    except ImportError:  # Windows has no such counter; a worker takes about this much elsewhere
        return 300.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _chosen(options: AugmentOptions) -> Iterator[Photo]:
    people = set(faceset.read_people(options.people)) if options.people else None
    excluded = set(faceset.read_people(options.exclude)) if options.exclude else set()
    return (photo for photo in list_photos(options.src, people) if photo.source not in excluded)


def _chunked(photos: Iterator[Photo]) -> Iterator[list[Photo]]:
    while chunk := list(itertools.islice(photos, CHUNK)):
        yield chunk


def _about(options: AugmentOptions) -> dict:
    chosen = {name: value for name, value in as_dict(options).items() if name in _UNCHANGING}
    return {
        "kit_version": __version__,
        "source": options.src.resolve().name,
        "options": {**chosen, "mask_on": "photo" if options.draws_on_photo else "crop"},
    }


def _begin(options: AugmentOptions, building: Path) -> set[int]:
    """Start `DST.part`, or find out which chunks of it an earlier run has finished."""
    plan = building / "plan.json"
    wanted = json.dumps(
        {**_about(options), "src": str(options.src.resolve()), "people": str(options.people), "exclude": str(options.exclude)},
        sort_keys=True,
    )
    if building.exists() and not plan.is_file():
        raise KitError(f"{building} is in the way and was not left by this command: remove it")
    if plan.is_file() and plan.read_text() != wanted:
        raise KitError(f"{building} was begun with other options: give the same ones to continue it, or remove it to start afresh")
    (building / "rows").mkdir(parents=True, exist_ok=True)
    plan.write_text(wanted)
    return {int(item.stem) for item in (building / "rows").glob("*.json")}


def _run(options: AugmentOptions, building: Path, chunks: Iterator[tuple[int, list[Photo]]]) -> None:
    """Work through the chunks, in this process or in several, with only a few chunks in flight."""
    from tqdm import tqdm

    workers = options.workers if options.workers is not None else os.cpu_count() or 1
    with tqdm(unit=" photos", desc="augment", smoothing=0.05, mininterval=0.5) as bar:
        if workers == 0:
            maker = _maker(options, building)
            for number, chunk in chunks:
                _work(maker, building, number, chunk)
                bar.update(len(chunk))
            return
        context = multiprocessing.get_context("spawn")  # the same everywhere: fork does not exist on Windows and is unsafe beside threads
        with concurrent.futures.ProcessPoolExecutor(workers, context, _initialise, (options, building)) as pool:
            flying: deque = deque()
            try:
                for number, chunk in chunks:
                    flying.append((len(chunk), pool.submit(_work_here, building, number, chunk)))
                    if len(flying) >= 4 * workers:
                        _land(flying, bar)
                while flying:
                    _land(flying, bar)
            except concurrent.futures.process.BrokenProcessPool:
                raise KitError(
                    f"a worker process died (out of memory?); the same command continues from {building}, --workers 1 uses less memory"
                ) from None
            finally:
                pool.shutdown(cancel_futures=True)


def _land(flying: deque, bar) -> None:
    size, future = flying.popleft()
    future.result()
    bar.update(size)


_here: list = []  # the FaceMaker of a worker process


def _initialise(options: AugmentOptions, building: Path) -> None:
    import cv2

    cv2.setNumThreads(1)  # processes are the parallelism; threads inside them only fight
    _here.append(_maker(options, building))


def _work_here(building: Path, number: int, chunk: list[Photo]) -> None:
    _work(_here[0], building, number, chunk)


def _maker(options: AugmentOptions, building: Path):
    from mfr_kit.data.detect import load_detector
    from mfr_kit.masks import library
    from mfr_kit.pipelines.faces import FaceMaker

    return FaceMaker(
        source=options.src,
        target=building,
        detector=None if options.aligned else load_detector(options.detector, robust=options.alignment == "robust"),
        library=library.load(options.masks),
        ratio=options.ratio,
        seed=options.seed,
        on_photo=options.draws_on_photo,
        suffix=f".{options.image}",
    )


def _work(maker, building: Path, number: int, chunk: list[Photo]) -> None:
    """Make the faces of a chunk, then note its rows: a chunk with a note is done."""
    faces, skipped = [], []
    for photo in chunk:
        made, lost = maker.make(photo)
        faces += made
        skipped += lost
    note = building / "rows" / f"{number:08d}.json"
    temporary = note.with_suffix(".tmp")
    temporary.write_text(json.dumps({"faces": faces, "skipped": skipped}), encoding="utf-8")
    os.replace(temporary, note)


def _finished(options: AugmentOptions, rows: Path, reasons: Counter) -> Iterator[tuple[list[dict], list[dict]]]:
    """Read the chunks' notes back in order, count the reasons, and end with the files that lie beside the people's folders."""
    for note in sorted(rows.glob("*.json")):
        chunk = json.loads(note.read_text(encoding="utf-8"))
        reasons.update(row["reason"] for row in chunk["skipped"])
        yield chunk["faces"], chunk["skipped"]
    beside = [] if options.people else strays(options.src)
    reasons.update("no_person" for _ in beside)
    empty = dict.fromkeys(faceset.SKIPPED_COLUMNS, "")
    yield [], [{**empty, "source": name, "reason": "no_person", "detail": "not in a person's folder"} for name in beside]
