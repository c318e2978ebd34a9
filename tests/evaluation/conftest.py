"""Models that need no weights, for whatever runs the command `evaluate`."""

import pytest

from mfr_kit.evaluation import recognition
from tests.evaluation.fakes import ColourEmbedder

HALF = ("upper", "student")


@pytest.fixture
def colour_models(monkeypatch, tmp_path) -> None:
    """Whatever model is named looks at colours, those of `HALF` at the upper half's; what is
    embedded is stored for this test alone.
    """
    monkeypatch.setenv("MFR_KIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(
        recognition,
        "load_on",
        lambda engine, spec, **_: ColourEmbedder(spec, upper=spec in HALF),
    )
