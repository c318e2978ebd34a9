import numpy as np
import pyarrow as pa
import pytest

from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.face_set.faceset_files import SCHEMA
from mfr_kit.errors import KitError
from mfr_kit.training.people import split
from mfr_kit.training.views import drift

CENTRE = np.array([55.5, 55.5])


def similarities(seed, count=5):
    """Alignments of photographs of some hundred pixels: a, b, tx, ty."""
    rng = np.random.default_rng(seed)
    turn = rng.uniform(0.3, 1.5, count) * np.exp(1j * rng.uniform(-0.5, 0.5, count))
    return np.column_stack([turn.real, turn.imag, rng.uniform(-200, 50, (count, 2))])


def square(row):
    a, b, tx, ty = row
    return np.array([[a, -b, tx], [b, a, ty], [0, 0, 1]])


class Always:
    """Stands for a generator that draws a given row."""

    def __init__(self, row):
        self.row = row

    def integers(self, count):
        return self.row


def test_a_measured_drift_is_the_twins_alignment_after_undoing_the_clean_ones():
    clean, twin = similarities(0), similarities(1)
    table = drift.from_clean_to_twin(clean, twin)
    for row in range(5):
        wanted = square(twin[row]) @ np.linalg.inv(square(clean[row]))
        np.testing.assert_allclose(drift.from_twins(Always(row), 1.0, table), wanted[:2], atol=1e-9)


def test_an_amount_goes_part_of_the_way_and_zero_nowhere():
    table = drift.from_clean_to_twin(similarities(0), similarities(1))
    np.testing.assert_allclose(drift.from_twins(Always(2), 0.0, table), np.eye(2, 3), atol=1e-12)
    whole, half = drift.from_twins(Always(2), 1.0, table), drift.from_twins(Always(2), 0.5, table)
    # half the turn and half the zoom, twice
    np.testing.assert_allclose(half[:, :2] @ half[:, :2], whole[:, :2], atol=1e-12)
    moved = [matrix[:, :2] @ CENTRE + matrix[:, 2] - CENTRE for matrix in (whole, half)]
    np.testing.assert_allclose(moved[1], moved[0] / 2, atol=1e-9)


def test_the_constants_have_the_spread_they_say_and_none_at_zero():
    matrices = np.array(
        [drift.from_constants(np.random.default_rng(index), 1.0) for index in range(3000)]
    )
    scale = np.hypot(matrices[:, 0, 0], matrices[:, 1, 0])
    angle = np.degrees(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    shift = (matrices @ np.array([*CENTRE, 1.0]) - CENTRE).T
    assert abs(scale.mean() - 1.04) < 0.01 and abs(scale.std() - 0.10) < 0.01
    assert abs(angle.mean()) < 0.3 and abs(angle.std() - 4.3) < 0.3
    assert np.abs(shift.mean(axis=1)).max() < 0.3 and np.abs(shift.std(axis=1) - 4).max() < 0.3
    np.testing.assert_allclose(
        drift.from_constants(np.random.default_rng(0), 0.0), np.eye(2, 3), atol=1e-12
    )


def twins_of(*counts, mask_on="photo"):
    """A set without images: person p00, p01, ... has so many faces, each with a twin that is
    moved by as many px as the person's number.
    """
    rows = []
    for person, count in enumerate(counts):
        for shot in range(count):
            clean, moved = (f"faces/p{person:02}/{shot}{suffix}.jpg" for suffix in ("", ".masked"))
            for key, own, shift in ((clean, "", 0.0), (moved, clean, float(person))):
                empty = {"source": key, "mask": "", "digest": "", "landmarks": [], "score": 1.0}
                condition = "mask" if own else "nonmask"
                similarity = [0.5, 0.1, -20.0 + shift, -30.0]
                rows.append(
                    {
                        **empty,
                        "key": key,
                        "identity": f"p{person:02}",
                        "condition": condition,
                        "clean_key": own,
                        "similarity": similarity,
                    }
                )
    return FaceSet(
        "nowhere", pa.Table.from_pylist(rows, SCHEMA), [], {"options": {"mask_on": mask_on}}
    )


def test_all_twins_of_a_set_are_measured():
    table = drift.measure_twins(twins_of(0, 120, 100))
    assert len(table) == 220
    np.testing.assert_allclose(sorted(table[:, 2]), [1.0] * 120 + [2.0] * 100, atol=1e-4)
    np.testing.assert_allclose(table[:, [0, 1, 3]], 0, atol=1e-6)
    assert "measured on 220 twins" in drift.describe(
        table
    ) and "shift (1.5, 0.0) +- (0.5, 0.0) px" in drift.describe(table)


@pytest.mark.parametrize("faces", [twins_of(0, 199), twins_of(0, 300, mask_on="crop")])
def test_too_few_twins_or_masks_drawn_on_crops_are_no_measurement(faces):
    assert drift.measure_twins(faces) is None
    assert "the kit's constants" in drift.describe(None)


def test_twins_of_people_not_trained_on_are_never_measured(make_options, tmp_path, monkeypatch):
    lists = {"val_people": "p01", "holdout_people": "p02"}
    for name, person in lists.items():
        (tmp_path / name).write_text(person + "\n")
    monkeypatch.setattr(
        "mfr_kit.training.people.FaceSet.open", lambda folder: twins_of(10, 50, 60, 205, 5)
    )
    options = make_options(
        val_people=tmp_path / "val_people", holdout_people=[tmp_path / "holdout_people"]
    )
    table = drift.measure_twins(split(options.data, options.lists, {}).seen)
    assert len(table) == 220
    assert {round(shift) for shift in table[:, 2]} == {0, 3, 4}


def test_a_table_is_written_and_read_back(tmp_path):
    table = np.random.default_rng(0).normal(0, 1, (250, 4))
    drift.write_table(tmp_path / "drifts.csv", table)
    np.testing.assert_allclose(
        drift.choose_table(twins_of(0), tmp_path / "drifts.csv"), table, atol=1e-6
    )
    text = drift.describe(table, tmp_path / "drifts.csv")
    assert text.startswith("250 drifts of a file (") and text != drift.describe(table)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["scale,angle", "1,2"], "begins with the line log_scale"),
        ([drift.COLUMNS, *["0,0,0,0"] * 199], "199 drifts are too few"),
        ([drift.COLUMNS, *["0,0,0,0"] * 300, "0,0,0"], "line 302: '0,0,0' is not four numbers"),
        ([drift.COLUMNS, "0,nan,0,0"], "line 2"),
        ([drift.COLUMNS, "a,b,c,d"], "line 2"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, lines, said):
    (tmp_path / "drifts.csv").write_text("\n".join(lines))
    with pytest.raises(KitError, match=said):
        drift.read_table(tmp_path / "drifts.csv")


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(KitError, match="cannot be read"):
        drift.read_table(tmp_path / "none.csv")
