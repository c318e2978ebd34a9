"""The plots of a protocol: what is drawn lies where the numbers are, and nothing else is drawn."""

import itertools
import re

import pytest

from mfr_kit.evaluation.report import panels, plot


def result(fars, tars, impostor=100_000, genuine_bins=(), impostor_bins=()) -> dict:
    starts = [round(-1 + 0.02 * at, 4) for at in range(101)]
    return {
        "comparisons": {"genuine": 1000, "impostor": impostor},
        "roc": {"far": fars, "tar": tars},
        "tar_at_far": [{"far": 0.01, "tar": 0.9, "threshold": 0.3}],
        "histogram": {
            "from": starts,
            "width": 0.02,
            "genuine": [dict(genuine_bins).get(at, 0) for at in range(101)],
            "impostor": [dict(impostor_bins).get(at, 0) for at in range(101)],
        },
    }


@pytest.fixture
def two() -> dict:
    fars = [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.4, 0.7, 0.95, 1.0]
    first = result(
        fars,
        [0.1, 0.5, 0.7, 0.9, 0.99, 1, 1, 1, 1],
        genuine_bins={70: 5, 71: 5, 80: 10}.items(),
        impostor_bins={45: 60, 50: 40}.items(),
    )
    second = result(
        fars,
        [0.05, 0.2, 0.4, 0.6, 0.8, 0.9, 0.97, 0.99, 1],
        genuine_bins={60: 1, 90: 3}.items(),
        impostor_bins={40: 10}.items(),
    )
    return {"models": {"one": first, "two": second}}


def points_of(svg: str, kind: str) -> list[list[tuple[float, float]]]:
    found = re.findall(rf'<(?:polyline|polygon) class="{kind}" points="([^"]*)"', svg)
    return [[tuple(map(float, pair.split(","))) for pair in path.split()] for path in found]


def test_a_det_curve_ends_where_nothing_is_missed_and_inside_its_axes(two) -> None:
    det = next(panel for panel in panels.panels(two) if panel["title"] == "DET")
    curves = [points_of(det["svg"], f"line s{at}")[0] for at in range(2)]
    floor = plot.HEIGHT - plot.BOTTOM
    # 1e-5 is left of the axis, from FAR 0.7 on is right of it, and a TAR of 1 has no place
    assert [len(curve) for curve in curves] == [4, 5]
    for curve in curves:
        assert all(y < floor for _, y in curve[:-1]), "no line along the floor"
        assert all(plot.LEFT <= x < plot.WIDTH - plot.RIGHT for x, _ in curve), "no fall at an edge"
        assert all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(curve))


def test_what_is_not_claimed_is_shaded(two) -> None:
    """100,000 impostors: 30 false accepts at FAR 3e-4, between the ticks 1e-4 and 1e-3."""
    assert panels.claim_limit(two["models"]) == pytest.approx(3e-4)
    roc = panels.panels(two)[0]
    ((x, width),) = re.findall(
        r'class="unclaimed" x="([\d.]+)" y="\d+" width="([\d.]+)"', roc["svg"]
    )
    decade = (plot.WIDTH - plot.LEFT - plot.RIGHT) / 4  # 1e-4 to 1
    assert float(x) == plot.LEFT and float(width) == pytest.approx(0.4771 * decade, abs=0.1)
    assert "below FAR 0.0003 fewer than 30 false accepts" in roc["note"]


def test_histograms_stand_at_the_ground_in_empty_bins(two) -> None:
    first = panels.panels(two)[2]
    (outline,) = points_of(first["svg"], "area s0")
    steps = list(itertools.pairwise(outline))
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in steps), "an outline has no slant"
    floor = float(plot.HEIGHT - plot.BOTTOM)
    assert sum(b[0] - a[0] for a, b in steps if a[1] == b[1] == floor) > 0


def test_a_colour_is_a_model_and_the_scales_of_a_pair_are_equal(two) -> None:
    first, second = panels.panels(two)[2:]
    for at, panel in enumerate((first, second)):
        kinds = re.findall(r'<polygon class="area s(\d)( other)?"', panel["svg"])
        assert kinds == [(str(at), ""), (str(at), " other")]
    ticks = [
        re.findall(r'class="tick" x="[\d.]+" y="[\d.]+" (?:dy|text)[^>]*>([^<]*)<', panel["svg"])
        for panel in (first, second)
    ]
    assert ticks[0] == ticks[1] and len(ticks[0]) > 8


def test_axes_of_deviates_hold_their_ends() -> None:
    assert plot.deviates("FAR", 3e-6, 0.5).ticks == [1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5]
    assert plot.deviates("FNMR", 0.06, 0.15).ticks == [0.05, 0.2]


@pytest.mark.parametrize(
    ("group", "shown"),
    [
        ("00 to 15 degrees", "0–15°"),
        ("45 degrees and more", "45+°"),
        ("056 to 112 pixels", "56–112 px"),
        ("224 pixels and more", "224+ px"),
        ("not known", "not known"),
        ("surgical-3", "surgical-3"),
    ],
)
def test_ranges_are_written_short(group: str, shown: str) -> None:
    assert panels.short_range(group) == shown
