import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from mfr_kit import providers
from mfr_kit.cli import main
from mfr_kit.errors import KitError
from mfr_kit.models import preprocess, trained_people, weights
from mfr_kit.submission import export, graph_passes

from .conftest import MS1M_LINEAGE, one_of_each_family, write_run


class Tail(nn.Module):
    """Every place a batch norm can stand in: before a padded and an unpadded convolution, before
    and after a matrix product.
    """

    def __init__(self):
        super().__init__()
        self.pad = nn.Sequential(
            nn.Conv2d(3, 4, 3, 2, 1), nn.PReLU(4), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, 4, 1)
        )
        self.bare = nn.Sequential(
            nn.PReLU(6),
            nn.BatchNorm2d(6),
            nn.Conv2d(6, 5, 2, 2),
            nn.Dropout(0.4),
            nn.BatchNorm2d(5),
        )
        self.out = nn.Sequential(nn.Flatten(), nn.Linear(5 * 49, 8), nn.BatchNorm1d(8))
        self.bare_product = nn.Sequential(
            nn.Flatten(), nn.Linear(3 * 49, 8, bias=False), nn.BatchNorm1d(8)
        )

    def forward(self, x):
        return self.out(self.bare(self.pad(x))) + self.bare_product(nn.functional.avg_pool2d(x, 16))


def shake(model):
    torch.manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            for tensor, low, high in (
                (module.weight, 0.5, 2),
                (module.bias, -1, 1),
                (module.running_mean, -1, 1),
                (module.running_var, 0.2, 3),
            ):
                if tensor is not None:
                    nn.init.uniform_(tensor, low, high)
    return model.eval()


def test_batch_norms_are_folded_where_that_is_exact(tmp_path):
    done = export.export_module(shake(Tail()), tmp_path / "m.onnx", {})
    assert done.counts["batch_norms_kept"] == 1  # the one in front of the padded convolution
    assert max(done.parity.values()) < 1e-9
    kinds = [node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node]
    assert kinds == [
        "Conv",
        "PRelu",
        "BatchNormalization",
        "Conv",
        "PRelu",
        "Conv",
        "Flatten",
        "Gemm",
        "AveragePool",
        "Flatten",
        "Gemm",
        "Add",
    ]


def test_a_file_for_a_cpu_is_the_same_function_without_prelu(tmp_path):
    done = export.export_module(shake(Tail()), tmp_path / "m.onnx", {}, for_cpu=True)
    assert max(done.parity.values()) < 1e-9
    nodes = onnx.load(tmp_path / "m.onnx").graph.node
    assert done.counts["nodes_after"] == len(nodes) == 12 + 2 * 3
    assert "PRelu" not in {node.op_type for node in nodes}
    # the organisers' guess
    assert not any(node.name.startswith(("Sub", "_minus", "Mul", "_mul", "Div")) for node in nodes)


def test_a_shared_value_is_not_folded_away(tmp_path):
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.end = (
                nn.Conv2d(3, 4, 16, 16),
                nn.BatchNorm2d(4),
                nn.Linear(4 * 49, 6),
            )

        def forward(self, x):
            x = self.conv(x)
            return self.end(torch.flatten(self.norm(x) * x, 1))  # the convolution is read twice

    done = export.export_module(shake(Shared()), tmp_path / "m.onnx", {})
    assert max(done.parity.values()) < 1e-9


@pytest.mark.parametrize("name", one_of_each_family())
def test_every_backbone_is_exported(name, tmp_path):
    model = shake(weights.build_backbone(name, 32, 0.25))
    done = export.export_module(model, tmp_path / "model.onnx", {})
    proto = onnx.load(tmp_path / "model.onnx")
    # no external data, no leftovers
    assert [item.name for item in tmp_path.iterdir()] == ["model.onnx"]
    assert proto.opset_import[0].version == 11 and proto.ir_version == 6
    assert max(done.parity.values()) <= export.TOLERANCE
    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    assert session.get_inputs()[0].shape[1:] == [3, 112, 112] and isinstance(
        session.get_inputs()[0].shape[0], str
    )
    for batch in (1, 2, 32):
        assert session.run(None, {"input": np.zeros((batch, 3, 112, 112), np.float32)})[
            0
        ].shape == (batch, done.embedding_size)


