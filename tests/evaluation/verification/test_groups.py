"""TAR by the turn of the head, recomputed pair by pair."""

from dataclasses import replace

import numpy as np
import pytest

from mfr_kit.data.face_set import faceset
from mfr_kit.data.face_set.faceset_writer import write_rows
from mfr_kit.evaluation.compare import measure
from mfr_kit.evaluation.verification.groups import face_sizes, head_turns, resolution, turn
from mfr_kit.evaluation.verification.rates import Plan
from mfr_kit.masks import head
from mfr_kit.seeding import rng_for
from tests.conftest import write_faceset
from tests.evaluation.tables import coarse


@pytest.mark.parametrize(
    ("yaw", "name"),
    [
        (0, "00 to 15 degrees"),
        (-14.99, "00 to 15 degrees"),
        (15, "15 to 30 degrees"),
        (-31, "30 to 45 degrees"),
        (45, "45 degrees and more"),
        (-89, "45 degrees and more"),
        (None, "not known"),
    ],
)
def test_ranges(yaw: float | None, name: str) -> None:
    assert turn(yaw) == name


def test_yaws_come_from_the_landmarks_and_hopeless_ones_are_left_out(tmp_path) -> None:
    """Heads turned by a known angle, projected to the landmarks of a set."""
    whole = write_faceset(tmp_path / "set", people=2, takes=3, twins=False)
    rows = whole.table.to_pylist()
    asked = [-50, -20, 0, 20, 50]
    for row, angle in zip(rows, asked, strict=False):
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        turned = head.LANDMARKS @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T
        row["landmarks"] = (turned[:, :2] * 0.6 + 56).ravel().tolist()
    rows[5]["landmarks"] = [56.0] * 10
    write_rows(tmp_path / "set", [(rows, [])], {})
    yaws = head_turns(faceset.FaceSet.open(tmp_path / "set"))
    assert rows[5]["key"] not in yaws and len(yaws) == 5
    assert [yaws[row["key"]] for row in rows[:5]] == pytest.approx(asked, abs=4)


def test_tar_of_each_range_equals_a_loop_over_the_pairs() -> None:
    rng = rng_for(4)
    faces = coarse(rng, 120, 8)
    faces = replace(
        faces, conditions=np.array(["mask", "nonmask"], object)[rng.integers(0, 2, 120)]
    )
    yaws = {str(key): float(rng.uniform(-60, 60)) for key in faces.keys[faces.found][5:]}
    fars = (0.3, 0.1)
    result = measure(faces, Plan(fars, yaws=yaws), ["mask-nonmask"])["mask-nonmask"].result
    groups = {row["group"]: row for row in result["groups"] if row["by"] == "turn of the head"}
    thresholds = [row["threshold"] for row in result["tar_at_far"]]
    counted: dict[str, list[int]] = {}
    for i in np.flatnonzero(faces.conditions == "mask"):
        name = turn(yaws.get(faces.keys[i])) if faces.found[i] else "no face found"
        for j in np.flatnonzero(faces.conditions == "nonmask"):
            if faces.people[i] == faces.people[j] and faces.photos[i] != faces.photos[j]:
                score = (
                    faces.embeddings[i] @ faces.embeddings[j]
                    if faces.found[i] and faces.found[j]
                    else -np.inf
                )
                counts = counted.setdefault(name, [0, 0, 0])
                for at, passed in enumerate(
                    [True, *(score >= threshold for threshold in thresholds)]
                ):
                    counts[at] += bool(passed)
    assert {"no face found", "not known", "45 degrees and more"} <= groups.keys() == counted.keys()
    for name, (genuine, *accepted) in counted.items():
        assert groups[name]["genuine"] == genuine and groups[name]["tar"] == pytest.approx(
            [number / genuine for number in accepted]
        )
    without = measure(faces, Plan(fars), ["mask-nonmask"])["mask-nonmask"].result
    assert {row["by"] for row in without["groups"]} == {"mask kind", "coverage"}


def test_resolution_is_what_the_crop_shows_of_the_photograph(tmp_path) -> None:
    whole = write_faceset(tmp_path / "set", people=2, takes=2, twins=False)
    rows = whole.table.to_pylist()
    rows[0]["similarity"] = [0.0, 0.5, 3.0, 4.0]  # turned by 90 degrees, half as large
    rows[1]["similarity"] = [3.0, 4.0, 0.0, 0.0]
    write_rows(tmp_path / "set", [(rows, [])], {})
    sizes = face_sizes(faceset.FaceSet.open(tmp_path / "set"))
    assert sizes == {rows[0]["key"]: 224.0, rows[1]["key"]: pytest.approx(22.4)}
    assert [resolution(size) for size in (22.4, 56, 111.9, 224, None)] == [
        "000 to 056 pixels",
        "056 to 112 pixels",
        "056 to 112 pixels",
        "224 pixels and more",
        "not known",
    ]
