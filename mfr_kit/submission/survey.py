"""Every backbone against every track: what a fresh export of it keeps and breaks, before anybody
trains it.
"""

import contextlib
import hashlib
import json
import os
import platform
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

from mfr_kit import assets, registry, system_errors
from mfr_kit.errors import KitError
from mfr_kit.models.weights import BACKBONES, build_backbone, write_text
from mfr_kit.records import read_json
from mfr_kit.submission import tracks, v100_time
from mfr_kit.submission.check import CHECKS
from mfr_kit.submission.checks.graph import multiply_adds
from mfr_kit.submission.export import export_graph
from mfr_kit.submission.rules import FAIL, Row, Subject, at_most
from mfr_kit.submission.timing import single_image_ms

# the checks that read the file without running it
STATIC = ("file", "graph", "batch", "normalisation")
OPSET = 11  # what export-onnx writes unless asked otherwise
# single images timed, of which the lower quartile counts: other work on the machine only ever adds
RUNS = 12


@dataclass(frozen=True)
class Surveyed:
    """A backbone at width 1 with its own embedding size; `broken` holds, by track, the rules
    that its export breaks (none: it passes).
    """

    backbone: str
    embedding_size: int
    file_mib: float
    nodes: int
    multiply_adds: int
    v100_low_ms: float
    v100_high_ms: float
    thread_ms: float  # one image on one thread here
    broken: dict[str, list[Row]]


def survey(backbones: list[str] | None = None, cache: Path | None = None) -> list[Surveyed]:
    """Export every backbone at width 1 with random weights and hold it against every track, the
    smallest first.

    Lineage and behaviour are a trained model's: `check` judges them. The V100 times are
    `budget`'s, by work and by number of nodes; the time on a thread is measured here, once for
    each backbone, and kept.

    Args:
        backbones: files of models/backbones/; None for all.
        cache: folder of the kept times; default `timings` in the kit's cache folder.
    """
    cache = cache or assets.home() / "timings"
    found = [_survey_one(name, cache) for name in backbones or registry.names(BACKBONES)]
    return sorted(found, key=lambda candidate: candidate.multiply_adds)


def write_markdown(path: Path, found: list[Surveyed]) -> None:
    """Write `to_markdown` atomically; its folder is made."""
    write_text(path, to_markdown(found))


def to_markdown(found: list[Surveyed]) -> str:
    """Lay the survey out as a page: what each backbone costs, what each track says, and each
    broken rule with its margin.
    """
    names = tracks.names()
    costs = [
        f"| {candidate.backbone} | {candidate.embedding_size} | {candidate.file_mib:.2f} "
        f"| {candidate.nodes} | {candidate.multiply_adds / 1e6:,.0f} "
        f"| {candidate.v100_low_ms:.1f} to {candidate.v100_high_ms:.1f} "
        f"| {candidate.thread_ms:.0f} |"
        for candidate in found
    ]
    verdicts = [
        f"| {candidate.backbone} | "
        + " | ".join(
            ", ".join(row.rule for row in candidate.broken[name]) or "pass" for name in names
        )
        + " |"
        for candidate in found
    ]
    reasons = [
        f"- {candidate.backbone}, {name}: {row.rule} {row.found}, wanted {row.limit}"
        for candidate in found
        for name in names
        for row in candidate.broken[name]
    ]
    return "\n".join(
        [
            *_HEAD,
            *costs,
            *_MIDDLE,
            _line(["backbone", *names]),
            _line(["---"] * (len(names) + 1)),
            *verdicts,
            "",
            *reasons,
            "",
        ]
    )


_HEAD = (
    "# Every backbone on every track",
    "",
    "Written by `python kit.py budget --table docs/reference/tracks.md`; not by hand. "
    "Each backbone at width 1, exported with random weights.",
    "File, nodes and multiply-adds are counted from the exported graph. V100 milliseconds are "
    "`budget`'s estimate (by work and by number",
    "of nodes, constants left out and a layer norm or GELU counted once, from four published "
    "IResNet times), not measurements; the last column is one "
    "image on one CPU thread of the machine that",
    "wrote this page, the lower quartile of a few runs.",
    "",
    "| backbone | embedding | file, MiB | nodes | M multiply-adds | V100 ms, estimated | ms on a "
    "thread here |",
    "| --- | --- | --- | --- | --- | --- | --- |",
)
_MIDDLE = (
    "",
    "What `check` can say before training: `pass`, or the rule that fails. Left out is what "
    "depends on the trained model: its lineage",
    "(which data it may descend from), and how it behaves. The time of a `cpu-thread` track is "
    "that of the recogniser alone here;",
    "detection and alignment come on top.",
    "",
)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _survey_one(name: str, cache: Path) -> Surveyed:
    proto, _ = export_graph(build_backbone(name).eval(), OPSET)
    size = proto.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(proto.SerializeToString())
        nodes, work = len(proto.graph.node), multiply_adds(proto)
        by_nodes = v100_time.by_nodes(v100_time.count_launches(proto.graph))
        del proto  # half a gigabyte for the deepest
        low, high = sorted((v100_time.by_multiply_adds(work), by_nodes))
        thread = _thread_ms(path, (name, path.stat().st_size, nodes, work), cache)
        broken, subject = {}, None
        for track in map(tracks.load, tracks.names()):
            subject = subject.under(track) if subject else Subject(path, track)
            rows = [row for check in STATIC for row in registry.get(CHECKS, check).rows(subject)]
            broken[track.name] = [
                row
                for row in rows + _limits(track.limits, size, high, thread)
                if row.verdict == FAIL
            ]
        return Surveyed(
            name, size, path.stat().st_size / 2**20, nodes, work, low, high, thread, broken
        )


def _limits(limits: tracks.Limits, size: int, v100_ms: float, thread_ms: float) -> list[Row]:
    rows = (
        [at_most("embedding size", limits.embedding_size, size)]
        if limits.embedding_size is not None
        else []
    )
    if limits.time_ms is not None:
        rows.append(
            at_most(
                "time", limits.time_ms, v100_ms if limits.time_on == "v100" else thread_ms, "ms"
            )
        )
    return rows


def _thread_ms(model: Path, shape: tuple, cache: Path) -> float:
    """Milliseconds for one image on one thread: measured at the first call on this machine, then
    read from the cache.
    """
    key = json.dumps(
        [*shape, onnxruntime.__version__, platform.node(), platform.machine(), os.cpu_count()]
    )
    stored = cache / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
    if stored.is_file():
        with contextlib.suppress(KitError):  # a damaged one is measured anew
            return float(read_json(stored, {"ms": float}, "")["ms"])
    measured = single_image_ms(model, threads=1, runs=RUNS).low
    try:
        write_text(stored, json.dumps({"of": key, "ms": measured}) + "\n")
    except OSError as error:
        reason = system_errors.explain(error) or error
        print(f"note: {stored.name} is not kept for another run: {reason}", file=sys.stderr)
    return measured
