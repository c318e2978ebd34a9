"""`kit.py demo`: the main job on the embedded faces, by the very commands a user types."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from mfr_kit import assets, pipeline, shipped
from mfr_kit.data import lists
from mfr_kit.errors import KitError
from mfr_kit.submission.timing import single_image_ms

TRAIN, HELD_OUT = [f"s{n}" for n in range(1, 26)], [f"s{n}" for n in range(26, 41)]
# SFace's training data is its authors': a student taught by it may enter no other
TRACK = "unconstrained"
RECIPE = shipped.folder("configs") / "adapt_sface.toml"
MARK = "demo.json"  # lets the next demo know that a folder is one of ours


def demo(out: Path, steps: int, run: Callable[[list[str]], int]) -> str:
    """Augment, distil, export, check, evaluate and pack, on 40 people of the ORL faces.

    Args:
        out: folder to write; an earlier demo there is replaced.
        steps: how long to train.
        run: runs one command line (without `python kit.py`) and returns its exit code.
    Returns:
        The table of teacher and student, and where the files lie.
    Raises:
        KitError: a step failed; names it.
    """
    started = time.perf_counter()
    _clear(out)
    for name, people in (("train.txt", TRAIN), ("held_out.txt", HELD_OUT)):
        lists.write_names(out / name, people)
    work = pipeline.Work(
        Path(os.path.relpath(RECIPE)),
        assets.path("orl-faces"),
        out,
        TRACK,
        lists=pipeline.Lists(out / "train.txt", None, out / "held_out.txt"),
        training=("--steps", str(steps), "--batch-size", "32"),
        measuring=("--far", "0.01"),
    )
    pipeline.work_through(work, run, owned=True)
    report = json.loads((out / "report" / "report.json").read_text(encoding="utf-8"))
    return "\n".join(
        [
            *_table(report, out),
            f"\ndone in {time.perf_counter() - started:.0f} s; everything lies in {out}:",
            *_files(out),
        ]
    )


def _clear(out: Path) -> None:
    """Make an empty folder; only an earlier demo is removed for it."""
    if out.exists() and any(out.iterdir()) and not (out / MARK).is_file():
        raise KitError(f"{out} is not an earlier demo: choose another --out, or empty it first")
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / MARK).write_text("{}\n", encoding="utf-8")


def _table(report: dict, out: Path) -> list[str]:
    """Teacher and student in a row each: TAR bare and masked, size, time."""
    names = [entry["name"] for entry in report["models"]]
    shown = [
        name
        for name in ("nonmask-nonmask", "mask-nonmask", "mask-mask")
        if name in report["protocols"]
    ]
    far = report["options"]["far"][0]
    header = (
        f"{'':8}  {'model':10}"
        + "".join(f"{name:>18}" for name in shown)
        + f"{'MiB':>8}{'ms/image':>10}"
    )
    people = report["set"]["people"]
    lines = [
        "",
        f"TAR in % at FAR {far:g}, {people} people never trained on "
        f"({report['set']['conditions']['nonmask']} photographs)",
        header,
    ]
    for role, name, file in zip(
        ("teacher", "student"), names, (assets.path("sface"), out / "student.onnx"), strict=True
    ):
        cells = [_tar(report["protocols"][protocol]["models"][name], far) for protocol in shown]
        time_ms = single_image_ms(file, runs=20).median
        lines.append(
            f"{role:8}  {name:10}"
            + "".join(f"{cell:>18}" for cell in cells)
            + f"{file.stat().st_size / 2**20:8.1f}{time_ms:10.1f}"
        )
    return lines


def _tar(result: dict, far: float) -> str:
    (row,) = (row for row in result["tar_at_far"] if row["far"] == far)
    if row["tar"] is None:
        return row["note"]
    interval = row["interval"]
    return f"{100 * row['tar']:.1f} ({100 * interval['low']:.1f}-{100 * interval['high']:.1f})"


def _files(out: Path) -> list[str]:
    about = {
        "student.onnx": "the student, as the servers read it",
        "submission.zip": "what you would hand in",
        "report/report.html": "ROC, intervals, counts: open it in a browser",
        "faces/faces.parquet": "the face set; what was skipped stands in faces/skipped.csv",
        "MODEL_CARD.md": "thresholds, lineage and limits, which the file carries too",
        "run/progress.html": "losses and scores while training, as curves",
    }
    missing = [name for name in about if not (out / name).is_file()]
    if missing:
        raise KitError(f"the demo did not write {', '.join(missing)} into {out}")
    return [f"  {name:20} {what}" for name, what in about.items()]
