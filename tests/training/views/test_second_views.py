"""Sets with a second view of every bare face: what is in them, and what protocols make of them."""

import json

import numpy as np
import pytest

from mfr_kit.cli import main
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation.compare import evaluate_set
from mfr_kit.training.views.second_views import write_second_views
from mfr_kit.training.views.view import ViewRecipe
from tests.conftest import write_faceset

RECIPE = ViewRecipe(mask_ratio=0.0, drift_clean=1.0, degrade=1.0)


def by_source(faces: FaceSet) -> dict[str, bytes]:
    return {source: faces.encoded(row) for row, source in enumerate(faces.sources)}


@pytest.mark.parametrize("in_records", [False, True])
def test_faces_are_as_they_were_and_each_has_a_view(drawn_set, tmp_path, in_records):
    count = write_second_views(tmp_path / "views", drawn_set, RECIPE, 5, in_records)
    before, after = by_source(drawn_set.clean()), by_source(FaceSet.open(tmp_path / "views"))
    assert count == len(before) == 24 and len(after) == 48
    views = {source: data for source, data in after.items() if source not in before}
    assert {source: after[source] for source in before} == before
    assert set(views) == {source.replace(".jpg", ".view.jpg") for source in before}
    assert not set(views.values()) & set(before.values())
    assert len(set(views.values())) == 24


def test_rows_say_whose_views_they_are(drawn_set, tmp_path):
    write_second_views(tmp_path / "views", drawn_set, RECIPE, 5)
    found = FaceSet.open(tmp_path / "views")
    assert found.people == drawn_set.people and not found.masked.any()
    assert set(found.clean_keys) == {""}
    assert found.about["options"]["views"]["degrade"] == 1.0
    row = list(found.sources).index("p03/2.view.jpg")
    clean = list(found.sources).index("p03/2.jpg")
    assert found.identities[row] == "p03"
    np.testing.assert_array_equal(found.points(row), found.points(clean))
    assert not np.array_equal(found.image(row), found.image(clean))


def test_a_view_follows_from_seed_and_key(drawn_set, tmp_path):
    some = drawn_set.of_people(["p02", "p04"])
    for name, faces, seed in (("all", drawn_set, 5), ("some", some, 5), ("other", some, 6)):
        write_second_views(tmp_path / name, faces, RECIPE, seed)
    every, few, other = (by_source(FaceSet.open(tmp_path / n)) for n in ("all", "some", "other"))
    assert few == {source: every[source] for source in few} and len(few) == 16
    assert all((few[source] != other[source]) == (".view" in source) for source in few)


def test_protocols_compare_a_view_with_its_face(tmp_path):
    """Every face a person of its own, as an unlabelled set has it."""
    write_second_views(tmp_path / "views", write_faceset(tmp_path / "set", takes=1), RECIPE, 0)
    faces = FaceSet.open(tmp_path / "views")
    pixels = np.stack([faces.image(row)[::8, ::8].ravel() for row in range(len(faces))])
    found = evaluate_set(pixels - 120.0, faces, [0.5])
    assert list(found) == ["nonmask-nonmask"]
    assert found["nonmask-nonmask"]["comparisons"]["genuine"] == 6


def test_nothing_to_view_is_refused(drawn_set, tmp_path):
    with pytest.raises(KitError, match="no bare face"):
        write_second_views(tmp_path / "a", drawn_set.select(drawn_set.masked), RECIPE, 0)
    assert not (tmp_path / "a").exists()


def test_the_command(drawn_set, tmp_path, capsys):
    (tmp_path / "some.txt").write_text("p01\np05\n")
    given = ["views", str(drawn_set.folder), str(tmp_path / "views")]
    options = ["--people", str(tmp_path / "some.txt"), "--degrade", "0", "--seed", "3"]
    assert main([*given, *options]) == 0
    assert "8 faces of 2 people, a view of each" in capsys.readouterr().out
    about = json.loads((tmp_path / "views" / "faceset.json").read_text())
    assert about["counts"]["faces"] == 16
    assert about["options"]["views"]["degrade"] == 0 and about["options"]["views"]["seed"] == 3
    assert main(given) == 2
    assert "exists already" in capsys.readouterr().err
