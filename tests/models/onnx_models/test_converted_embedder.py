"""ONNX recognisers on a device: by onnxruntime, as torch networks, or refused in a line."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from mfr_kit import assets, providers
from mfr_kit.errors import KitError
from mfr_kit.models import identity
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.onnx_models import converted_embedder, graph_network
from mfr_kit.models.onnx_models.converted_embedder import ConvertedEmbedder
from mfr_kit.models.parity import colour_faces, cosine_difference
from mfr_kit.models.weights import build_backbone
from mfr_kit.providers import Provider
from mfr_kit.submission import export
from tests.models import odd_onnx
from tests.models.fake_cuda import CPU, CUDA, TENSORRT, FakeSession

FACES = colour_faces(5)
CUDA_OPTIONS = {"device_id": "2", "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}


def need(asset: str) -> None:
    """Skip, saying so, where an asset is not there."""
    try:
        assets.path(asset)
    except KitError as error:
        pytest.skip(str(error))


def recogniser(path, **more):
    return load_embedder(f"{path}:minus1_to_1", threads=1, **more)


@pytest.mark.parametrize(
    ("device", "precision", "wanted"),
    [
        ("cuda:2", "float32", [(CUDA, CUDA_OPTIONS), CPU]),
        ("cuda:2", "tf32", [(CUDA, CUDA_OPTIONS | {"use_tf32": "1"}), CPU]),
        (
            "tensorrt:2",
            "float32",
            [(TENSORRT, {"device_id": "2"}), (CUDA, CUDA_OPTIONS), CPU],
        ),
    ],
)
def test_onnxruntime_gets_the_provider_and_bound_faces(cuda, tmp_path, device, precision, wanted):
    path = odd_onnx.write(tmp_path / "m.onnx")
    found = recogniser(path, device=device, precision=precision)
    assert cuda.opened[0] == [CPU]
    assert cuda.opened[-1] == wanted
    cuda.bound.clear()
    rows = found.embed(FACES)
    assert cuda.bound == [
        ("torch is done",),
        ("input", "data", "cuda", 2, (5, 3, 112, 112)),
        ("output", "emb", "cuda", 2),
    ]
    np.testing.assert_allclose(rows, odd_onnx.expected(FACES), rtol=1e-4, atol=1e-5)
    both = found.begin(FACES, mirrored=True)()
    np.testing.assert_allclose(both[5:], odd_onnx.expected(FACES[:, :, ::-1]), rtol=1e-4, atol=1e-5)
    assert found.device == device.split(":")[0]
    assert found.source.device == "cpu"
    np.testing.assert_array_equal(found.embed_exact(FACES), found.source.embed(FACES))


@pytest.mark.parametrize(
    "odd",
    [
        odd_onnx.cast_first(TensorProto.UINT8),
        {"kind": TensorProto.FLOAT16},
        {
            "nodes": [
                helper.make_node("Transpose", ["data"], ["nchw"], perm=[0, 3, 1, 2]),
                *odd_onnx.body("nchw"),
                *odd_onnx.FLATTEN,
            ],
            "inputs": [odd_onnx.value("data", ["N", 112, 112, 3])],
        },
        {"inputs": [odd_onnx.value("data", [2, 3, 112, 112])]},
    ],
    ids=["bytes", "half", "channels last", "pairs"],
)
def test_bound_faces_are_what_each_file_takes(cuda, tmp_path, odd):
    path = odd_onnx.write(tmp_path / "m.onnx", **odd)
    normalisation = "raw_0_255" if "UINT8" in str(odd) or "Cast" in str(odd) else "minus1_to_1"
    found = load_embedder(f"{path}:{normalisation}", threads=1, device="cuda")
    wanted = found.source.embed(FACES)
    np.testing.assert_allclose(found.embed(FACES), wanted, rtol=1e-3, atol=1e-3)
    both = found.begin(FACES, mirrored=True)()
    mirrored = found.source.embed(FACES[:, :, ::-1])
    np.testing.assert_allclose(both[5:], mirrored, rtol=1e-3, atol=1e-3)


def test_what_embeddings_depend_on_tells_devices_and_precisions_apart(cuda, tmp_path):
    path = odd_onnx.write(tmp_path / "m.onnx")
    ways = [
        {},
        {"device": "cuda"},
        {"device": "cuda", "precision": "tf32"},
        {"device": "tensorrt"},
    ]
    described = [identity.describe_model(recogniser(path, **way)) for way in ways]
    assert len({identity.digest(one) for one in described}) == len(ways)
    # a cache made by the CPU keeps its name
    assert "precision" not in described[0]


def test_a_session_that_fell_back_to_the_cpu_is_refused(cuda, tmp_path, monkeypatch, capsys):
    path = odd_onnx.write(tmp_path / "m.onnx")
    monkeypatch.setattr(FakeSession, "falls_back", True)
    with pytest.raises(KitError, match=r"m.onnx: onnxruntime cannot start its cuda provider") as no:
        recogniser(path, device="cuda:1")
    assert "\n" not in str(no.value)
    monkeypatch.setattr(converted_embedder, "ConvertedEmbedder", refusing)
    assert recogniser(path, device="auto").device == "cpu"
    assert f"--device auto: onnxruntime runs {path.stem} on the CPU" in capsys.readouterr().err


def refusing(source, place, precision="float32"):
    raise KitError(f"{source.path}: torch cannot run its operator Odd")


def test_what_nothing_on_the_device_can_run_names_the_extra(machine, tmp_path, monkeypatch, capsys):
    machine(1)
    monkeypatch.setattr(providers, "is_offered", lambda engine: False)
    path = odd_onnx.write(
        tmp_path / "odd.onnx", [*odd_onnx.body(activation="Softsign"), *odd_onnx.FLATTEN]
    )
    wanted = r"cannot run its operator Softsign \(node 'act1'\); pip install 'mfr-kit\[gpu\]'"
    with pytest.raises(KitError, match=wanted):
        recogniser(path, device="cuda")
    with pytest.raises(KitError, match=r"no tensorrt provider: pip install 'mfr-kit\[gpu\]'"):
        recogniser(path, device="tensorrt")
    assert recogniser(path, device="auto").device == "cpu"
    assert "--device auto: onnxruntime runs odd on the CPU" in capsys.readouterr().err
    with pytest.raises(KitError, match="Softsign"):
        recogniser(path, device="auto", precision="bf16")


def test_two_packages_of_onnxruntime_are_told(monkeypatch):
    monkeypatch.setattr(providers, "is_offered", lambda engine: False)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1")
    with pytest.raises(KitError, match="onnxruntime and onnxruntime-gpu overwrite each other"):
        providers.refuse_missing(Provider(), "m.onnx")


def test_an_export_of_ours_is_a_torch_network_where_only_torch_has_the_device(tmp_path):
    torch.manual_seed(0)
    model = build_backbone("mobilefacenet", 16, 0.25).eval()
    path = tmp_path / "m.onnx"
    export.write(export.export_graph(model, 11)[0], path)
    source = recogniser(path)
    found = ConvertedEmbedder(source, torch.device("cpu"))
    assert found.parity <= 1e-6
    wanted, rows = source.embed(FACES), found.embed(FACES)
    assert cosine_difference(wanted, rows).max() < 1e-9
    both = found.begin(FACES, mirrored=True)()
    wanted = source.embed(FACES[:, :, ::-1])
    assert cosine_difference(wanted, both[5:]).max() < 1e-9
    assert (found.name, found.fingerprint) == (source.name, source.fingerprint)
    rounded = ConvertedEmbedder(source, torch.device("cpu"), "bf16")
    cosines = 1 - cosine_difference(rounded.embed(FACES), rows)
    assert 0.9 < cosines.min() < 1 - 1e-7
    assert identity.describe_model(rounded) != identity.describe_model(found)


def test_a_network_that_differs_from_its_file_is_refused(tmp_path, monkeypatch):
    source = recogniser(odd_onnx.write(tmp_path / "m.onnx"))
    relu = graph_network.OPERATORS["Relu"]
    bent = {**graph_network.OPERATORS, "Relu": lambda *given: (relu(*given)[0] + 0.01,)}
    monkeypatch.setattr(graph_network, "OPERATORS", bent)
    with pytest.raises(KitError, match=r"m.onnx gives other embeddings as a torch network: 1 - "):
        ConvertedEmbedder(source, torch.device("cpu"))


def test_a_graph_whose_batch_is_fixed_inside_is_run_in_parts(tmp_path):
    source = recogniser(odd_onnx.write(tmp_path / "m.onnx", **odd_onnx.reshape(1, -1)))
    assert source.batch == 1
    found = ConvertedEmbedder(source, torch.device("cpu"))
    np.testing.assert_allclose(found.embed(FACES), odd_onnx.expected(FACES), rtol=1e-4, atol=1e-5)


def test_sface_as_a_torch_network_is_the_onnx_file():
    need("sface")
    source = load_embedder("sface", threads=1)
    found = ConvertedEmbedder(source, torch.device("cpu"))
    assert found.parity < 1e-9
    assert (found.name, found.normalisation) == ("sface", "raw_0_255")
    assert found.model.weights.get_parameter("bn1.weight").requires_grad
