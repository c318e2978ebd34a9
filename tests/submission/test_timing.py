from types import SimpleNamespace

import pytest

from mfr_kit.models.preprocess import META_NORMALISATION
from mfr_kit.submission import timing


@pytest.mark.parametrize(
    ("normalisation", "low", "high"), [("minus1_to_1", -1, 1), ("raw_0_255", 0, 255), (None, -1, 1)]
)
def test_a_model_is_timed_on_pixels_in_its_own_range(monkeypatch, normalisation, low, high):
    seen = []
    session = SimpleNamespace(
        get_inputs=lambda: [
            SimpleNamespace(type="tensor(float)", name="input", shape=["N", 3, 112, 112])
        ],
        get_modelmeta=lambda: SimpleNamespace(
            custom_metadata_map={META_NORMALISATION: normalisation} if normalisation else {}
        ),
        run=lambda names, inputs: seen.append(inputs["input"]),
    )
    monkeypatch.setattr(timing, "open_session", lambda model, threads: session)
    timed = timing.single_image_ms(b"", runs=8)
    assert len(seen) == 8 + timing.WARM_UP and seen[0].shape == (1, 3, 112, 112)
    assert seen[0].min() == pytest.approx(low, abs=0.01 * (high - low)) and seen[
        0
    ].max() == pytest.approx(high, abs=0.01 * (high - low))
    assert timed.sixth >= timed.low and timed.low <= timed.median <= timed.high
    assert (timed.runs, timed.threads) == (8, 0)


def test_the_headline_is_the_median_and_its_quartiles_hold_it(monkeypatch):
    """Runs of 1 to 9 ms: the median is 5, the quartiles 3 and 7, the sixth fastest 6."""
    session = SimpleNamespace(
        get_inputs=lambda: [
            SimpleNamespace(type="tensor(float)", name="input", shape=["N", 3, 112, 112])
        ],
        get_modelmeta=lambda: SimpleNamespace(custom_metadata_map={}),
        run=lambda names, inputs: None,
    )
    monkeypatch.setattr(timing, "open_session", lambda model, threads: session)
    lasted = [99, 99, 99, 9, 1, 8, 2, 7, 3, 6, 4, 5]  # milliseconds, the first three warm up
    ticks = iter([tick for ms in lasted for tick in (0.0, ms / 1000)])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(ticks))
    timed = timing.single_image_ms(b"", threads=1, runs=9)
    assert [timed.low, timed.median, timed.high, timed.sixth] == pytest.approx([3, 5, 7, 6])
    said = timed.describe()
    assert said.startswith("median of 9 runs after 3 to warm up, CPU, one thread; half of them ")
    assert "3.00 to 7.00 ms" in said and "checker takes it, 6.00 ms" in said
