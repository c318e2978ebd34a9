"""The slope that the soak measures is that of the last hour, after one to warm up."""

import pytest

from tests.torture.rows import soak


def test_the_slope_is_that_of_the_last_hour():
    growing = [(60.0 * minute, 500 + max(60, minute) / 20) for minute in range(151)]
    assert soak.slope_mib_h(growing) == pytest.approx(3.0)
    warming = [(60.0 * minute, 500 + min(60, minute)) for minute in range(151)]
    assert soak.slope_mib_h(warming) == pytest.approx(0.0, abs=1e-9)
    assert soak.slope_mib_h(growing[:120]) is None and soak.slope_mib_h([]) is None
