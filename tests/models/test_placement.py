import numpy as np
import pytest
import torch

from mfr_kit.errors import KitError
from mfr_kit.models import placement, torch_embedder
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.onnx_models import converted_embedder
from mfr_kit.providers import Provider
from mfr_kit.seeding import rng_for


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
        (2, 0, 1, "tensorrt", "cuda:0"),
        (2, 0, 1, "tensorrt:1", "cuda:1"),
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
    from tests.models.odd_onnx import write

    (tmp_path / "set").mkdir()
    asked = {
        "src": tmp_path / "set",
        "out": tmp_path / "out",
        "model": f"{write(tmp_path / 'm.onnx')}:raw_0_255",
    }
    machine(0)
    with pytest.raises(KitError, match="no CUDA device; use --device cpu"):
        audit(AuditOptions(device="cuda", **asked))
    with pytest.raises(KitError, match="leave --precision bf16 out, or give --device cuda"):
        audit(AuditOptions(precision="bf16", **asked))
    machine(1)
    monkeypatch.setattr(
        converted_embedder, "ConvertedEmbedder", raising(KitError("m.onnx: torch cannot run it"))
    )
    with pytest.raises(KitError, match=r"torch cannot run it; pip install 'mfr-kit\[gpu\]'"):
        audit(AuditOptions(device="cuda", **asked))


def raising(error):
    def call(*_, **__):
        raise error

    return call


@pytest.mark.parametrize(
    ("name", "precision", "wanted"),
    [
        ("cuda:3", "float32", Provider("cuda", 3)),
        ("auto", "tf32", Provider("cuda", 3, tf32=True)),
        ("tensorrt:3", "float32", Provider("tensorrt", 3)),
        ("cuda:3", "bf16", None),  # onnxruntime computes what the file says
    ],
)
def test_a_device_has_a_provider(name, precision, wanted):
    assert placement.provider_of(name, torch.device("cuda", 3), precision) == wanted
    for place in ("mps", "cpu"):
        assert placement.provider_of(name, torch.device(place), precision) is None


def test_products_leave_what_others_have_set():
    matmul, before = torch.backends.cuda.matmul, torch.backends.cuda.matmul.allow_tf32
    seen = []
    try:
        for outside in (True, False):
            placement.set_tf32(outside)
            for precision in ("float32", "tf32"):
                with placement.products_in(precision, "cuda"):
                    seen.append(matmul.allow_tf32)
                assert matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == outside
    finally:
        placement.set_tf32(before)
    assert seen == [False, True, False, True]


def test_a_precision_that_cannot_be_is_one_line():
    for kind in ("cpu", "mps"):
        with pytest.raises(KitError, match=f"m: tf32 is of CUDA devices; on {kind} give"):
            placement.refuse_precision("tf32", kind, "m")
        placement.refuse_precision("bf16", kind, "m")
    placement.refuse_precision("tf32", "cuda", "m")
    with pytest.raises(KitError, match="value for --precision 'half'"):
        load_embedder("none.onnx", precision="half")
