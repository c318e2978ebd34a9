"""What the studio answers is what the kit's own functions say."""

import base64

import cv2
import numpy as np
import pytest

import mfr_kit as mk
from mfr_kit.data.images import decode_rgb, encode
from mfr_kit.masks import drawn_heads
from mfr_kit.studio.photographs import draw_head
from tests.conftest import files_of
from tests.studio.conftest import THRESHOLDS, flat_picture, need, photograph

HEAD = {"yaw": 5.0, "pitch": 0.0, "roll": 0.0, "person": 0}


def pixels_of(url: str) -> np.ndarray:
    return decode_rgb(base64.b64decode(url.partition(",")[2]), "")


def test_a_mask_is_what_put_mask_draws(client):
    held = client.ask("/api/head", HEAD).table
    mask = {"look": "surgical-blue", "seed": 7}
    drawn = client.ask("/api/mask", {"photo": held["photo"], "mask": mask}).table
    head = draw_head(5, 0, 0, 0)
    wanted = mk.put_mask(head.image, 7, "surgical-blue", head.landmarks)
    found = pixels_of(drawn["image"]).astype(int)
    assert np.abs(found - wanted).mean() < 2  # a JPEG of it
    assert np.abs(found - pixels_of(held["image"])).mean() > 5
    assert pixels_of(drawn["face"]).shape == (112, 112, 3)


def test_what_the_user_moves_changes_and_nothing_else(client):
    photo = client.ask("/api/head", HEAD).table["photo"]
    mask = {"look": "surgical-blue", "seed": 7, "style": "askew"}
    before = client.ask("/api/mask", {"photo": photo, "mask": mask}).table
    changes = {"top": 40, "hue": 0.25, "base": "#ff0000"}
    after = client.ask("/api/mask", {"photo": photo, "mask": {**mask, "changes": changes}}).table
    wanted = before["parameters"] | {"top": 40, "base": [255, 0, 0]}
    wanted["tone"] = [0.25, *before["parameters"]["tone"][1:]]
    assert after["parameters"] == wanted
    assert wanted["style"] == "askew"
    assert after["image"] != before["image"]
    angles = {"yaw": 40.0, "pitch": 0.0, "roll": 0.0}
    turned = client.ask("/api/mask", {"photo": photo, "mask": mask, "angles": angles}).table
    assert turned["parameters"] == before["parameters"]
    assert turned["image"] != before["image"]


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        ({"look": "surgical-blu"}, "surgical-blue"),
        ({"look": "gaiter-plain", "style": "under_chin"}, "not worn 'under_chin'"),
        ({"look": "surgical-blue", "changes": {"width": 9}}, "width must be a number"),
        ({"look": "surgical-blue", "changes": {"base": "red"}}, "#rrggbb"),
        ({"look": "surgical-blue", "changes": {"colour": 1}}, "slider"),
        ({"look": "surgical-blue", "changes": {"top": 110, "bottom": 60}}, "bottom lies above top"),
        ({"look": "surgical-blue", "seed": -1}, "seed"),
    ],
)
def test_a_mask_that_there_is_not_says_so(client, mask, says):
    photo = client.ask("/api/head", HEAD).table["photo"]
    answer = client.ask("/api/mask", {"photo": photo, "mask": mask})
    assert answer.status == 400
    assert says in answer.table["error"]


def test_an_upload_is_aligned_as_align_does_and_stays_in_memory(
    client, shown, tmp_path, monkeypatch
):
    need("yunet")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = files_of(shown)
    data = photograph(2)
    held = client.ask("/api/photo", data).table
    assert (pixels_of(held["face"]) == mk.align(decode_rgb(data, "")).image).all()
    assert (held["width"], held["height"]) == (320, 320)
    assert held["angles"]["yaw"] == pytest.approx(5, abs=8)
    assert files_of(shown) == before
    assert not list(tmp_path.iterdir())


