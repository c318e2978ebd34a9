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
    assert timed.fast <= timed.high
