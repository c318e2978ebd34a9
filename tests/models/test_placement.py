import numpy as np
import pytest
import torch

from mfr_kit import assets
from mfr_kit.errors import KitError
from mfr_kit.models import placement, torch_embedder
from mfr_kit.models.embedders import load_embedder
from mfr_kit.seeding import rng_for


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


@pytest.mark.parametrize(
    ("devices", "rank", "ranks", "name", "wanted"),
    [
        (0, 0, 1, "auto", "cpu"),
        (0, 3, 4, "auto", "cpu"),
        (2, 0, 1, "cpu", "cpu"),
        (2, 0, 1, "auto", "cuda:0"),
        (2, 0, 1, "cuda", "cuda:0"),
        (2, 0, 1, "cuda:1", "cuda:1"),
        (8, 5, 8, "cuda", "cuda:5"),
        (8, 7, 8, "auto", "cuda:7"),
    ],
)
def test_every_process_takes_its_device(machine, devices, rank, ranks, name, wanted):
    machine(devices, rank, ranks)
    assert placement.resolve(name) == torch.device(wanted)


@pytest.mark.parametrize(
    ("devices", "ranks", "name", "said"),
    [
        (0, 1, "cuda", "no CUDA device"),
        (0, 1, "cuda:0", "no CUDA device"),
        (2, 1, "cuda:2", "cuda:0 to cuda:1"),
        (2, 4, "auto", "4 ranks on a machine with 2"),
        (4, 4, "cuda:1", "give --device cuda"),
        (1, 1, "gpu", "give auto, cpu"),
        (1, 1, "cuda:", "give auto, cpu"),
    ],
)
def test_a_device_that_is_not_there_is_one_line(machine, devices, ranks, name, said):
    machine(devices, 0, ranks)
    with pytest.raises(KitError, match=said) as caught:
        placement.resolve(name)
    assert "\n" not in str(caught.value)


def test_sface_as_a_torch_network_is_the_onnx_file():
    source = load_embedder("sface", threads=1)
    network = torch_embedder.convert(assets.path("sface"))
    found = torch_embedder.ConvertedEmbedder(source, network, torch.device("cpu"))
    assert found.parity > 0.99999
    assert (found.name, found.fingerprint) == (source.name, source.fingerprint)
    with torch.no_grad():
        network.fc1.weight.mul_(-1)
    with pytest.raises(KitError, match="other embeddings as a torch network"):
        torch_embedder.ConvertedEmbedder(source, network, torch.device("cpu"))


def test_what_only_the_cpu_can_run_is_said_or_refused(capsys, monkeypatch):
    source = load_embedder("sface", threads=1)
    monkeypatch.setattr(torch_embedder, "convert", lambda path: None)
    there = torch.device("cuda", 0)
    with pytest.raises(KitError, match="give --device cpu"):
        torch_embedder.on_device(source, there, "float32", strict=True)
    assert torch_embedder.on_device(source, there, "float32", strict=False) is source
    assert "onnxruntime runs it on the CPU" in capsys.readouterr().err


def test_a_stream_keeps_the_order_and_mirrors():
    class Network:
        device, place = "cuda", "nowhere"

        def begin(self, faces, mirrored):
            both = np.concatenate([faces, faces[:, :, ::-1]]) if mirrored else faces
            return lambda: both.reshape(len(both), -1)[:, :2].astype(np.float32)

    faces = rng_for(0).integers(0, 256, (9, 4, 4, 3), dtype=np.uint8)
    batches = [(at, faces[at : at + 2]) for at in range(0, 9, 2)]
    found = list(torch_embedder.embed_stream(Network(), batches, True))
    assert [number for number, _, _ in found] == [0, 2, 4, 6, 8]
    rows = np.concatenate([out[: len(its)] for _, its, out in found])
    np.testing.assert_array_equal(rows, faces.reshape(9, -1)[:, :2])
    mirrored = np.concatenate([out[len(its) :] for _, its, out in found])
    np.testing.assert_array_equal(mirrored, faces[:, :, ::-1].reshape(9, -1)[:, :2])


def test_audit_refuses_a_device_that_is_not_there(machine, tmp_path, monkeypatch):
    from mfr_kit.cli.audit import AuditOptions, audit

    (tmp_path / "set").mkdir()

    machine(0)
    with pytest.raises(KitError, match="no CUDA device; use --device cpu"):
        audit(AuditOptions(src=tmp_path / "set", out=tmp_path / "out", device="cuda"))
    monkeypatch.setattr(torch_embedder, "convert", lambda path: None)
    machine(1)
    with pytest.raises(KitError, match="give --device cpu"):
        audit(AuditOptions(src=tmp_path / "set", out=tmp_path / "out", device="cuda"))
