"""What holds for every file of losses/, whatever it computes."""

from dataclasses import fields, replace

import pytest
import torch

from mfr_kit import registry
from mfr_kit.errors import KitError
from mfr_kit.losses._batch import Batch, unit

METHODS = registry.names("mfr_kit.losses")


def method(name, classes=5, size=8, **options):
    module = registry.get("mfr_kit.losses", name)
    options = module.Options(**options)
    torch.manual_seed(0)
    head = module.head(options, classes, size) if hasattr(module, "head") else None
    return (lambda batch: module.terms(batch, options, head)), head


def test_the_methods_promised_are_there():
    own = {"coupleface", "fcd", "mrd", "srt"}
    heads = {"arcface", "cosface", "adaface"}
    rivals = {"kd", "rkd", "sp", "fitnet", "shrinkteanet", "cckd", "darkrank", "crd", "ekd"}
    rivals |= {"triplet-distillation", "margin-distillation", "adadistill", "gkd"}
    rivals |= {"icd-face", "unikd"}
    assert set(METHODS) == own | heads | rivals


# weights that a method takes as constants, by design, out of what is differentiated
CONSTANTS = {"unikd": {"unikd_hardness": 0.0}}


@pytest.mark.parametrize("name", METHODS)
def test_gradients_are_those_of_the_value(name, batch):
    terms, head = method(name, **CONSTANTS.get(name, {}))
    if head is not None:
        head.double()
        terms(batch)  # so that what remembers batches has one to remember
        head.eval()

    def total(student):
        if name == "adaface":  # which takes the norm as a constant, by design: hold it constant
            student = 5 * unit(student)
        return sum(terms(replace(batch, student=student))[0].values())

    assert torch.autograd.gradcheck(
        total, (batch.student.detach().requires_grad_(),), atol=1e-5, rtol=1e-3
    )


@pytest.mark.parametrize("name", METHODS)
def test_the_teachers_side_gets_no_gradient(name, batch):
    terms, head = method(name)
    if head is not None:
        head.double()
    sum(terms(batch)[0].values()).backward()
    assert batch.student.grad.abs().sum() > 0
    assert batch.teacher.grad is None
    assert batch.partners.grad is None


@pytest.mark.parametrize("name", METHODS)
def test_what_it_minimises_falls(name, batch):
    terms, head = method(name)
    student = batch.student.detach().float().requires_grad_()
    single = Batch(
        student,
        batch.teacher.detach().float(),
        batch.labels,
        batch.prototypes.float(),
        batch.partners.detach().float(),
    )
    parameters = [student, *(head.parameters() if head is not None else ())]
    optimiser = torch.optim.Adam(parameters, lr=0.02)
    values = []
    for _ in range(60):
        loss = sum(terms(single)[0].values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values[-1] < 0.7 * values[0]


@pytest.mark.parametrize("name", METHODS)
def test_options_have_help_and_fcd_can_be_left_out(name, batch):
    module = registry.get("mfr_kit.losses", name)
    assert all(field.metadata["help"] for field in fields(module.Options))
    if name != "fcd":
        terms, head = method(name, fcd_weight=0.0)
        if head is not None:
            head.double()
        assert "fcd" not in terms(batch)[0]


def test_different_sizes_ask_for_a_projector(batch):
    with pytest.raises(KitError, match="projector"):
        replace(batch, student=batch.student[:, :4])
