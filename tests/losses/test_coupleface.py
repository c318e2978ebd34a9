from dataclasses import replace

import numpy as np
import pytest
import torch

from mfr_kit.errors import KitError
from mfr_kit.losses._batch import unit
from mfr_kit.losses.coupleface import FORMS, Options, compare_relations, terms
from mfr_kit.losses.fcd import feature_consistency_loss


def cosine(a, b):
    return float(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b))


def naive(student, teacher, partners, q, form, normalise, sign):
    total, active = 0.0, 0
    for s, t, row in zip(student, teacher, partners, strict=True):
        for e in row:
            difference = sign * (cosine(s, e) - cosine(t, e))
            cost = {
                "hinge": max(difference - q, 0),
                "l1": abs(difference),
                "l2": difference**2,
                "deadzone": max(abs(difference) - q, 0),
            }[form]
            total += cost
            active += cost > 0
    relations = partners.shape[0] * partners.shape[1]
    return total / (relations if normalise == "all" else max(active, 1)), active / relations


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("normalise", ["all", "active"])
@pytest.mark.parametrize("form", FORMS)
def test_it_equals_a_loop_over_all_relations(batch, arrays, form, normalise, sign):
    student, teacher, _, _, partners = arrays
    found, share = compare_relations(
        batch.student,
        batch.teacher,
        batch.partners,
        tolerance=0.1,
        form=form,
        normalise=normalise,
        sign=sign,
    )
    wanted, wanted_share = naive(student, teacher, partners, 0.1, form, normalise, sign)
    assert wanted > 0
    np.testing.assert_allclose(found.item(), wanted, rtol=1e-10)
    assert share.item() == pytest.approx(wanted_share)


@pytest.mark.parametrize("tolerance", [0.0, 0.03, 1.0])
@pytest.mark.parametrize("form", FORMS)
def test_agreement_costs_nothing_and_pulls_nowhere(agreeing, form, tolerance):
    loss, share = compare_relations(
        agreeing.student,
        agreeing.teacher,
        agreeing.partners,
        tolerance=tolerance,
        form=form,
        normalise="all",
    )
    (gradient,) = torch.autograd.grad(loss, agreeing.student)
    assert loss.item() == 0
    assert gradient.abs().max() == 0
    assert share.item() == 0


def test_no_active_relation_gives_zero_not_nan(batch):
    loss, share = compare_relations(batch.student, batch.teacher, batch.partners, tolerance=2.0)
    loss.backward()
    assert (loss.item(), share.item()) == (0, 0)
    assert batch.student.grad.abs().sum() == 0


@pytest.mark.parametrize("form", FORMS)
def test_active_is_the_plain_form_times_relations_over_active_ones(batch, form):
    plain, share = compare_relations(
        batch.student, batch.teacher, batch.partners, form=form, normalise="all"
    )
    active, _ = compare_relations(
        batch.student, batch.teacher, batch.partners, form=form, normalise="active"
    )
    torch.testing.assert_close(active, plain / share)


def test_no_relation_differs_by_more_than_the_embeddings_do(batch):
    """Cauchy-Schwarz: the largest relation cost is bounded by the distance FCD squares."""
    for i in range(len(batch.student)):
        one = slice(i, i + 1)
        distance = feature_consistency_loss(batch.student[one], batch.teacher[one]).sqrt()
        for k in range(batch.partners.shape[1]):
            cost, _ = compare_relations(
                batch.student[one], batch.teacher[one], batch.partners[one, k : k + 1], form="l1"
            )
            assert cost <= distance + 1e-12


def test_the_gradient_of_one_relation_is_the_textbook_one(batch):
    student, partner = batch.student[:1].detach().requires_grad_(), batch.partners[:1, :1]
    loss, _ = compare_relations(
        student,
        -student.detach() @ torch.zeros(8, 8).double() + batch.teacher[:1],
        partner,
        tolerance=0,
        form="l1",
    )
    (gradient,) = torch.autograd.grad(loss, student)
    e, f = unit(partner[0, 0]).detach(), unit(student[0]).detach()
    textbook = (e - (f @ e) * f) / student[0].norm()
    sign = torch.sign(f @ e - unit(batch.teacher[0]).detach() @ e)
    torch.testing.assert_close(gradient[0], sign * textbook)


def test_it_sees_the_direction_of_an_error_that_fcd_does_not():
    teacher = torch.tensor([[1.0, 0, 0]])
    towards, away = torch.tensor([[0.9, 0.3, 0]]), torch.tensor([[0.9, -0.3, 0]])
    neighbour = torch.tensor([[[0.6, 0.8, 0]]])
    assert feature_consistency_loss(towards, teacher) == feature_consistency_loss(away, teacher)
    assert compare_relations(towards, teacher, neighbour)[0] > 0
    assert compare_relations(away, teacher, neighbour)[0] == 0


def test_the_total_is_the_weighted_sum(batch):
    options = Options(alpha_neg=2.0, alpha_pos=3.0, fcd_weight=0.5, rad_normalise="all")
    losses, figures = terms(batch, options, None)
    negative, share = compare_relations(
        batch.student, batch.teacher, batch.partners, normalise="all"
    )
    own = batch.prototypes[batch.labels].unsqueeze(1)
    positive, _ = compare_relations(batch.student, batch.teacher, own, normalise="all", sign=-1)
    torch.testing.assert_close(losses["rad_neg"], 2 * negative)
    torch.testing.assert_close(losses["rad_pos"], 3 * positive)
    torch.testing.assert_close(
        losses["fcd"], 0.5 * feature_consistency_loss(batch.student, batch.teacher)
    )
    assert figures["active"] == pytest.approx(share.item())


def test_bad_shapes_and_options_are_refused(batch):
    for partners in (batch.partners[:, :0], batch.partners[..., :4], batch.partners[0]):
        with pytest.raises(KitError, match="partners"):
            terms(replace(batch, partners=partners), Options(), None)
    for wrong in ({"alpha_neg": -1.0}, {"tolerance": 3.0}, {"neighbours": 0}):
        with pytest.raises(KitError, match="--"):
            Options(**wrong)
