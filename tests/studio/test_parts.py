"""The studio's parts: the gate, places, photographs, thresholds, and the command itself."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from email.message import Message
from pathlib import Path

import numpy as np
import pytest

import mfr_kit as mk
from mfr_kit.errors import KitError
from mfr_kit.masks import drawn_heads, pose
from mfr_kit.studio import comparison, places, try_mask
from mfr_kit.studio.access import Gate
from mfr_kit.studio.comparison import Models, compare, thresholds_of
from mfr_kit.studio.photographs import Photographs, draw_head, of_face
from mfr_kit.studio.places import Place
from tests.conftest import write_faceset
from tests.studio.conftest import THRESHOLDS, write_model

ROOT = Path(__file__).resolve().parent.parent.parent


def headers(**named: str) -> Message:
    found = Message()
    for name, value in named.items():
        found[name.replace("_", "-")] = value
    return found


@pytest.mark.parametrize(
    ("listens", "host", "may"),
    [
        ("127.0.0.1", "127.0.0.1:1", True),
        ("127.0.0.1", "10.0.0.5", False),
        ("127.0.0.1", "name.example", False),
        ("0.0.0.0", "10.0.0.5:8112", True),  # an address is no name that somebody else points here
        ("0.0.0.0", "name.example", False),
        ("0.0.0.0", "localhost", True),
        ("desk.example", "desk.example:8112", True),
        ("desk.example", "DESK.example", True),
        ("desk.example", "other.example", False),
        ("::1", "[::1]:8112", True),
    ],
)
def test_hosts_that_a_gate_knows(listens, host, may):
    assert (Gate(listens).why_not(headers(Host=host)) == "") is may


def test_two_studios_have_two_keys():
    one, other = Gate("127.0.0.1"), Gate("127.0.0.1")
    cookie = one.cookie(81).split(";")[0]
    assert one.has_key(headers(Cookie=f"a=b; {cookie}"), 81)
    assert not one.has_key(headers(Cookie=cookie), 82)
    assert not other.has_key(headers(Cookie=cookie), 81)
    assert not one.has_key(headers(), 81)
    assert not one.is_key("")


def test_folders_are_looked_through_to_a_depth_and_a_number(tmp_path, monkeypatch):
    deep = tmp_path
    for _ in range(places.DEEPEST + 1):
        deep = deep / "d"
    mk.draw_face_set(deep, people=2, photos=1)
    mk.draw_face_set(deep.parent.parent / "set", people=2, photos=1)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "model.onnx").write_bytes(b"")
    found, note = places.find_places([tmp_path, tmp_path])
    name = "/".join([tmp_path.name, *["d"] * (places.DEEPEST - 1)])
    assert [(place.kind, place.name) for place in found] == [("set", f"{name}/set")]
    assert note == ""
    monkeypatch.setattr(places, "MOST_FOLDERS", 2)
    found, note = places.find_places([tmp_path])
    assert found == []
    assert "only the first 2 folders" in note


def test_the_oldest_photograph_goes():
    held = Photographs(kept=2)
    picture = of_face(np.zeros((112, 112, 3), np.uint8), np.zeros((5, 2), np.float32))
    first, second = held.add(picture), held.add(picture)
    held.get(first)  # now the second is the oldest
    third = held.add(picture)
    assert held.get(first) is held.get(third)
    with pytest.raises(KitError, match="not held any more"):
        held.get(second)
    fourth = held.add(picture, replaces=third)
    assert len(held) == 2
    held.get(first)
    held.get(fourth)


def test_a_turned_head_has_the_landmarks_of_that_turn():
    _, frontal = drawn_heads.draw(120, 0, 0, 0)
    turned = try_mask.turned(frontal, {"yaw": 30.0, "pitch": 0.0, "roll": 0.0})
    assert pose.estimate(turned).yaw == pytest.approx(30, abs=3)
    assert turned.mean(axis=0) == pytest.approx(frontal.mean(axis=0), abs=1.5)
    found = try_mask.angles_of(draw_head(20, 0, 0, 0))
    assert found["yaw"] == pytest.approx(20, abs=3)
    with pytest.raises(KitError, match="yaw"):
        try_mask.turned(frontal, {"pitch": 0.0, "roll": 0.0})


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A model whose file carries no threshold, and the report that measured it."""
    from torch import nn

    folder = tmp_path_factory.mktemp("measured")
    network = nn.Sequential(nn.Conv2d(3, 8, 28, stride=28), nn.Flatten())
    mk.export_onnx(network, folder / "bare.onnx")
    write_faceset(folder / "set", people=24, takes=4)
    found = mk.evaluate(folder / "bare.onnx", folder / "set", far=[0.1], resamples=0, flip=True)
    (folder / "report").mkdir()
    (folder / "report" / "report.json").write_text(json.dumps(found.to_dict()))
    return folder, found.to_dict()


