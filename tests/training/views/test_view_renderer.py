"""Views whose pixels are made for a batch in torch are those that the loader's workers make."""

import pickle

import cv2
import numpy as np
import pytest
import torch

from mfr_kit.data.alignment.align import TEMPLATE
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.masks import library
from mfr_kit.seeding import rng_for
from mfr_kit.training.views import view_plan
from mfr_kit.training.views.loader import BatchPlan, StudentViews, batches
from mfr_kit.training.views.order import every_face
from mfr_kit.training.views.photometry import ORDER, Recorder, photometry, seed
from mfr_kit.training.views.view import ViewRecipe, Views
from mfr_kit.training.views.view_renderer import ViewRenderer, change_hues, renders_there
from tests.conftest import head

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def masks():
    return library.load()


def share_off(wanted: np.ndarray, made: np.ndarray) -> float:
    """Share of pixels more than 2 grey levels off in any channel."""
    return float((np.abs(wanted.astype(int) - made).max(axis=-1) > 2).mean())


def both(recipe: ViewRecipe, masks, count: int, points=TEMPLATE):
    """Views as a worker draws them, as the renderer does, and their plans."""
    views, faces = Views(recipe, masks), [head(index % 5, index % 3) for index in range(count)]
    wanted = [views.draw(face, points, rng_for(2, 0, i)) for i, face in enumerate(faces)]
    plans = [views.plan(face, points, rng_for(2, 0, i)) for i, face in enumerate(faces)]
    assert [(one.mirrored, one.masked) for one in wanted] == [
        (one.mirrored, one.masked) for one in plans
    ]
    given = torch.from_numpy(np.stack([one.face for one in plans]))
    before = given.clone()
    made = ViewRenderer(masks, CPU).render(given, view_plan.pack(plans, masks))
    assert torch.equal(given, before) and made.dtype == torch.uint8
    return np.stack([one.image for one in wanted]), made.numpy(), plans


def test_masked_views_with_all_that_is_usual_are_the_same(masks):
    wanted, made, plans = both(ViewRecipe(mask_ratio=0.7), masks, 96)
    assert share_off(wanted, made) <= 1e-3
    kinds = {step.kind for plan in plans for step in plan.steps}
    assert kinds == set(ORDER)
    assert all((plan.mask is not None) == plan.masked for plan in plans)


def test_nothing_is_left_on_the_cpu(masks):
    """The meta device takes the place of one that is not there: it refuses tensors of others."""
    views = Views(ViewRecipe(mask_ratio=1.0), masks)
    plans = [views.plan(head(1), TEMPLATE, rng_for(2, 0, index)) for index in range(96)]
    faces = torch.from_numpy(np.stack([one.face for one in plans]))
    batch, meta = view_plan.pack(plans, masks), torch.device("meta")
    assert {kind for kind, _, _ in batch.outline.steps} == set(ORDER)
    made = ViewRenderer(masks, meta).render(faces, batch)
    assert made.device == meta and made.shape == faces.shape and made.dtype == torch.uint8


def test_a_degraded_view_and_a_mask_of_a_few_pixels_are_made_by_the_worker(masks):
    recipe = ViewRecipe(mask_ratio=0.5, photometric=0.0, degrade=1.0)
    wanted, made, plans = both(recipe, masks, 8)
    np.testing.assert_array_equal(wanted, made)
    assert all(plan.mask is None and not plan.steps for plan in plans)
    recipe = ViewRecipe(mask_ratio=1.0, photometric=0.0)
    wanted, made, plans = both(recipe, masks, 8, 50 + 0.1 * (TEMPLATE - 50))
    assert all(plan.mask is None and plan.masked for plan in plans)
    assert share_off(wanted, made) == 0


@pytest.mark.parametrize("drift", [0.0, 1.0, 12.0])
def test_mirror_and_drift_are_the_same_without_masks(drift):
    recipe = ViewRecipe(0.0, drift, drift_clean=drift, photometric=0.0)
    wanted, made, _ = both(recipe, None, 24)
    assert share_off(wanted, made) <= 1e-4


