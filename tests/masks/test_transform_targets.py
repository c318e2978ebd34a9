"""MaskAugment target by target, against what Compose and ReplayCompose offer."""

import functools
import json
import pickle

import albumentations
import numpy as np
import pytest

from mfr_kit.data.alignment.align import TEMPLATE
from mfr_kit.errors import KitError
from mfr_kit.masks import drawn_heads, library
from mfr_kit.masks.render import render
from mfr_kit.masks.transform import MaskAugment
from mfr_kit.seeding import rng_for
from tests.conftest import head

KEYPOINTS = albumentations.KeypointParams("xy", remove_invisible=False)
EMPTY = np.zeros((112, 112), np.uint8)
A, B = head(1), head(2)


@functools.cache
def every_look() -> library.Library:
    return library.load(library.names())


def rendered(image, replay, landmarks=TEMPLATE) -> tuple[np.ndarray, np.ndarray]:
    """What the renderer itself draws with the parameters of a replay."""
    params = replay["transforms"][-1]["params"]
    mask = every_look().replay(params["mask"])
    return render(image, landmarks, mask, rng_for(params["grain"]))


@pytest.fixture(scope="module")
def recorded():
    pipeline = albumentations.ReplayCompose(
        [MaskAugment(p=1)], additional_targets={"other": "image", "mask2": "mask"}
    )
    return pipeline(image=A, other=B, mask=EMPTY, mask2=EMPTY, mask_seed=(5, 0, 1))


def replay(record, **data):
    return albumentations.ReplayCompose.replay(record["replay"], **data)


def test_replay_on_another_photograph_masks_that_one(recorded):
    assert np.array_equal(recorded["image"], rendered(A, recorded["replay"])[0])
    again = replay(recorded, image=B, mask=EMPTY)
    image, coverage = rendered(B, recorded["replay"])
    assert np.array_equal(again["image"], image) and np.array_equal(again["mask"], coverage)
    assert np.array_equal(image[:40], B[:40]) and not np.array_equal(image, recorded["image"])


def test_parameters_are_small_and_survive_json(recorded):
    text = json.dumps(recorded["replay"])
    assert len(text) < 2000
    again = replay({"replay": json.loads(text)}, image=B)
    assert np.array_equal(again["image"], rendered(B, recorded["replay"])[0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mask": None}, "another version"),
        ({"grain": "7"}, "another version"),
        ({"mask": {"look": "gone"}}, "unknown mask look 'gone'"),
        ({"mask": {"look": "surgical-blue", "top": 3}}, "bottom must be a number"),
    ],
)
def test_damaged_parameters_are_refused(recorded, change, said):
    text = json.loads(json.dumps(recorded["replay"]))
    text["transforms"][0]["params"] |= change
    with pytest.raises(KitError, match=said):
        replay({"replay": text}, image=B)


def test_additional_targets_are_each_drawn_on(recorded):
    assert np.array_equal(recorded["other"], rendered(B, recorded["replay"])[0])
    assert np.array_equal(recorded["mask2"], rendered(A, recorded["replay"])[1])


@pytest.mark.parametrize("kind", [list, np.stack])
def test_images_and_their_masks_are_each_drawn_on(recorded, kind):
    out = replay(recorded, images=kind([A, B, A]), masks=kind([EMPTY] * 3))
    for found, covered, image in zip(out["images"], out["masks"], [A, B, A], strict=True):
        wanted, coverage = rendered(image, recorded["replay"])
        assert np.array_equal(found, wanted) and np.array_equal(covered, coverage)
    assert isinstance(out["images"], list) == (kind is list)


def test_volumes_are_drawn_on_slice_by_slice(recorded):
    clip = np.stack([A, B])
    depth = np.zeros((2, 112, 112, 1), np.float32)
    out = replay(recorded, volume=clip, mask3d=depth)
    wanted, coverage = rendered(B, recorded["replay"])
    assert np.array_equal(out["volume"][1], wanted)
    assert out["mask3d"].dtype == np.float32
    assert np.array_equal(out["mask3d"][1, ..., 0], coverage / np.float32(255))
    out = replay(recorded, volumes=clip[None], masks3d=depth[None, ..., 0])
    assert np.array_equal(out["volumes"][0, 1], wanted) and out["masks3d"].shape == (1, 2, 112, 112)


