"""The measures of the benchmark of worn masks, where the truth is known, and its tables."""

import re
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from benchmarks import face_measures, worn_errors, worn_masks, worn_tables
from mfr_kit.data.alignment.align import SIZE, TEMPLATE, estimate_similarity
from mfr_kit.data.alignment.detection import Detection
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.training.views import drift
from tests.conftest import head
from tests.evaluation.fakes import ColourEmbedder


@pytest.fixture
def face():
    """A drawn head with a fine texture all over."""
    noise = np.random.default_rng(0).normal(0, 25, (SIZE, SIZE, 1))
    return np.clip(head(1) + noise, 0, 255).astype(np.uint8)


def test_detail_falls_with_what_is_lost(face):
    sides = []
    for side in (SIZE, 80, 48, 24):
        small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
        sides.append(face_measures.detail_side(cv2.resize(small, (SIZE, SIZE))))
    assert sides == sorted(sides, reverse=True) and sides[0] > 100 and sides[-1] <= 40


def test_a_frame_outside_the_photograph_is_counted(face):
    assert face_measures.beyond_photo(face, np.eye(2, 3)) == 0
    moved = np.array([[1.0, 0, 28], [0, 1, 0]])
    assert face_measures.beyond_photo(face, moved) == pytest.approx(0.25, abs=0.01)


def test_a_cover_of_another_colour_is_seen_where_it_begins():
    bare = np.full((SIZE, SIZE, 3), (205, 160, 135), np.uint8)
    assert face_measures.covered_share(face_measures.unlike_skin(bare)) == 0
    assert face_measures.upper_edge(face_measures.unlike_skin(bare)) == SIZE
    for row in (66, 80):
        masked = bare.copy()
        masked[row:] = (90, 140, 200)
        unlike = face_measures.unlike_skin(masked)
        assert face_measures.upper_edge(unlike) == pytest.approx(row, abs=2)
        share = min(1.0, (106 - row) / (106 - 72))
        assert face_measures.covered_share(unlike) == pytest.approx(share, abs=0.06)


@dataclass
class FixedLooks:
    """A detector that sees given landmarks when it looks again."""

    again: list[np.ndarray]

    def looks(self, image, face):
        box = np.zeros(4, np.float32)
        return [face, *(Detection(box, points, 0.9) for points in self.again)]


def test_scatter_is_how_far_the_looks_lie_from_their_median(face):
    first = Detection(np.zeros(4, np.float32), TEMPLATE, 0.9)
    still = face_measures.scatter(FixedLooks([TEMPLATE, TEMPLATE]), face, first)
    assert still.moved_px == pytest.approx(0, abs=1e-4) and still.lost == 0.5
    shifts = ((3, 0), (-3, 0), (0, 4), (0, -4))
    moved = face_measures.scatter(
        FixedLooks([TEMPLATE + np.float32(shift) for shift in shifts]), face, first
    )
    assert moved.lost == 0 and moved.moved_px == pytest.approx(np.sqrt((18 + 32) / 5), abs=1e-3)
    wanted = {(0, 0), *((-x, -y) for x, y in shifts)}  # a frame moves against its landmarks
    assert {tuple(np.round(row[2:]).astype(int)) for row in moved.drifts} == wanted
    np.testing.assert_allclose(moved.drifts[:, :2], 0, atol=1e-5)


def test_moved_is_the_way_of_the_template_points():
    rng = np.random.default_rng(2)
    matrices = [drift.from_constants(rng, 1.0) for _ in range(5)]
    rows = np.array([worn_tables._numbers(matrix) for matrix in matrices])
    for matrix, found in zip(matrices, worn_tables.moved(rows), strict=True):
        by = TEMPLATE @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE
        assert found == pytest.approx(np.sqrt((by**2).sum(1).mean()), rel=1e-6)


