"""The tables of worn_masks.py, made of what was measured."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.markdown_rows import line, rule
from benchmarks.worn_errors import error_tables
from mfr_kit.data.alignment.align import SIZE, TEMPLATE
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.seeding import rng_for
from mfr_kit.training.views import drift
from mfr_kit.training.views.degrade import degrade

NAMES = {
    "lfw_bare": "LFW, bare",
    "lfw_drawn": "LFW, drawn on the photograph",
    "views": "training's views, masked",
    "worn": "worn/",
    "rmfrd_bare": "rmfrd-dev, bare",
    "rmfrd_masked": "rmfrd-dev, masked",
}
# what is shown of a row, and how
MEASURES = {
    "score": ("detector's score", "{:.2f}"),
    "moved": ("landmarks scatter over looks, px", "{:.1f}"),
    "eyes": ("eyes apart in the photograph, px", "{:.0f}"),
    "yaw": ("turn to the side, degrees", "{:.0f}"),
    "pitch": ("nod, degrees down", "{:.0f}"),
    "beyond": ("frame outside the photograph, %", "{:.0f}"),
    "detail": ("side that keeps the detail of the eyes, px", "{:.0f}"),
    "brightness": ("brightness around the eyes", "{:.0f}"),
    "contrast": ("contrast around the eyes", "{:.0f}"),
    "lower_contrast": ("contrast around the mouth", "{:.0f}"),
    "lower_brighter": ("mouth's part brighter than the eyes'", "{:.0f}"),
    "edge": ("row where a cover begins on the nose", "{:.0f}"),
    "covered": ("mouth's part unlike skin, %", "{:.0f}"),
}
IN_PERCENT = {"beyond", "covered"}
NO_EDGE = 100.0  # row from which on no cover was seen


def all_tables(
    found: dict[str, tuple[list[dict], np.ndarray]], twins: np.ndarray, press: FaceSet
) -> dict[str, str]:
    """Make the tables in Markdown, by the names of their places in the page.

    Args:
        found: rows and faces of each population.
        twins: drifts that masked views draw from.
        press: rmfrd-dev as a face set, aligned plainly.
    """
    rows = {name: entry[0] for name, entry in found.items()}
    rows = {name: rows[name] for name in NAMES}
    return {
        "measures": measures_table(rows),
        "detection": detection_table(rows),
        "drift": drift_table(rows, twins),
        "cuts": cuts_table(),
        "estimators": estimators_table(rows["lfw_drawn"]),
        **error_tables(press, [*rows["rmfrd_masked"], *rows["rmfrd_bare"]]),
    }


def fill(page: str, tables: dict[str, str]) -> str:
    """Put tables between a page's marks `<!-- table NAME -->` and `<!-- end of table -->`."""
    for name, text in tables.items():
        block = re.compile(
            rf"(<!-- table {name} -->\n).*?(<!-- end of table -->)", re.DOTALL | re.MULTILINE
        )
        if not block.search(page):
            raise SystemExit(f"the page has no place for the table '{name}'")
        page = block.sub(lambda match, text=text: f"{match[1]}\n{text}\n\n{match[2]}", page)
    return page


def measures_table(rows: dict[str, list[dict]]) -> str:
    """Every measure in every population: median, and from the 10th to the 90th percentile; of
    `worn/` also how many lie outside the middle nine tenths of the views.
    """
    lines = [line(["", *NAMES.values(), "worn/ outside the views' 5 to 95 %"]), rule(8)]
    for key, (title, form) in MEASURES.items():
        cells = [_spread(values(rows[name], key), key, form) for name in NAMES]
        lines.append(line([title, *cells, _outside(rows, key)]))
    return "\n".join(lines)


def values(rows: list[dict], key: str) -> np.ndarray:
    """(n,) what was measured; edges only where one was seen."""
    found = np.array([row[key] for row in rows if row.get("found") and key in row], float)
    return found[found < NO_EDGE] if key == "edge" else found


def _spread(found: np.ndarray, key: str, form: str) -> str:
    if not len(found):
        return "-"
    shown = found * 100 if key in IN_PERCENT else found
    low, middle, high = (form.format(value) for value in np.percentile(shown, [10, 50, 90]))
    return f"{middle} ({low} to {high})"


def _outside(rows: dict[str, list[dict]], key: str) -> str:
    views, worn = values(rows["views"], key), values(rows["worn"], key)
    if not len(views):
        return "-"
    low, high = np.percentile(views, [5, 95])
    return f"{100 * np.mean(worn < low):.0f} % below, {100 * np.mean(worn > high):.0f} % above"


def detection_table(rows: dict[str, list[dict]]) -> str:
    """What is not found at all, what further looks lose, and in how many faces no edge is seen."""
    lines = [
        line(["", "photographs", "not found", "looks that lose the face", "no edge seen"]),
        rule(5),
    ]
    for name, title in NAMES.items():
        every = rows[name]
        known = [row for row in every if row["found"]]
        lost = values(every, "lost")
        no_edge = 1 - len(values(every, "edge")) / len(known)
        cells = [
            f"{len(every):,}",
            "-" if name == "views" else f"{100 * (1 - len(known) / len(every)):.1f} %",
            f"{100 * lost.mean():.1f} %" if len(lost) else "-",
            f"{100 * no_edge:.0f} %",
        ]
        lines.append(line([title, *cells]))
    return "\n".join(lines)