@pytest.mark.parametrize(
    ("mask", "wanted"),
    [
        (np.zeros((112, 112, 3), np.uint8), lambda c: np.repeat(c[..., None], 3, 2)),
        (np.zeros((112, 112), bool), lambda c: c > 127),
        (np.zeros((112, 112), np.int64), lambda c: c.astype(np.int64)),
        (np.zeros((112, 112), np.float64), lambda c: c / 255),
    ],
)
def test_mask_targets_keep_their_shape_and_type(recorded, mask, wanted):
    out = replay(recorded, image=A, mask=mask)["mask"]
    expected = wanted(rendered(A, recorded["replay"])[1])
    assert out.dtype == expected.dtype and np.array_equal(out, expected)
    assert out.flags.c_contiguous and not mask.any()


def test_each_photograph_takes_its_own_landmarks_else_the_samples():
    photo, landmarks = drawn_heads.draw(160, 25)
    second, others = drawn_heads.draw(160, -25, person=3)
    pipeline = albumentations.ReplayCompose(
        [MaskAugment(p=1)],
        keypoint_params=KEYPOINTS,
        additional_targets={"image2": "image", "keypoints2": "keypoints", "late": "image"},
    )
    out = pipeline(image=photo, keypoints=landmarks, image2=second, keypoints2=others, late=photo)
    assert np.array_equal(out["image2"], rendered(second, out["replay"], others)[0])
    assert np.array_equal(out["late"], out["image"])
    assert np.allclose(out["keypoints2"], others)
    again = replay(out, image=second, keypoints=others)
    assert np.array_equal(again["image"], out["image2"])


def test_landmarks_that_were_cropped_away_get_no_mask():
    whole = albumentations.Compose([MaskAugment(p=1)], keypoint_params=KEYPOINTS)
    lossy = albumentations.Compose(
        [albumentations.Crop(0, 0, 112, 112, p=1), MaskAugment(p=1)],
        keypoint_params=albumentations.KeypointParams("xy"),
    )
    photo = np.full((300, 300, 3), 128, np.uint8)
    gone = lossy(image=photo, keypoints=TEMPLATE + 150, mask=np.zeros((300, 300), np.uint8))
    assert np.array_equal(gone["image"], photo[:112, :112]) and not gone["mask"].any()
    with pytest.warns(UserWarning, match="2 keypoints are left.*remove_invisible=False"):
        half = lossy(image=photo, keypoints=TEMPLATE + np.array([0, 50]))
    assert np.array_equal(half["image"], photo[:112, :112])
    beyond = whole(image=A, keypoints=TEMPLATE + 500)
    assert np.array_equal(beyond["image"], A)


@pytest.mark.parametrize(
    ("form", "box"),
    [
        ("pascal_voc", [10, 20, 60, 80]),
        ("coco", [10, 20, 50, 60]),
        ("yolo", [0.5, 0.5, 0.25, 0.5]),
        ("albumentations", [0.1, 0.2, 0.5, 0.75]),
    ],
)
def test_boxes_and_labels_pass_through(form, box):
    pipeline = albumentations.Compose(
        [MaskAugment(p=1)],
        bbox_params=albumentations.BboxParams(form, label_fields=["who"]),
    )
    out = pipeline(image=A, bboxes=[box], who=["Aaron"])
    assert np.allclose(out["bboxes"], [box]) and list(out["who"]) == ["Aaron"]
    assert not np.array_equal(out["image"], A)


@pytest.mark.parametrize("form", ["xy", "yx", "xya", "xys", "xyas", "xysa", "xyz"])
def test_keypoints_of_every_format_and_their_labels_pass_through(form):
    columns = {"x": TEMPLATE[:, 0], "y": TEMPLATE[:, 1], "a": np.full(5, 30.0)}
    columns |= {"s": np.full(5, 2.0), "z": np.zeros(5)}
    points = np.stack([columns[name] for name in form], axis=1)
    params = albumentations.KeypointParams(form, label_fields=["part"])
    pipeline = albumentations.Compose([MaskAugment(p=1)], keypoint_params=params)
    out = pipeline(image=A, keypoints=points, part=list("abcde"), mask_seed=(1,))
    plain = albumentations.Compose([MaskAugment(p=1)], keypoint_params=KEYPOINTS)
    expected = plain(image=A, keypoints=TEMPLATE, mask_seed=(1,))["image"]
    assert np.allclose(out["keypoints"], points, atol=1e-4) and list(out["part"]) == list("abcde")
    assert np.abs(out["image"].astype(int) - expected).max() <= 1  # x and y as float32


