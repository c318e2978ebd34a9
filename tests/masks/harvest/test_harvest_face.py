"""A mask that the kit draws on a head of its own is taken off again as it was; what is no mask is
left alone.
"""

import functools

import cv2
import numpy as np
import pytest

from mfr_kit.errors import KitError
from mfr_kit.masks import drawn_heads, library, variation
from mfr_kit.masks.fields import BOX
from mfr_kit.masks.harvest import take_off
from mfr_kit.masks.harvest.chart_view import SCALE
from mfr_kit.masks.harvest.face import Harvested, Repeats, harvest_face
from mfr_kit.masks.library import Mask
from mfr_kit.masks.render import render
from mfr_kit.seeding import rng_for

SIZE = 320


@functools.cache
def every() -> library.Library:
    return library.load(library.names())


def worn(name: str, yaw: float = 0, person: int = 0, size: int = SIZE, **changes):
    """A drawn head with a mask as its TOML has it: photograph, coverage, landmarks, parameters."""
    look = every().looks[name]
    drawn = variation.draw(look, every().mix, rng_for(0, person))
    placed = {"style": "right", "top": look.fit.top, "bottom": look.fit.bottom, "width": 1.0}
    plain = {"shift": 0.0, "tilt_deg": 0.0, "dirt": 0.0, "crumple": 0.0}
    parameters = drawn | placed | plain | changes
    head, landmarks = drawn_heads.draw(size, yaw, 3, 0, person)
    photo, coverage = render(head, landmarks, Mask(look, parameters), rng_for(1))
    return photo, coverage, landmarks, parameters


def truth(name: str) -> np.ndarray:
    """The opacity of a look's own texture, loops and all, over the chart."""
    alpha = every().looks[name].levels[0][..., 3]
    assert every().looks[name].box == BOX
    width, height = round((BOX[2] - BOX[0]) * SCALE), round((BOX[3] - BOX[1]) * SCALE)
    return cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA) > 127


@pytest.mark.parametrize("yaw", [0, -20])
@pytest.mark.parametrize("name", ["surgical-blue", "surgical-white", "surgical-black"])
def test_a_known_mask_comes_back(name: str, yaw: float):
    photo, _, landmarks, parameters = worn(name, yaw)
    before = photo.copy()
    harvested = harvest_face(photo, landmarks)
    assert isinstance(harvested, Harvested)
    assert np.array_equal(photo, before)
    found, known = harvested.texture[..., 3] > 127, truth(name)
    # beyond the ears' side of the body lie the loops, which are drawn anew
    body = np.abs(np.arange(known.shape[1]) / SCALE + BOX[0]) < 78
    assert (found & known)[:, body].sum() / (found | known)[:, body].sum() > 0.93
    colour = np.median(harvested.texture[..., :3][found & known], axis=0)
    assert np.abs(colour - parameters["base"]).max() < 22


def test_prints_stay_where_they_were():
    photo, _, landmarks, _ = worn("cloth-checks", person=2)
    harvested = harvest_face(photo, landmarks)
    assert isinstance(harvested, Harvested)
    own = cv2.resize(every().looks["cloth-checks"].levels[0], harvested.texture.shape[1::-1])
    middle = slice(150, 300), slice(160, 320)  # V 35 .. 110, U -40 .. 40
    found = harvested.texture[middle][..., :3].mean(axis=2)
    likeness = np.corrcoef(found.ravel(), own[middle][..., 0].ravel())[0, 1]
    assert abs(likeness) > 0.8


def test_dim_light_is_taken_off():
    photo, _, landmarks, _ = worn("surgical-blue")
    dim = np.rint(photo * 0.6).astype(np.uint8)
    bright, dark = (harvest_face(image, landmarks) for image in (photo, dim))
    assert isinstance(bright, Harvested) and isinstance(dark, Harvested)
    inside = (bright.texture[..., 3] > 250) & (dark.texture[..., 3] > 250)
    ratio = dark.texture[inside][:, :3].mean() / bright.texture[inside][:, :3].mean()
    assert 0.9 < ratio < 1.1


def test_the_side_that_is_turned_away_mirrors_the_other():
    photo, _, landmarks, _ = worn("cloth-checks", yaw=25)
    harvested = harvest_face(photo, landmarks)
    assert isinstance(harvested, Harvested)
    colours, mirrored = harvested.view.image, harvested.view.image[:, ::-1]
    place = slice(150, 280), slice(110, 200)  # V 35 .. 100, U -65 .. -20
    assert np.abs(colours[place] - mirrored[place]).mean() < 1