def made_up(keys, faces, rng):
    """Rows as `worn_masks.measure` makes them, and one of a photograph without a face."""
    rows = []
    for number, (key, face) in enumerate(zip(keys, faces, strict=True)):
        matrix = estimate_similarity(TEMPLATE + rng.normal(0, 1, (5, 2)))
        row = {"key": key, "found": True, "score": 0.9, "lost": 0.0, "pitch": 0.0, "eyes": 35.0}
        row |= {"similarity": face_measures.as_row(matrix).tolist(), "yaw": float(number)}
        row |= {"drifts": rng.normal(0, 0.1, (5, 4)).tolist(), "moved": float(rng.random())}
        row |= {"beyond": 0.1, **worn_masks.of_pixels(face)}
        row |= {"edge": 60.0 + number, "true_edge": 61.0 + number, "true_covered": 0.9}
        rows.append(row)
    return [*rows, {"key": "p0/none.jpg", "found": False}], np.stack(faces)


def unpaired(faces: FaceSet) -> FaceSet:
    """The same faces, where no masked one is the picture of a bare one."""
    table = faces.table
    for name, values in (("clean_key", [""] * len(faces)), ("source", faces.keys.tolist())):
        table = table.set_column(table.column_names.index(name), name, [values])
    return FaceSet(faces.folder, table)


def test_tables_stand_at_their_places_and_say_what_was_measured(drawn_set, tmp_path, monkeypatch):
    monkeypatch.setenv("MFR_KIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(worn_errors, "load_embedder", lambda name: ColourEmbedder())
    monkeypatch.setattr(worn_errors, "FARS", (0.2, 0.1))
    rng = np.random.default_rng(0)
    some = made_up([f"{number}" for number in range(30)], [head(n) for n in range(30)], rng)
    found = dict.fromkeys(worn_tables.NAMES, some)
    press = unpaired(drawn_set)
    for name, inside in (("rmfrd_masked", press.masked), ("rmfrd_bare", ~press.masked)):
        chosen = np.flatnonzero(inside)
        images = [press.image(row) for row in chosen]
        found[name] = made_up(press.sources[chosen].tolist(), images, rng)
    tables = worn_tables.all_tables(found, rng.normal(0, 0.1, (300, 4)), press)
    marks = "".join(f"<!-- table {name} -->\nold\n<!-- end of table -->\n" for name in tables)
    page = worn_tables.fill(f"# Title\n{marks}", tables)
    assert "old" not in page and worn_tables.fill(page, tables) == page
    for text in tables.values():
        assert text in page and len({line.count("|") for line in text.splitlines()}) == 1
    assert "| row where the cover begins, px | -1.00 | 1.00 | 1.00 | 30 |" in tables["estimators"]
    assert "| worn/ | 31 | 3.2 % | 0.0 % | 0 % |" in tables["detection"]
    genuine = 6 * 4 * 4  # six people's four masked faces against their four bare ones
    assert f"| all |  | {genuine} | 6 |" in tables["errors"]
    thirds = re.findall(r"\| turn of the masked face.*?\| [\d to]+ \| (\d+) \|", tables["errors"])
    assert len(thirds) == 3 and sum(map(int, thirds)) == genuine
    assert tables["together"].count("\n") == 2 + len(worn_errors.FACTORS)
    with pytest.raises(SystemExit, match="no place"):
        worn_tables.fill("# Title", tables)


def test_a_regression_gives_back_what_the_cosines_were_made_of():
    rng = np.random.default_rng(1)
    factors = {"near": rng.normal(5, 3, 400), "far": rng.normal(0, 0.1, 400)}
    cosines = 0.3 + 0.02 * (factors["near"] - 5) / 3 - 0.05 * factors["far"] / 0.1
    people, weights = np.arange(400) % 40, np.ones((5, 40), int)
    text = worn_errors._together(factors, cosines, people, weights)
    near, far, explained = re.findall(r"\| ([+-]?\d[\d.]*)", text.split("---", 2)[2])
    assert float(near) == pytest.approx(0.02 * factors["near"].std() / 3, abs=6e-4)
    assert float(far) == pytest.approx(-0.05 * factors["far"].std() / 0.1, abs=6e-4)
    assert explained == "100"


def test_drifts_are_transferred_by_the_spread_of_looks():
    rng = np.random.default_rng(0)
    drawn, twins = rng.normal(0, 1, (500, 4)), rng.normal(2, 3, (400, 4))
    guess = worn_tables.transfer(drawn * 2 + 5, drawn, twins)
    np.testing.assert_allclose(guess.mean(axis=0), twins.mean(axis=0))
    np.testing.assert_allclose(guess.std(axis=0), 2 * twins.std(axis=0))