def test_float_photographs_are_drawn_on_like_bytes(recorded):
    image = A.astype(np.float32) / 255 + np.float32(0.0001)
    out = replay(recorded, image=np.clip(image, 0, 1))["image"]
    assert out.dtype == np.float32
    wanted = rendered(A, recorded["replay"])[0]
    assert np.abs(out * 255 - wanted).max() < 0.1
    assert np.array_equal(out[:40], np.clip(image, 0, 1)[:40])  # not rounded where nothing is drawn


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (A[..., 0], "RGB.*ToRGB"),
        (A[..., :1], "RGB.*ToRGB"),
        (np.dstack([A, A[..., 0]]), "drawn on RGB"),
        (A.astype(np.uint16), "uint8 RGB"),
        (A.astype(np.float32), "before Normalize"),
        (np.full((112, 112, 3), np.nan, np.float32), "before Normalize"),
    ],
)
def test_what_is_no_rgb_photograph_is_refused_in_one_line(image, reason):
    with pytest.raises(KitError, match=reason) as caught:
        albumentations.Compose([MaskAugment(p=1)])(image=image)
    assert "\n" not in str(caught.value)


def test_masks_that_do_not_fit_their_photographs_are_refused(recorded):
    with pytest.raises(KitError, match=r"'masks' of shape \(2, 112, 112\) does not fit"):
        replay(recorded, images=[A, B, A], masks=[EMPTY] * 2)
    with pytest.raises(KitError, match="int8 cannot hold"):
        replay(recorded, image=A, mask=EMPTY.astype(np.int8))


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan"), "0.5", None, True])
def test_p_out_of_range_is_refused(p):
    with pytest.raises(KitError, match="between 0 and 1"):
        MaskAugment(p=p)


@pytest.mark.parametrize("seed", [(-1, 0), "ab", 3, (1, None)])
def test_seeds_that_are_no_whole_numbers_are_refused(seed):
    with pytest.raises(KitError, match=r"mask_seed.*whole numbers"):
        MaskAugment(p=1)(image=A, mask_seed=seed)


def test_a_folder_that_changed_is_read_again(tmp_path):
    text = (library.FOLDER / "grey.toml").read_text(encoding="utf-8")
    (tmp_path / "grey.toml").write_text(text)
    first = MaskAugment(folder=tmp_path, p=1)(image=A, mask_seed=(1,))["image"]
    (tmp_path / "grey.toml").write_text(text.replace("#808080", "#ff0000") + "# red")
    second = MaskAugment(folder=tmp_path, p=1)(image=A, mask_seed=(1,))["image"]
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_saved_and_loaded_pipelines_draw_the_same(tmp_path, form):
    pipeline = albumentations.Compose([MaskAugment("kn95", folder=library.FOLDER, p=1)], seed=3)
    path = tmp_path / f"pipeline.{form}"
    albumentations.save(pipeline, path, data_format=form)
    again = albumentations.load(path, data_format=form)
    again.set_random_seed(3)
    assert np.array_equal(pipeline(image=A)["image"], again(image=A)["image"])


def test_pickles_are_small_and_draw_the_same():
    pipeline = albumentations.Compose([MaskAugment(p=1)])
    pipeline(image=A)
    data = pickle.dumps(pipeline)
    assert len(data) < 20_000  # no textures
    seed = {"mask_seed": (1, 2)}
    again = pickle.loads(data)(image=A, **seed)["image"]
    assert np.array_equal(again, pipeline(image=A, **seed)["image"])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: albumentations.OneOf([t], p=1),
        lambda t: albumentations.SomeOf([t, albumentations.NoOp()], n=2, p=1),
        lambda t: albumentations.Sequential([t], p=1),
        lambda t: albumentations.Compose([t], additional_targets={"other": "image"}),
    ],
)
def test_replay_from_inside_other_compositions(wrap):
    pipeline = albumentations.ReplayCompose(
        [wrap(MaskAugment(p=1))], additional_targets={"other": "image"}
    )
    out = pipeline(image=A, other=B)
    again = replay({"replay": json.loads(json.dumps(out["replay"]))}, image=B)
    assert np.array_equal(again["image"], out["other"])
    assert not np.array_equal(out["image"][60:], A[60:])


def test_strict_pipelines_take_the_seed_and_views_are_left_alone():
    view = np.repeat(A, 2, axis=0)[::2, ::-1]
    view.setflags(write=False)
    pipeline = albumentations.Compose([MaskAugment(p=1)], strict=True)
    out = pipeline(image=view, mask_seed=(4, 4))["image"]
    assert np.array_equal(view, A[:, ::-1]) and out.flags.c_contiguous
    assert np.array_equal(out, pipeline(image=A[:, ::-1].copy(), mask_seed=(4, 4))["image"])