def test_a_large_photograph_is_shown_smaller_and_aligned_as_it_is(client):
    need("yunet")
    image = cv2.resize(drawn_heads.draw(160, 5, 0, 0, 1)[0], (1500, 1500))
    held = client.ask("/api/photo", encode(image, ".png")).table
    assert (held["width"], held["height"]) == (1024, 1024)
    assert (pixels_of(held["face"]) == mk.align(image).image).all()
    drawn = client.ask(
        "/api/mask", {"photo": held["photo"], "mask": {"look": "surgical-black"}}
    ).table
    # the mask lies at the same place on both: where the aligned crop is dark, so is the picture
    assert np.abs(pixels_of(drawn["image"]).astype(int) - pixels_of(held["image"])).mean() > 5
    assert np.abs(pixels_of(drawn["face"]).astype(int) - pixels_of(held["face"])).mean() > 5


def test_a_photograph_without_a_face_says_so(client):
    need("yunet")
    faceless = client.ask("/api/photo", flat_picture())
    assert faceless.status == 400
    assert "no face found in the photograph (300x200 pixels)" in faceless.table["error"]


def test_what_is_no_photograph_says_so(client):
    broken = client.ask("/api/photo", b"no picture")
    assert broken.status == 400
    assert "the photograph" in broken.table["error"]


def test_two_faces_are_scored_against_the_thresholds_of_the_file(client, shown):
    a, b = (client.ask("/api/head", HEAD | {"person": at}).table["photo"] for at in (0, 1))
    model = client.ask("/api/state").table["models"][0]
    assert model["name"] == "model.onnx"
    asked = {"a": a, "b": b, "models": [model["key"], "spec nothing"]}
    asked |= {f"mask_{side}": {"look": "surgical-blue", "seed": 3} for side in "ab"}
    found = client.ask("/api/compare", asked).table
    own, other = found["models"]
    assert "not offered" in other["error"]
    embedder = mk.load_embedder(shown / "model.onnx")
    faces = {name: pixels_of(url) for name, url in found["faces"].items()}
    assert set(faces) == {"a", "b", "a masked", "b masked"}
    assert len(own["pairs"]) == 4
    for pair in own["pairs"]:
        rows = embedder.embed(np.stack([faces[pair["a"]], faces[pair["b"]]])).astype(np.float64)
        cosine = rows[0] @ rows[1] / np.linalg.norm(rows[0]) / np.linalg.norm(rows[1])
        assert pair["score"] == pytest.approx(cosine, abs=1e-5)
        masks = ("masked" in pair["a"]) + ("masked" in pair["b"])
        wanted = ("nonmask-nonmask", "mask-nonmask", "mask-mask")[masks]
        (point,) = pair["points"]
        assert (point["protocol"], point["threshold"]) == (wanted, THRESHOLDS[wanted])
        assert point["accepted"] == (cosine >= point["threshold"])
        assert point["set"] == "made-up"


def test_a_face_set_is_shown_with_twins_and_skipped_photographs(client):
    key = client.key_of("sets", "shown/set")
    about = client.ask(f"/api/set?key={key}").table
    assert (about["people"], about["faces"], about["twins"], about["masked"]) == (6, 12, 12, 0)
    people = client.ask(f"/api/people?key={key}&search=P03").table
    assert [row["name"] for row in people["people"]] == ["p03"]
    assert (people["people"][0]["faces"], people["people"][0]["twins"]) == (2, 2)
    person = client.ask(f"/api/person?key={key}&code={people['people'][0]['code']}").table
    assert [[face["twin"] for face in group] for group in person["faces"]] == [[False, True]] * 2
    row = person["faces"][0][0]["row"]
    picture = client.ask(f"/api/face?key={key}&row={row}")
    assert picture.headers["Content-Type"] == "image/jpeg"
    taken = client.ask("/api/take", {"set": key, "row": row}).table
    assert (pixels_of(taken["face"]) == decode_rgb(picture.body, "")).all()
    assert client.ask(f"/api/skipped?key={key}").table["rows"] == []


def test_curves_of_a_run(client):
    key = client.key_of("runs", "shown/run")
    found = client.ask(f"/api/run?key={key}").table
    assert found["step"] == 9
    assert found["curves"]["loss"] == [[step, 9 / step] for step in range(1, 9)]
    assert found["curves"]["terms, fcd"][1] == [2, 0.5]
    assert found["curves"]["validation: masked"] == [[8, 0.5], [9, 0.6]]
    assert found["pages"] == ["config.toml", "metrics.jsonl"]
