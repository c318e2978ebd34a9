"""Hold a model against every rule of a track, and show all that was found."""

import dataclasses
import itertools
import json
import textwrap
from pathlib import Path

from mfr_kit import assets, registry
from mfr_kit.errors import KitError, RuleError
from mfr_kit.models.weights import load_run
from mfr_kit.progress import step_through
from mfr_kit.submission import tracks
from mfr_kit.submission.rules import FAIL, Row, Subject, judge

CHECKS = "mfr_kit.submission.checks"
# how a person reads them; others follow by name
ORDER = ("file", "graph", "batch", "behaviour", "normalisation", "lineage", "latency")

WIDEST = 44  # letters of a column of the table
NOTE_WIDTH = 120


def check(model: Path, track: str, run: Path | None = None, latency: bool = True) -> list[Row]:
    """Apply every rule, whatever the others said. Read-only.

    Raises:
        KitError: no such file, track or run folder.
    """
    model = Path(model)
    if not model.is_file():
        if model.is_dir():
            inside = next((f", {file}" for file in sorted(model.glob("*.onnx"))), "")
            raise KitError(f"{model} is a folder: give the .onnx file in it{inside}")
        guess = registry.near_path(model)
        raise KitError(f"no such model file: {model}; `kit.py export-onnx RUN` writes one{guess}")
    subject = Subject(model, tracks.load(track), load_run(run) if run else None, latency)
    found = registry.names(CHECKS)
    ordered = [name for name in ORDER if name in found] + [
        name for name in found if name not in ORDER
    ]
    return [
        row
        for name in step_through(ordered, "check", "groups of rules")
        for row in judge(f"rules of '{name}'", registry.get(CHECKS, name).rows, subject)
    ]


def failures(rows: list[Row]) -> list[Row]:
    """The rows that fail."""
    return [row for row in rows if row.verdict == FAIL]


def refuse_failures(rows: list[Row], what: str, track: str) -> None:
    """Raise a RuleError (exit code 3) that lists every failed rule, if there is one."""
    broken = failures(rows)
    if broken:
        lines = [
            f"  {row.rule}: found {row.found}, wanted {row.limit}"
            + (f" ({row.note})" if row.note else "")
            for row in broken
        ]
        raise RuleError(
            "\n".join([f"{what} breaks {len(broken)} rule(s) of track {track}:", *lines])
        )


def to_json(model: Path, track: str, rows: list[Row]) -> str:
    """The rows with the file's hash, as JSON."""
    record = {
        "model": str(model),
        "sha256": assets.sha256_of(Path(model)),
        "track": track,
        "passed": not failures(rows),
    }
    return json.dumps({**record, "rules": [dataclasses.asdict(row) for row in rows]}, indent=2)


def table(rows: list[Row]) -> str:
    """Lay rows out as text: rule, limit, found, margin, verdict; what is longer than its column
    goes on below, and notes stand below their rows.
    """
    header = ("rule", "limit", "found", "margin", "verdict")
    cells = [
        (row.rule, row.limit, row.found, row.margin, row.verdict if row.verdict != FAIL else "FAIL")
        for row in rows
    ]
    widths = [min(WIDEST, max(len(line[at]) for line in (header, *cells))) for at in range(5)]
    lines = [*_lines(header, widths), "  ".join("-" * width for width in widths)]
    for row, line in zip(rows, cells, strict=True):
        lines += _lines(line, widths)
        if row.note:
            lines += textwrap.wrap(
                row.note, NOTE_WIDTH, initial_indent="    ^ ", subsequent_indent="      "
            )
    return "\n".join(lines)


def _lines(cells: tuple[str, ...], widths: list[int]) -> list[str]:
    """Lay one row out, its long cells over several lines."""
    parts = [textwrap.wrap(cell, width) for cell, width in zip(cells, widths, strict=True)]
    return [
        "  ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)).rstrip()
        for line in itertools.zip_longest(*parts, fillvalue="")
    ]
