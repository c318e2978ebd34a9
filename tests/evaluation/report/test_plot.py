"""A plot that stands alone tells its series apart, however many there are."""

import re

import pytest

from mfr_kit.evaluation.report import plot


@pytest.mark.parametrize("count", [plot.COLOURS, plot.COLOURS + 5])
def test_series_beyond_the_colours_are_numbered_at_their_mark_and_in_the_key(count):
    marks = {f"model {at}": [(at / count, 0.5)] for at in range(count)}
    svg = plot.standalone(
        "Trade-off", plot.span("x", 0, 1), plot.span("y", 0, 1), {key: [] for key in marks}, marks
    )
    names = re.findall(r'class="name"[^>]*>([^<]*model \d+)<', svg)
    numbers = re.findall(r'class="tick" x="([\d.]+)" y="[\d.]+">(\d+)<', svg)
    if count == plot.COLOURS:
        assert names == list(marks) and not numbers
        return
    assert [name.split(maxsplit=1) for name in names] == [
        [str(at + 1), name] for at, name in enumerate(marks)
    ]
    assert [int(number) for _, number in numbers] == list(range(1, count + 1))
    dots = re.findall(r'<circle class="dot s\d" cx="([\d.]+)"[^>]*><title>', svg)
    assert [float(x) - 5 for x, _ in numbers] == pytest.approx([float(x) for x in dots], abs=0.11)
    height = float(re.search(r'viewBox="0 0 \d+ (\d+)"', svg)[1])
    assert all(float(y) < height for y in re.findall(r' y="([\d.]+)"', svg))


def test_a_curve_is_numbered_at_its_end():
    series = {f"run {at}": [(0.0, at / 20), (1.0, at / 10)] for at in range(plot.COLOURS + 1)}
    svg = plot.standalone("Curves", plot.span("step", 0, 2), plot.span("loss", 0, 1), series, {})
    ends = [
        points.split()[-1].split(",")[0]
        for points in re.findall(r'<polyline class="line s\d" points="([^"]+)"><title>', svg)
    ]
    placed = re.findall(r'class="tick" x="([\d.]+)" y="[\d.]+">\d+<', svg)
    assert [float(x) - 5 for x in placed] == pytest.approx([float(x) for x in ends], abs=0.11)


@pytest.mark.parametrize("smallest", [1e-9, 0.3, 0.1, 0.7, 1.0])
@pytest.mark.parametrize("axis", [plot.rates, plot.deviates])
def test_an_axis_has_two_ends_however_few_comparisons_there_are(axis, smallest):
    made = axis("FAR", smallest)
    assert made.share(made.ticks[0]) == 0
    assert made.share(made.ticks[-1]) == 1
