import math

import numpy as np
import pytest
import torch

from mfr_kit.losses import _margin


def naive(student, labels, weight, kind, scale, margin, norm_mean=20.0, norm_std=100.0):
    total = 0.0
    for s, y in zip(student, labels, strict=True):
        norm = np.linalg.norm(s)
        logits = [float(s @ w) / norm / np.linalg.norm(w) for w in weight]
        quality = min(max(0.333 * (norm - norm_mean) / (norm_std + 1e-3), -1), 1)
        angle = math.acos(logits[y])
        logits[y] = {
            "arcface": math.cos(angle + margin),
            "cosface": logits[y] - margin,
            "adaface": math.cos(angle - margin * quality) - (margin * quality + margin),
        }[kind]
        exponents = [math.exp(scale * (z - max(logits))) for z in logits]
        total -= math.log(exponents[y] / sum(exponents))
    return total / len(student)


@pytest.mark.parametrize("kind", ["arcface", "cosface", "adaface"])
def test_it_equals_a_softmax_written_out(kind, batch, arrays):
    student, _, labels, *_ = arrays
    head = _margin.build(kind, 5, 8, scale=8.0).double().eval()
    found = head(batch.student, batch.labels).item()
    np.testing.assert_allclose(
        found,
        naive(student, labels, head.weight.detach().numpy(), kind, 8.0, head.margin),
        rtol=1e-9,
    )


@pytest.mark.parametrize("kind", ["arcface", "cosface", "adaface"])
def test_a_perfect_or_opposite_sample_keeps_a_finite_gradient(kind):
    head = _margin.build(kind, 3, 4)
    for sign in (1, -1):
        student = (sign * head.weight[:1].detach()).requires_grad_()
        loss = head(student, torch.tensor([0]))
        loss.backward()
        assert (
            torch.isfinite(loss)
            and torch.isfinite(student.grad).all()
            and torch.isfinite(head.weight.grad).all()
        )


def test_half_precision_students_are_judged_in_float32():
    head = _margin.build("arcface", 100, 16)
    student, labels = torch.randn(4, 16), torch.arange(4)
    torch.testing.assert_close(
        head(student.bfloat16(), labels), head(student.bfloat16().float(), labels), rtol=0, atol=0
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(head(student, labels), head(student.clone(), labels))
        assert head(student, labels).dtype == torch.float32


def test_a_margin_makes_the_task_harder(batch):
    for kind in ("arcface", "cosface"):
        torch.manual_seed(1)
        plain = _margin.build(kind, 5, 8, margin=0.0).double()
        torch.manual_seed(1)
        assert _margin.build(kind, 5, 8).double()(batch.student, batch.labels) > plain(
            batch.student, batch.labels
        )


def test_adaface_tracks_norms_only_while_training(batch):
    head = _margin.build("adaface", 5, 8).double()
    head(batch.student, batch.labels)
    wanted = 20.0 + 0.01 * (batch.student.norm(dim=1).mean().item() - 20.0)
    assert head.norm_mean.item() == pytest.approx(wanted)
    head.eval()(batch.student * 5, batch.labels)
    assert head.norm_mean.item() == pytest.approx(wanted)