@pytest.mark.parametrize("probability", [1.0, 3.0])
def test_recorded_steps_are_drawn_as_albumentations_draws_them(probability):
    """And leave the generator where it leaves it."""
    composed, recorder, face = photometry(probability), Recorder(probability), head(1)
    wanted, plans = [], []
    for index in range(60):
        one, other = rng_for(7, index), rng_for(7, index)
        seed(composed, one)
        wanted.append(composed(image=face)["image"])
        plans.append(view_plan.ViewPlan(face, False, False, steps=recorder.draw(other)))
        assert one.random() == other.random()
    given = torch.from_numpy(np.stack([face] * len(plans)))
    made = ViewRenderer(None, CPU).render(given, view_plan.pack(plans, None))
    assert share_off(np.stack(wanted), made.numpy()) <= 1e-3


def loaded(folder, workers: int, planned: bool):
    dataset = StudentViews(
        FaceSet.open(folder), ViewRecipe(mask_ratio=0.6), 3, (None, None), planned=planned
    )
    plan = BatchPlan(every_face(len(FaceSet.open(folder)), 3), 7, 4)
    return list(batches(dataset, plan, workers))


@pytest.mark.slow
def test_batches_of_plans_give_the_views_of_any_number_of_workers(set_folder, masks):
    wanted, renderer = loaded(set_folder, 0, False), ViewRenderer(masks, CPU)
    made = {}
    for workers in (0, 2):
        found = loaded(set_folder, workers, True)
        assert len(found) == len(wanted) == 4
        for one, other in zip(found, wanted, strict=True):
            for name in ("indices", "epochs", "mirrored", "masked"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        made[workers] = torch.cat([renderer.render(one.images, one.plans) for one in found])
    assert torch.equal(made[0], made[2])
    assert share_off(torch.cat([one.images for one in wanted]).numpy(), made[0].numpy()) <= 1e-3
    assert not torch.equal(torch.cat([one.images for one in found]), made[0])


def test_a_batch_of_plans_is_one_tensor_and_comes_out_as_it_went_in(masks):
    """And is aligned, whatever the sizes of its parts."""
    parts = [("noise", torch.tensor([4]), torch.arange(7, dtype=torch.int8).view(1, 7))]
    parts.append(("grey", torch.tensor([0, 2]), torch.zeros(2, 0, dtype=torch.uint8)))
    plans = view_plan.ViewPlans(None, torch.rand(3, 2, 3, dtype=torch.float64), parts)
    bundle = view_plan.bundle(plans)
    opened = pickle.loads(pickle.dumps(bundle)).open(CPU)
    assert bundle.data.dtype == torch.uint8 and bundle.data.ndim == 1
    assert opened.masks is None and torch.equal(opened.matrices, plans.matrices)
    for (kind, *tensors), (same_kind, *same) in zip(plans.steps, opened.steps, strict=True):
        assert kind == same_kind
        for one, other in zip(tensors, same, strict=True):
            assert one.dtype == other.dtype and torch.equal(one, other)


def test_where_views_are_made_is_said_or_refused_in_one_line():
    cuda, mps = torch.device("cuda", 0), torch.device("mps")
    asked = [renders_there(choice, where) for choice in ("cpu", "auto") for where in (CPU, cuda)]
    assert asked == [False, False, False, True]
    assert renders_there("device", CPU) and not renders_there("auto", mps)
    with pytest.raises(KitError, match=r"^--render-on device: .*give --render-on cpu$"):
        renders_there("device", mps)


def test_every_hue_is_turned_as_opencv_turns_it():
    steps = np.arange(0, 256, 5, dtype=np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    picture = colours[: len(colours) // 112 * 112].reshape(-1, 112, 3)
    tables = np.stack([(np.arange(256) + 7) % 180, np.minimum(np.arange(256) + 11, 255)])
    tables[1, 0] = 0
    wanted = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    for channel in (0, 1):
        wanted[..., channel] = tables[channel][wanted[..., channel]]
    wanted = cv2.cvtColor(wanted, cv2.COLOR_HSV2RGB)
    given = torch.from_numpy(picture).float().movedim(2, 0)[None]
    made = change_hues(given, torch.from_numpy(tables.astype(np.uint8))[None])[0]
    assert (made.movedim(0, 2).numpy() != wanted).mean() < 1e-4
