"""One reader for everybody's weights: whatever wrapping they come in, the same network comes
out, or one line says why not.
"""

import argparse
import json
import types

import pytest
import torch
from torch import nn

from mfr_kit.errors import KitError
from mfr_kit.models import weights_file, weights_fit


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def prefixed(state: dict, prefix: str) -> dict:
    return {prefix + key: value for key, value in state.items()}


def floats(state: dict, change) -> dict:
    return {
        key: change(value) if value.is_floating_point() else value for key, value in state.items()
    }


def safetensors(state: dict, path) -> None:
    header, data = {}, b""
    names = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}
    for key, value in state.items():
        raw = value.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        place = [len(data), len(data) + len(raw)]
        header[key] = {
            "dtype": names[value.dtype],
            "shape": list(value.shape),
            "data_offsets": place,
        }
        data += raw
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


OPTIMISER = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}
HEAD = {"weight": torch.zeros(9, 2)}
WRAPPED = {
    "plain": lambda s: s,
    "module": lambda s: prefixed(s, "module."),
    "compiled": lambda s: prefixed(s, "_orig_mod."),
    "compiled in DDP": lambda s: prefixed(s, "module._orig_mod."),
    "lightning": lambda s: {"state_dict": prefixed(s, "model."), "epoch": 3, "callbacks": {}},
    "net": lambda s: prefixed(s, "net."),
    "backbone": lambda s: prefixed(s, "model.backbone."),
    "insightface": lambda s: {
        "state_dict_backbone": prefixed(s, "module."),
        "state_dict_softmax_fc": HEAD,
        "state_optimizer": OPTIMISER,
        "global_step": 5,
    },
    "model": lambda s: {"model": s, "optimizer": OPTIMISER},
    "model_state_dict": lambda s: {"model_state_dict": s},
    "two levels": lambda s: {"checkpoint": {"net": s}, "epoch": 1},
    "twice the same": lambda s: {"model": s, "ema": {k: v.clone() for k, v in s.items()}},
    "no counters": lambda s: {k: v for k, v in s.items() if not k.endswith("num_batches_tracked")},
    "half": lambda s: floats(s, lambda v: v.half()),
    "bfloat16": lambda s: floats(s, lambda v: v.bfloat16()),
    "double": lambda s: floats(s, lambda v: v.double()),
    "parameters": lambda s: floats(s, nn.Parameter),
    "with a number": lambda s: {**s, "epoch": 3},
}


@pytest.mark.parametrize("wrapping", WRAPPED)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_wrapped_weights_are_found(tmp_path, capsys, wrapping, suffix):
    # half precision keeps these weights, so that all wrappings have one right value
    state = floats(network().state_dict(), lambda value: value.bfloat16().float())
    path, content = tmp_path / f"m{suffix}", WRAPPED[wrapping](state)
    if suffix == ".pth":
        torch.save(content, path)
    elif not all(isinstance(value, torch.Tensor) for value in content.values()):
        pytest.skip("safetensors holds tensors only")
    elif wrapping in ("double", "parameters"):
        pytest.skip("written the same as plain")
    else:
        safetensors(content, path)
    own = network().state_dict()
    found = weights_fit.match(weights_file.read_states(path), own, str(path), "network")
    assert list(found) == list(own)
    for key, value in found.items():
        assert value.dtype == own[key].dtype and torch.equal(value, state[key]), key
    assert not capsys.readouterr().err


def test_a_head_is_left_out_and_named(tmp_path, capsys):
    state = network().state_dict()
    content = {**prefixed(state, "backbone."), "head.weight": torch.zeros(9, 2)}
    own = network().state_dict()
    found = weights_fit.match({"": content}, own, "m.pth", "network")
    assert torch.equal(found["3.weight"], state["3.weight"])
    assert "1 tensors of a head are left out: head.weight" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("states", "words"),
    [
        (lambda s: {"": {**s, "neck.weight": torch.zeros(2)}}, "1 unexpected: neck.weight"),
        (lambda s: {"a": s, "b": floats(s, lambda v: v + 1)}, r"several networks \('a', 'b'\)"),
        (
            lambda s: {
                "": {**prefixed(s, "student."), **prefixed(floats(s, torch.sin), "teacher.")}
            },
            r"several networks \('student', 'teacher'\)",
        ),
        (
            lambda s: {"": {f"layer{k}": v for k, v in prefixed(s, "_").items()}},
            r"First keys found: layer_0.weight, .*; expected: 0.weight, 0.bias",
        ),
        (
            lambda s: {"m": {**s, "3.weight": torch.zeros(2, 5)}},
            r"1 of another shape: 3.weight \(2, 5\) for \(2, 4\)",
        ),
    ],
)
def test_what_does_not_fit_is_named(states, words):
    state = network().state_dict()
    with pytest.raises(KitError, match=words):
        weights_fit.match(states(state), state, "m.pth", "network")


def scripted(path):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), str(path))


def with_nan(path):
    state = network().state_dict()
    state["3.weight"] = torch.full((2, 4), torch.nan)
    torch.save(state, path)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (scripted, r"is TorchScript.*export it to ONNX"),
        (lambda path: torch.save(network(), path), r"Python objects \(torch.nn.modules"),
        (
            lambda path: torch.save({"a": torch.ones(1), "args": types.SimpleNamespace()}, path),
            r"Python objects \(types.SimpleNamespace\)",
        ),
        (
            lambda path: torch.save({"a": torch.ones(1), "args": argparse.Namespace()}, path),
            r"Python objects \(argparse.Namespace\)",
        ),
        (lambda path: torch.save({0: torch.ones(1)}, path), "numbers instead of names"),
        (lambda path: torch.save(torch.ones(1), path), "found a Tensor"),
        (lambda path: torch.save([], path), "found a list"),
        (lambda path: torch.save({}, path), "no state dict"),
        (with_nan, "'3.weight' holds numbers that are not finite"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lambda path: path.write_bytes(b"<!DOCTYPE html>"), "it is a web page"),
        (lambda path: path.write_bytes(b"version https://git-lfs.github.com/"), "git lfs pull"),
        (lambda path: path.write_bytes(b"PK\x03\x04 cut"), "cut short, damaged"),
        (lambda path: path.mkdir(), "is a folder"),
    ],
)
def test_what_cannot_be_read_is_said_in_our_words(tmp_path, write, words):
    path = tmp_path / "m.pth"
    write(path)
    with pytest.raises(KitError, match=words) as raised:
        weights_file.read_states(path)
    assert "weights_only" not in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("cut", [0, 4, 60, -1])
def test_a_safetensors_file_cut_short_is_named(tmp_path, cut):
    path = tmp_path / "m.safetensors"
    safetensors(network().state_dict(), path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(KitError, match=r"m\.safetensors.*(cut short)"):
        weights_file.read_states(path)
