"""The text files of a run folder, read and checked: `config.toml`, `lineage.json` and the lines
of `metrics.jsonl`.
"""

import sys
from pathlib import Path
from typing import Any

from mfr_kit import registry
from mfr_kit.errors import KitError
from mfr_kit.models import lineage
from mfr_kit.records import check, is_text, parse_json, read_json, read_text, read_toml

BACKBONES = "mfr_kit.models.backbones"
CONFIG, LINEAGE, METRICS, LAST, BEST, STUDENT, GRAPH = (
    "config.toml",
    "lineage.json",
    "metrics.jsonl",
    "last.pt",
    "best.pt",
    "student.pt",
    "graph.onnx",  # without weights, of a student that is no backbone of the kit
)
ADVICE = "copy the whole run folder again, or train it again"
LARGEST_SIZE, LARGEST_WIDTH = 1 << 16, 64
NETWORK = {"student": str, "embedding_size": int, "width": float, "init?": str}
LINE = {"step": int, "loss?": object, "validation?": dict}
MEASURED_LINE = {"step": int, "loss?": float, "validation?": dict}


def read_config(folder: Path) -> dict[str, Any]:
    """Read the options of a finished or begun run of `kit.py distill`.

    Raises:
        KitError: damaged, of another program, or a network that there cannot be; names file and
            key.
    """
    path = Path(folder) / CONFIG
    config = read_toml(path, NETWORK, ADVICE)
    known = registry.names(BACKBONES)
    if not (Path(folder) / GRAPH).is_file():
        check(config["student"], frozenset(known), f"{path}: 'student'", ADVICE)
    size, width = config["embedding_size"], config["width"]
    if not (1 <= size <= LARGEST_SIZE and 0 < width <= LARGEST_WIDTH):
        raise KitError(f"{path}: no network has embedding_size {size} and width {width}; {ADVICE}")
    return config


def read_lineage(folder: Path) -> dict[str, Any]:
    """Read what a run descends from (models/lineage.py).

    Raises:
        KitError: missing, damaged, of another program; names file and key.
    """
    path = Path(folder) / LINEAGE
    found = read_json(path, lineage.SHAPE, ADVICE)
    if not any(name in found for name in ("trained_on", "training_sets")):
        raise KitError(f"{path}: names neither 'training_sets' nor 'trained_on'; {ADVICE}")
    return found


def read_metrics(folder: Path, shape: Any = LINE) -> list[dict]:
    """Read the lines of metrics.jsonl, [] without the file; a last line that a kill left unfinished
    is passed over.

    Raises:
        KitError: a line that is none of this kit's; names its number.
    """
    path = Path(folder) / METRICS
    if not path.is_file():
        return []
    advice = "delete that line"
    lines = read_text(path, advice).split("\n")[:-1]
    rows = []
    for number, line in enumerate(lines, 1):
        where = f"{path}: line {number}"
        rows.append(check(parse_json(line, where, advice), shape, where, advice))
    return rows


def is_of_run(path: Path) -> bool:
    """Whether a weights file belongs to a run folder of ours: it has a run's name there, or a
    `config.toml` of ours lies beside it.

    A `config.toml` of somebody else beside a plain state dict is passed over, which is said on
    stderr.
    """
    path = Path(path)
    if path.is_dir():
        return True
    if not is_text(str(path)) or not (path.parent / CONFIG).is_file():
        return False
    if path.name in (STUDENT, BEST, LAST):
        return True
    try:
        read_config(path.parent)
    except KitError as error:
        print(
            f"note: {path} is read as plain weights, of no run of this kit: {error}",
            file=sys.stderr,
        )
        return False
    return True