def drifts_of(rows: list[dict]) -> np.ndarray:
    """(n, 4) drifts of all looks at all faces of a population."""
    return np.array([each for row in rows if row["found"] for each in row["drifts"]])


def moved(drifts: np.ndarray) -> np.ndarray:
    """(n,) root mean square displacement of the template's points, in pixels."""
    turn = np.exp(drifts[:, 0] + 1j * drifts[:, 1])
    points = TEMPLATE[:, 0] + 1j * TEMPLATE[:, 1] - drift.CENTRE
    by = (turn[:, None] - 1) * points + (drifts[:, 2] + 1j * drifts[:, 3])[:, None]
    return np.sqrt((np.abs(by) ** 2).mean(axis=1))


def transfer(worn: np.ndarray, drawn: np.ndarray, twins: np.ndarray) -> np.ndarray:
    """Guess how worn masks move an alignment from how looks at them differ: as drawn masks move it,
    spread by as much as looks at worn masks differ more.

    Args:
        worn: (M, 4) drifts between looks at worn masks.
        drawn: the same of drawn masks.
        twins: drifts from bare faces to drawn masks, which nobody knows of worn ones.
    Returns:
        (M, 4), with the mean of `twins`.
    """
    per_look = twins.std(axis=0) / drawn.std(axis=0)
    return twins.mean(axis=0) + (worn - worn.mean(axis=0)) * per_look


def drift_table(rows: dict[str, list[dict]], twins: np.ndarray) -> str:
    """What training draws, what drawn masks do, and what looks at a face differ by."""
    rng = np.random.default_rng(0)
    constants = np.array([_numbers(drift.from_constants(rng, 1.0)) for _ in range(4000)])
    worn_looks, drawn_looks = (drifts_of(rows[name]) for name in ("worn", "lfw_drawn"))
    compared = {
        "the constants (amount 1)": constants,
        "twins of LFW's training people: what masked views draw from": twins,
        "worn/, guessed (`worn_drifts.csv`)": transfer(worn_looks, drawn_looks, twins),
    }
    looks = ("lfw_bare", "lfw_drawn", "worn", "rmfrd_bare", "rmfrd_masked")
    compared |= {f"between looks: {NAMES[name]}": drifts_of(rows[name]) for name in looks}
    lines = [
        line(["", "scale", "rotation, degrees", "shift across, px", "shift down, px", "frame, px"]),
        rule(6),
    ]
    for title, table in compared.items():
        middle, spread = table.mean(axis=0), table.std(axis=0)
        low, high = np.percentile(moved(table), [50, 90])
        cells = [
            f"{np.exp(middle[0]):.3f} ± {spread[0]:.3f}",
            f"± {np.degrees(spread[1]):.1f}",
            *(f"{middle[axis]:+.1f} ± {spread[axis]:.1f}" for axis in (2, 3)),
            f"{low:.1f}, 90 %: {high:.1f}",
        ]
        lines.append(line([title, *cells]))
    ratios = [f"× {value:.2f}" for value in worn_looks.std(axis=0) / drawn_looks.std(axis=0)]
    frame = np.divide(*(np.percentile(moved(each), [50, 90]) for each in (worn_looks, drawn_looks)))
    lines.append(
        line(["looks at worn/ over drawn", *ratios, f"× {frame[0]:.2f}, 90 %: × {frame[1]:.2f}"])
    )
    return "\n".join(lines)


def _numbers(matrix: np.ndarray) -> np.ndarray:
    """The four numbers of a (2, 3) similarity of the frame."""
    identity = np.array([[1.0, 0, 0, 0]])
    row = np.array([[*matrix[:, 0], *matrix[:, 2]]])
    return drift.from_clean_to_twin(identity, row)[0]


def cuts_table(count: int = 2000) -> str:
    """How much of the frame `--degrade` cuts off, seen on white faces."""
    white = np.full((SIZE, SIZE, 3), 255, np.uint8)
    shares = [(degrade(white, rng_for(0, number)) < 128).mean() for number in range(count)]
    some = 100 * np.array([share for share in shares if share > 0])
    low, middle, high = np.percentile(some, [10, 50, 90])
    cells = [f"{100 * len(some) / count:.0f} %", f"{middle:.0f} ({low:.0f} to {high:.0f})"]
    title = ["degraded views that are cut", "frame cut off, %"]
    return "\n".join([line(title), rule(2), line(cells)])


def estimators_table(rows: list[dict]) -> str:
    """The estimates of coverage against the truth, which drawn masks have."""
    lines = [
        line(["", "median error", "median of the absolute", "correlation", "faces"]),
        rule(5),
    ]
    known = [row for row in rows if row.get("true_edge", NO_EDGE) < NO_EDGE]
    seen = [row for row in known if row["edge"] < NO_EDGE]
    for title, ours, true, some in (
        ("row where the cover begins, px", "edge", "true_edge", seen),
        ("mouth's part covered", "covered", "true_covered", known),
    ):
        pair = np.array([[row[ours], row[true]] for row in some])
        error = pair[:, 0] - pair[:, 1]
        cells = [np.median(error), np.median(np.abs(error)), np.corrcoef(pair.T)[0, 1]]
        lines.append(line([title, *(f"{value:.2f}" for value in cells), str(len(some))]))
    return "\n".join(lines)
