"""Names and the free form of a network's input, against numbers that others publish."""

import numpy as np
import pytest
import torch

from mfr_kit.errors import KitError
from mfr_kit.models.input_format import NORMALISATIONS, InputFormat, canonical, parse
from mfr_kit.models.preprocess import input_of_network, to_input, to_tensor
from mfr_kit.models.spec import parse_specs

FACES = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)
PIXELS = FACES.astype(np.float64).transpose(0, 3, 1, 2)  # RGB planes
RGB_MEAN, RGB_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def planes(values) -> np.ndarray:
    return np.reshape(values, (3, 1, 1))


WANTED = {
    "minus1_to_1": (PIXELS - 127.5) / 127.5,
    "raw_0_255": PIXELS,
    "zero_to_1": PIXELS / 255,
    "minus1_to_1_by_128": (PIXELS - 127.5) / 128,
    "imagenet": (PIXELS / 255 - planes(RGB_MEAN)) / planes(RGB_STD),
}
WANTED |= {f"bgr_{name}": wanted[:, ::-1] for name, wanted in WANTED.items()}


def test_every_name_has_its_numbers_here():
    assert set(WANTED) == set(NORMALISATIONS)


@pytest.mark.parametrize("name", WANTED)
def test_a_name_is_what_its_authors_compute(name):
    found = to_input(FACES, name)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, WANTED[name], atol=3e-6)
    np.testing.assert_array_equal(to_tensor(FACES, name).numpy(), found)
    assert to_tensor(FACES, name).dtype == torch.float32
    least, most = NORMALISATIONS[name].range
    assert least - 1e-5 <= found.min() < found.max() <= most + 1e-5


def test_the_two_oldest_names_keep_their_bits():
    plain = FACES.transpose(0, 3, 1, 2).astype(np.float32)
    np.testing.assert_array_equal(to_input(FACES, "raw_0_255"), plain)
    scaled = (plain - np.float32(127.5)) / np.float32(127.5)
    np.testing.assert_array_equal(to_input(FACES, "minus1_to_1"), scaled)


def test_the_free_form_counts_in_the_order_that_the_network_gets():
    form = parse("mean=1/2/3+std=4/5/6+order=bgr")
    wanted = (PIXELS[:, ::-1] - planes((1, 2, 3))) / planes((4, 5, 6))
    np.testing.assert_allclose(to_input(FACES, form), wanted, atol=1e-5)
    np.testing.assert_allclose(to_tensor(FACES, form.text).numpy(), wanted, atol=1e-5)


def test_one_description_has_one_text():
    assert canonical("mean=127.5+std=127.5") == "minus1_to_1"
    assert canonical("order=BGR") == "bgr_raw_0_255"
    assert canonical("facenet") == "minus1_to_1_by_128"
    three = "mean=123.675,116.28,103.53,std=58.395,57.12,57.375"
    assert canonical(three) == canonical(three + ",order=rgb") == "imagenet"
    odd = InputFormat("bgr", (91.4953, 103.8827, 131.0912), (1e-3, 1 / 3, 2.0))
    assert parse(odd.text) == odd
    assert parse(parse("std=2").free_form) == InputFormat("rgb", (0, 0, 0), (2, 2, 2))
    assert parse("bgr_minus1_to_1").sentence == "(pixel - 127.5) / 127.5, BGR"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("imagenat", "Did you mean 'imagenet'"),
        ("mean=1/2", "one number, or three"),
        ("mean=nan", "one number, or three"),
        ("mean=", "one number, or three"),
        ("std=0", "above 0"),
        ("std=1/-2/3", "above 0"),
        ("mean=1+mean=2", "mean stands there twice"),
        ("men=1", "unknown key 'men'. Did you mean 'mean'"),
        ("order=gbr", "unknown order 'gbr'"),
        ("1+mean=2", "'1' is no key=value"),
    ],
)
def test_what_is_no_description_is_refused(text, complaint):
    with pytest.raises(KitError) as caught:
        parse(text)
    assert complaint in str(caught.value)
    assert "--normalisation" in str(caught.value)


def test_a_description_stands_behind_a_model_of_an_ensemble(tmp_path):
    one, two = tmp_path / "a.onnx", tmp_path / "b.onnx"
    one.touch()
    two.touch()
    both = parse_specs(f"{one}:mean=1/2/3+std=4+order=bgr,{two}:bgr_minus1_to_1,sface")
    texts = ["mean=1/2/3+std=4+order=bgr", "bgr_minus1_to_1", None]
    assert both == list(zip([str(one), str(two), "sface"], texts, strict=True))
    assert parse_specs(f"{one}:mean=1,2,3,std=4,order=bgr,{two}") == [
        (str(one), texts[0]),
        (str(two), None),
    ]
    with pytest.raises(KitError, match=r"normalisation behind .*a\.onnx: 'mean=1/2': mean takes"):
        parse_specs(f"{one}:mean=1/2")


def test_a_network_says_what_it_takes():
    network = torch.nn.Identity()
    assert input_of_network(network) == parse("minus1_to_1")
    network.normalisation = "bgr_minus1_to_1"
    assert input_of_network(network) == parse("bgr_minus1_to_1")