def test_the_edge_has_the_cloth_in_it_and_no_skin():
    photo, _, landmarks, _ = worn("surgical-blue")
    harvested = harvest_face(photo, landmarks)
    assert isinstance(harvested, Harvested)
    ring = take_off._ring(harvested.outline, 1.5)
    ring = ring[np.abs(ring[:, 0]) < 70]
    at = np.rint((ring - BOX[:2]) * SCALE).astype(int)
    colours = harvested.texture[at[:, 1], at[:, 0], :3].astype(int)
    assert (colours[:, 2] > colours[:, 0]).all()  # bluer than red; the skin is the other way round


def test_the_same_photograph_gives_the_same_texture():
    photo, _, landmarks, _ = worn("surgical-blue")
    first, second = harvest_face(photo, landmarks), harvest_face(photo, landmarks)
    assert isinstance(first, Harvested) and isinstance(second, Harvested)
    assert np.array_equal(first.texture, second.texture)
    repeats = Repeats()
    assert repeats.find(first) == ""
    repeats.add("one", first)
    assert repeats.find(second) == "one"
    other = harvest_face(worn("surgical-black")[0], landmarks)
    assert isinstance(other, Harvested) and repeats.find(other) == ""


def bearded(person: int) -> tuple[np.ndarray, np.ndarray]:
    """A drawn head with a dark beard from the nose downwards."""
    head, landmarks = drawn_heads.draw(SIZE, 0, 3, 0, person)
    nose, mouth = landmarks[2], landmarks[3:].mean(axis=0)
    eyes = np.linalg.norm(landmarks[1] - landmarks[0])
    layer = np.zeros(head.shape[:2], np.uint8)
    centre = (round(float(mouth[0])), round(float(mouth[1] + 0.25 * eyes)))
    cv2.ellipse(layer, centre, (round(0.95 * eyes), round(0.72 * eyes)), 0, 0, 360, 255, -1)
    layer[: round(float(nose[1] + 0.2 * eyes))] = 0
    noise = rng_for(3).normal(38, 9, head.shape).clip(0, 255)
    return np.where(layer[..., None] > 0, noise, head).astype(np.uint8), landmarks


@pytest.mark.parametrize("person", range(6))
@pytest.mark.parametrize("yaw", [0, 20])
def test_bare_heads_are_refused(person: int, yaw: float):
    assert isinstance(harvest_face(*drawn_heads.draw(SIZE, yaw, 3, 0, person)), str)


@pytest.mark.parametrize("person", range(3))
def test_beards_and_hands_are_refused(person: int):
    assert isinstance(harvest_face(*bearded(person)), str)
    hands = [name for name, look in every().looks.items() if look.kind == "hand"]
    photo, _, landmarks, _ = worn(hands[0], person=person)
    assert isinstance(harvest_face(photo, landmarks), str)


def test_reasons_are_told():
    photo, _, landmarks, _ = worn("surgical-blue", size=80)
    assert harvest_face(photo, landmarks) == "too_small"
    photo, _, landmarks, _ = worn("surgical-blue", yaw=55)
    assert harvest_face(photo, landmarks) == "turned_away"
    photo, _, landmarks, _ = worn("surgical-blue", top=55.0)
    assert harvest_face(photo, landmarks) == "below_nose"
    photo, _, landmarks, _ = worn("surgical-blue")
    cut = photo[: round(float(landmarks[3:, 1].mean()))]
    assert harvest_face(cut, landmarks) == "cut_off"
    assert harvest_face(*drawn_heads.draw(SIZE, 0, 3, 0, 0)) == "like_skin"
    with pytest.raises(KitError):
        harvest_face(photo, np.full((5, 2), np.nan))


def test_a_hand_before_the_mask_is_refused():
    photo, _, landmarks, _ = worn("surgical-blue")
    x, y = np.rint(landmarks[3:].mean(axis=0)).astype(int)
    skin = np.median(photo[110:130, 140:180].reshape(-1, 3), axis=0).tolist()
    cv2.circle(photo, (int(x) + 20, int(y)), 22, skin, -1)
    assert harvest_face(photo, landmarks) == "patchy"
