import pytest

from mfr_kit.errors import KitError
from mfr_kit.training.people import split


def people(path, *numbers):
    path.write_text("".join(f"p{number:02}\n" for number in numbers))
    return path


def test_everybody_else_is_trained_on(make_options, tmp_path):
    train, held, _ = split(
        make_options(
            val_people=people(tmp_path / "v", 0, 1), holdout_people=[people(tmp_path / "h", 2)]
        )
    )
    assert train.people == ["p03", "p04", "p05", "p06", "p07"]
    assert held.people == ["p00", "p01"]


def test_without_lists_all_are_trained_on(make_options):
    train, held, _ = split(make_options())
    assert len(train.people) == 8 and held is None


def test_shared_people_are_refused_and_named(make_options, tmp_path):
    train = people(tmp_path / "t", 0, 1, 2)
    with pytest.raises(KitError, match=r"--train-people and --val-people share 1 people \(p02\)"):
        split(make_options(train_people=train, val_people=people(tmp_path / "v", 2, 3)))
    with pytest.raises(KitError, match="--train-people and --holdout-people share 1"):
        split(make_options(train_people=train, holdout_people=[people(tmp_path / "h", 1)]))
    with pytest.raises(KitError, match="--val-people and --holdout-people share 1"):
        split(
            make_options(
                val_people=people(tmp_path / "v", 5), holdout_people=[people(tmp_path / "h", 5)]
            )
        )


def test_shared_people_are_accepted_when_told_and_still_named(make_options, tmp_path, capsys):
    lists = {
        "train_people": people(tmp_path / "t", 0, 1, 2),
        "val_people": people(tmp_path / "v", 2, 3),
    }
    train, held, _ = split(make_options(**lists, allow_shared_people=True))
    assert train.people == ["p00", "p01", "p02"] and held.people == ["p02", "p03"]
    assert "share 1 people (p02): figures measured on them flatter" in capsys.readouterr().out


def test_lists_that_name_nobody_are_refused(make_options, tmp_path):
    nobody = tmp_path / "n"
    nobody.write_text("somebody else\n")
    with pytest.raises(KitError, match="at least two"):
        split(make_options(train_people=nobody))
    with pytest.raises(KitError, match="none of the people"):
        split(make_options(val_people=nobody))


def test_masked_faces_of_the_training_people_stay_out(
    make_options, set_folder, tmp_path, monkeypatch
):
    from mfr_kit.data.faceset import FaceSet

    opened = FaceSet.open(set_folder)
    import pyarrow as pa

    half = ["mask" if row % 2 else "nonmask" for row in range(len(opened))]
    mixed = FaceSet(opened.folder, opened.table.set_column(3, "condition", pa.array(half)), [], {})
    monkeypatch.setattr("mfr_kit.training.people.FaceSet.open", lambda folder: mixed)
    train, held, seen = split(make_options(val_people=people(tmp_path / "v", 0)))
    assert set(train.conditions) == {"nonmask"}
    assert set(seen.conditions) == {"nonmask", "mask"} and "p00" not in seen.people
    assert set(held.conditions) == {"nonmask", "mask"}
