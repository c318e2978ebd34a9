"""What the soak measures: growth after the start, not of caches that have a limit."""

import functools

import pytest

from tests.torture.rows import soak


def test_the_slope_is_that_of_what_follows_the_start():
    growing = [(60.0 * minute, 500 + max(15, minute) / 20) for minute in range(70)]
    assert soak.slope_mib_h(growing) == pytest.approx(3.0)
    starting = [(60.0 * minute, 500 + min(15, minute)) for minute in range(70)]
    assert soak.slope_mib_h(starting) == pytest.approx(0.0, abs=1e-9)
    assert soak.slope_mib_h(growing[:60]) is None and soak.slope_mib_h([]) is None


def test_a_cache_without_a_limit_counts():
    bounded, endless = (functools.lru_cache(maxsize=size)(abs) for size in (8, None))
    assert bounded(-3) + endless(-3) == 6
    soak._drop_what_has_a_limit()
    assert (bounded.cache_info().currsize, endless.cache_info().currsize) == (0, 1)