def test_a_report_of_the_same_weights_knows_the_threshold(measured):
    folder, report = measured
    model = Models().get(str(folder / "bare.onnx"))
    assert model.points == []
    place = Place("report", folder / "report", "report")
    faces = mk.FaceSet(folder / "set").clean()
    pair = {"a": faces.image(0), "b": faces.image(1)}
    (row,) = compare(model, pair, [place])["pairs"]
    (point,) = row["points"]
    wanted = report["protocols"]["nonmask-nonmask"]["models"]["bare"]["tar_at_far"][0]
    assert point["threshold"] == wanted["threshold"]
    assert point["source"] == "the report report"
    # measured with --flip: the score is that of sums with the mirrored faces
    both = np.stack([pair["a"], pair["b"]])
    sums = model.embedder.embed(both) + model.embedder.embed(both[:, :, ::-1])
    a, b = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    assert point["score"] == pytest.approx(float(a @ b), abs=1e-6)
    assert abs(point["score"] - row["score"]) > 1e-6


def test_of_two_reports_the_one_with_more_comparisons_counts(measured, tmp_path):
    folder, report = measured
    fewer = json.loads(json.dumps(report))
    for entry in fewer["protocols"].values():
        entry["models"]["bare"]["comparisons"]["impostor"] -= 1
        for row in entry["models"]["bare"]["tar_at_far"]:
            row["threshold"] = 2.0
    (tmp_path / "report.json").write_text(json.dumps(fewer))
    reports = [Place("report", tmp_path, "fewer"), Place("report", folder / "report", "more")]
    model = Models().get(str(folder / "bare.onnx"))
    face = mk.FaceSet(folder / "set").image(0)
    for order in (reports, reports[::-1]):
        (row,) = compare(model, {"a": face, "b": face}, order)["pairs"]
        assert [point["source"] for point in row["points"]] == ["the report more"]
        assert row["points"][0]["accepted"]


def test_a_report_of_other_weights_knows_nothing(measured, tmp_path):
    folder, _ = measured
    place = Place("report", folder / "report", "report")
    other = Models().get(str(write_model(tmp_path / "other.onnx")))
    known = thresholds_of(other, [place])
    assert {item.source for item in known} == {"the model's file"}
    assert {item.point.threshold for item in known} == set(THRESHOLDS.values())
    stranger = comparison.Loaded(other.embedder, [])
    assert thresholds_of(stranger, [place]) == []
    (tmp_path / "report.json").write_text("{}")
    assert thresholds_of(stranger, [Place("report", tmp_path, "odd")]) == []


def test_only_the_latest_models_stay(tmp_path):
    models = Models(kept=1)
    specs = [str(write_model(tmp_path / f"{name}.onnx")) for name in "ab"]
    first = models.get(specs[0])
    assert models.get(specs[0]) is first
    models.get(specs[1])
    assert models.get(specs[0]) is not first


def test_the_page_does_not_wait_for_torch():
    code = "import sys, mfr_kit.studio.server; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


@pytest.mark.slow  # where others use the processors too
@pytest.mark.skipif(os.name == "nt", reason="no POSIX signals on Windows")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_stopped(tmp_path, number):
    command = [sys.executable, "kit.py", "studio", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline()
            port = int(re.search(r"http://127\.0\.0\.1:(\d+)/\?key=\S+", address)[1])
            process.stdout.readline()  # from then on it serves, or is about to
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/")
            assert connection.getresponse().status == 401
            process.send_signal(number)
            said, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert said.strip() == "stopped"
    assert process.returncode == 0
