"""Runs and reports as the page shows them: curves, and the files that may be opened."""

from pathlib import Path
from typing import Any

from mfr_kit.errors import KitError
from mfr_kit.models.run_files import METRICS, read_metrics
from mfr_kit.records import read_json
from mfr_kit.studio.places import REPORT, Place

POINTS = 600  # of a curve that are sent; a screen has no more columns
PAGES = {  # what may be opened of a folder, by its kind, and as what
    "report": {
        "report.html": "text/html; charset=utf-8",
        "report.json": "application/json",
        "report.csv": "text/csv; charset=utf-8",
        "searches.csv": "text/csv; charset=utf-8",
    },
    "run": {
        "progress.html": "text/html; charset=utf-8",
        "config.toml": "text/plain; charset=utf-8",
        METRICS: "text/plain; charset=utf-8",
    },
}
_SHAPE = {"models": [{"name": str}], "set?": object, "protocols": {...: {"models": {...: dict}}}}
_ADVICE = "measure again with `kit.py evaluate`"


def pages_of(place: Place) -> list[str]:
    """Name the files of a run or report that can be opened."""
    return [name for name in PAGES.get(place.kind, {}) if _is_own(place.path / name, place)]


def read_page(place: Place, name: str) -> tuple[bytes, str]:
    """Read one of those files; gives its bytes and type.

    Raises:
        KitError: no such file, or none that may be opened.
    """
    kind = PAGES.get(place.kind, {}).get(name)
    if kind is None or not _is_own(place.path / name, place):
        raise KitError(f"{place.name} has no {name} to open")
    return (place.path / name).read_bytes(), kind


def _is_own(path: Path, place: Place) -> bool:
    return path.is_file() and path.resolve().is_relative_to(place.path)


def summarise_report(place: Place) -> dict[str, Any]:
    """Say what a report measured: models, set, and TAR at the lowest FAR of each protocol.

    Raises:
        KitError: damaged, or of another program.
    """
    found = read_json(place.path / REPORT, _SHAPE, _ADVICE)
    about = found.get("set")
    return {
        "models": [row["name"] for row in found["models"]],
        "set": about.get("name", "") if isinstance(about, dict) else "",
        "people": about.get("people") if isinstance(about, dict) else None,
        "protocols": list(found["protocols"]),
        "pages": pages_of(place),
    }


def curves_of(place: Place) -> dict[str, Any]:
    """Collect a run's figures over its steps.

    Returns:
        `steps`: the last one; `curves`: by name, [step, value] pairs: what the loop writes, and
        under "validation: NAME" what was measured on validation people.
    Raises:
        KitError: a damaged line.
    """
    rows = read_metrics(place.path)
    curves: dict[str, list[list[float]]] = {}
    for row in rows:
        for name, value in _figures(row):
            curves.setdefault(name, []).append([row["step"], value])
    thinned = {name: _thin(points) for name, points in curves.items() if len(points) > 1}
    last = rows[-1]["step"] if rows else 0
    return {"step": last, "curves": thinned, "pages": pages_of(place)}


def _figures(row: dict) -> list[tuple[str, float]]:
    """Name the numbers of a line; those in tables by the way to them."""
    return [
        (name.replace("validation, ", "validation: ", 1), float(value))
        for name, value in _flat({key: value for key, value in row.items() if key != "step"})
        if _is_number(value)
    ]


def _flat(table: dict, before: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in table.items():
        path = f"{before}, {name}" if before else str(name)
        found += _flat(value, path) if isinstance(value, dict) else [(path, value)]
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _thin(points: list[list[float]]) -> list[list[float]]:
    """Keep every n-th point, and the last."""
    step = -(-len(points) // POINTS)
    return points[::step] + ([points[-1]] if (len(points) - 1) % step else [])