def test_the_comparison_takes_a_device_that_is_there_or_names_the_extra(run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    monkeypatch.setattr(providers, "is_offered", lambda engine: False)
    with pytest.raises(KitError, match=r"graph: .* no cuda provider: pip install 'mfr-kit\[gpu\]'"):
        export.export_run(run, run / "other.onnx", device="cuda")
    assert not (run / "other.onnx").exists()
    cuda = torch.device("cuda", 0)
    assert export._provider("auto", cuda) is None
    assert export._provider("tensorrt", cuda) == providers.Provider("tensorrt")
    monkeypatch.setattr(providers, "is_offered", lambda engine: True)
    monkeypatch.setattr(providers, "starts", lambda provider: False)
    assert export._provider("auto", cuda) is None
    assert export._provider("cuda", cuda) == providers.Provider()


def test_no_name_looks_like_a_normalisation(tmp_path):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.end = nn.Linear(3 * 49, 4)

        def forward(self, x):
            return self.end(torch.flatten((nn.functional.avg_pool2d(x, 16) - 0.1) * 2.0 / 3.0, 1))

    export.export_module(Named(), tmp_path / "m.onnx", {})
    names = [node.name for node in onnx.load(tmp_path / "m.onnx").graph.node]
    assert len(set(names)) == len(names)
    assert not [
        name for name in names if name.startswith(("Sub", "_minus", "Mul", "_mul", "Div", "/"))
    ]


def test_duplicates_and_dead_nodes_go():
    constant = [
        onnx.numpy_helper.from_array(np.ones(4, np.float32), name) for name in ("a", "b", "unused")
    ]
    nodes = [
        onnx.helper.make_node("Identity", ["x"], ["same"]),
        onnx.helper.make_node("Add", ["same", "a"], ["one"]),
        onnx.helper.make_node("Sub", ["same", "a"], ["dead"]),
        onnx.helper.make_node("Mul", ["one", "b"], ["y"]),
    ]
    value = onnx.helper.make_tensor_value_info
    made = onnx.helper.make_graph(nodes, "g", [value("x", 1, [4])], [value("y", 1, [4])], constant)
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 11)])
    counts = graph_passes.simplify(model)
    assert (counts["nodes_before"], counts["nodes_after"]) == (4, 2)
    assert [item.name for item in model.graph.initializer] == ["a"]
    assert [list(node.input) for node in model.graph.node] == [["x", "a"], ["one", "a"]]


def test_metadata_tells_where_the_model_is_from(run):
    told = {item.key: item.value for item in onnx.load(run / "model.onnx").metadata_props}
    assert told[preprocess.META_NORMALISATION] == "minus1_to_1"
    assert json.loads(told[preprocess.META_LINEAGE]) == MS1M_LINEAGE
    assert told[preprocess.META_FINGERPRINT] == weights.load_run(run).fingerprint
    assert (told[preprocess.META_EMBEDDING_SIZE], told[preprocess.META_OUTPUT]) == (
        "64",
        "backbone",
    )


def test_the_training_people_go_along_as_digests(tmp_path):
    run = write_run(tmp_path / "run")
    trained_people.store(run, ["Ann Smith", "#2"], [])
    path = export.export_run(run).path
    assert trained_people.among(trained_people.groups_of(path), ["Ann Smith", "Bo", "#2"]) == [
        "#2",
        "Ann Smith",
    ]
    assert b"Smith" not in path.read_bytes()


def test_same_run_same_bytes(run, tmp_path):
    export.export_run(run, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (run / "model.onnx").read_bytes()


def test_a_file_that_disagrees_is_not_written(tmp_path, monkeypatch):
    real = graph_passes.simplify

    def broken(model):
        counts = real(model)
        weight = next(item for item in model.graph.initializer if len(item.dims) == 4)
        weight.CopyFrom(
            onnx.numpy_helper.from_array(
                onnx.numpy_helper.to_array(weight)[:, ::-1].copy(), weight.name
            )
        )
        return counts

    monkeypatch.setattr(graph_passes, "simplify", broken)
    with pytest.raises(KitError, match="disagrees with torch"):
        export.export_module(shake(Tail()), tmp_path / "m.onnx", {})
    assert not list(tmp_path.iterdir())


def test_command_line(run, tmp_path, capsys):
    out = tmp_path / "deep" / "m.onnx"
    assert main(["export-onnx", str(run), "--out", str(out), "--opset", "12"]) == 0
    shown = capsys.readouterr().out
    assert (
        out.exists()
        and all(f"batch {size}:" in shown for size in (1, 2, 32))
        and "embedding kept: the backbone's" in shown
    )
    assert main(["export-onnx", str(run), "--opset", "17"]) == 2
    assert main(["export-onnx", str(tmp_path)]) == 2


class Constant(nn.Module):
    """Gives every face the same numbers, as a network does whose last layer has died."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)
        nn.init.zeros_(self.linear.weight)
        nn.init.constant_(self.linear.bias, value)

    def forward(self, faces):
        return self.linear(faces.mean((2, 3)))


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "all-zero embedding"), (0.5, "one and the same embedding for 32 different faces")],
)
def test_a_network_that_tells_no_faces_apart_is_not_exported(tmp_path, value, words):
    with pytest.raises(KitError, match=rf"the network \(Constant\) .*{words}"):
        export.export_module(Constant(value), tmp_path / "m.onnx", {})
    assert not list(tmp_path.iterdir())
