"""TensorBoard's event files beside metrics.jsonl."""

import json
import sys

import pytest

from mfr_kit.errors import KitError
from mfr_kit.training.board import Board
from mfr_kit.training.distill import distill
from mfr_kit.training.options import distill_options
from tests.training.conftest import TINY


def test_the_event_file_holds_what_the_log_holds(set_folder, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = {
        **TINY,
        "data": set_folder,
        "steps": 4,
        "batch_size": 8,
        "workers": 0,
        "mask_ratio": 0.0,
        "log_every": 2,
    }
    distill(distill_options()(**options, out=tmp_path / "run", tensorboard=True))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    lines = [
        json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (line["step"], pytest.approx(line["loss"])) for line in lines
    ]
    assert f"terms/{next(iter(lines[0]['terms']))}" in events.Tags()["scalars"]


def test_without_tensorboard_the_way_out_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(KitError, match="pip install tensorboard"):
        Board(tmp_path, 0)
