"""Activation checkpointing computes the same with less memory."""

import copy

import pytest
import torch
from torch import nn

from mfr_kit import registry
from mfr_kit.errors import KitError
from mfr_kit.models.weights import BACKBONES, build_backbone
from mfr_kit.training import networks
from mfr_kit.training.ranks import Ranks
from mfr_kit.training.recompute import recompute_blocks
from mfr_kit.training.settings import Descent, Layers, Wrapping

SMALLEST = (
    "edgeface-xxs",
    "ir18",
    "iresnet18",
    "mobilefacenet",
    "mobilefacenet-large",
    "mobilenetv2",
    "sface",
    "vit-t",
)


def test_no_family_of_backbones_is_left_out():
    def family(name: str) -> str:
        return name.partition("-")[0].rstrip("0123456789")

    assert set(map(family, SMALLEST)) == set(map(family, registry.names(BACKBONES)))


@pytest.mark.parametrize("name", SMALLEST)
def test_losses_gradients_and_statistics_are_the_same(name):
    torch.manual_seed(0)
    plain = build_backbone(name, 16, 0.25 if name != "sface" else 1.0).double().train()
    saving = copy.deepcopy(plain)
    assert recompute_blocks(saving) >= 8
    faces = torch.randn(4, 3, 112, 112, dtype=torch.float64)
    for model in (plain, saving):
        torch.manual_seed(1)  # the tokens that a ViT leaves out
        model(faces).square().sum().backward()
    for (key, mine), other in zip(saving.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-9, atol=1e-9, msg=key)
    kept = plain.state_dict()
    for key, value in saving.state_dict().items():
        if "num_batches" not in key:
            torch.testing.assert_close(value, kept[key], rtol=1e-9, atol=1e-12, msg=key)
    torch.testing.assert_close(saving.eval()(faces), plain.eval()(faces))


def test_blocks_keep_their_inputs_alone():
    def kept_values(recompute: bool) -> int:
        model = build_backbone("mobilefacenet", 16, 0.5).train()
        if recompute:
            recompute_blocks(model)
        sizes: dict[int, int] = {}

        def pack(tensor):
            sizes[tensor.data_ptr()] = tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            out = model(torch.randn(2, 3, 112, 112))
        out.sum()
        return sum(sizes.values())

    assert kept_values(True) < kept_values(False) / 2


def test_batch_statistics_over_ranks_are_refused_where_torch_has_none():
    student = build_backbone("mobilefacenet", 16, 0.25)
    descent = Descent("sgd", 0.1, 0.0, 0.0)
    state = networks.make_state(student, (16, 16), None, descent, Layers(), False)
    ranks = Ranks(0, 2)
    with pytest.raises(KitError, match=r"--sync-norms.*--freeze-bn"):
        networks.join(state, ranks, torch.device("cpu"), Wrapping(sync_norms=True))
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in student.modules())
