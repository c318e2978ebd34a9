import json

import pytest
import torch

from mfr_kit.models import weights
from tests.models.fake_cuda import FakeSession


@pytest.fixture
def machine(monkeypatch):
    """Return a function that makes torch see so many CUDA devices, and torchrun so many ranks."""
    for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)

    def make(devices: int, rank: int = 0, ranks: int = 1) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: devices > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
        if ranks > 1:
            monkeypatch.setenv("LOCAL_RANK", str(rank))
            monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))

    return make


@pytest.fixture
def cuda(machine, monkeypatch) -> type[FakeSession]:
    """A machine with four CUDA devices and an onnxruntime for them, all played by the CPU."""
    machine(4)
    FakeSession.install(monkeypatch)
    return FakeSession


@pytest.fixture
def make_run():
    """Return a function that writes a finished run of a tiny MobileFaceNet into a folder and
    returns its model.
    """

    def make_run(folder, **config):
        config = {"student": "mobilefacenet", "embedding_size": 16, "width": 0.125, **config}
        model = weights.build_backbone(config["student"], config["embedding_size"], config["width"])
        weights.write_text(folder / weights.CONFIG, weights.to_toml(config))
        weights.write_text(folder / weights.LINEAGE, json.dumps({"training_sets": []}))
        weights.save(folder / weights.STUDENT, model.state_dict())
        return model

    return make_run
