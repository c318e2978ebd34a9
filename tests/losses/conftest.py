from dataclasses import replace

import pytest
import torch

from mfr_kit.losses._batch import Batch, unit


@pytest.fixture
def batch() -> Batch:
    """Six samples of five identities in eight dimensions with four partners each, in float64;
    the student near its teacher.
    """
    rng = torch.Generator().manual_seed(7)
    teacher = torch.randn(6, 8, generator=rng, dtype=torch.float64) * 3
    student = (
        teacher + 1.5 * torch.randn(6, 8, generator=rng, dtype=torch.float64)
    ).requires_grad_()
    return Batch(
        student,
        teacher.requires_grad_(),
        labels=torch.tensor([0, 1, 2, 3, 4, 0]),
        prototypes=unit(torch.randn(5, 8, generator=rng, dtype=torch.float64)),
        partners=torch.randn(6, 4, 8, generator=rng, dtype=torch.float64).requires_grad_(),
    )


@pytest.fixture
def arrays(batch):
    """The same as NumPy arrays: student, teacher, labels, prototypes, partners."""
    fields = (batch.student, batch.teacher, batch.labels, batch.prototypes, batch.partners)
    return tuple(field.detach().numpy() for field in fields)


@pytest.fixture
def agreeing(batch) -> Batch:
    """The same batch with a student that equals its teacher up to the norm."""
    return replace(batch, student=(batch.teacher.detach() * 0.5).requires_grad_())
