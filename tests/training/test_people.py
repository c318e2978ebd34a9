import pytest

from mfr_kit.errors import KitError
from mfr_kit.models import trained_people as trained
from mfr_kit.training.people import expect_same, remember
from mfr_kit.training.people import split as split_lists


def split(options):
    return split_lists(options.data, options.lists, options.ancestors)


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


def test_a_name_that_nobody_has_is_named_with_the_nearest_and_refused(
    make_options, tmp_path, capsys
):
    (tmp_path / "h").write_text("p01\nP01\nsomebody else\n")
    wanted = (
        r"--holdout-people .*h: 2 of 3 names match nothing in .*'P01' \(line 2; did you mean "
        r"'p01'\?\), 'somebody else' \(line 3\)"
    )
    for name in ("train_people", "val_people"):
        with pytest.raises(KitError, match=wanted.replace("holdout", name.split("_")[0])):
            split(make_options(**{name: tmp_path / "h"}))
    with pytest.raises(KitError, match=wanted):
        split(make_options(holdout_people=[tmp_path / "h"]))
    train, _, _ = split(make_options(holdout_people=[tmp_path / "h"], allow_unknown=True))
    assert train.people == ["p00", "p02", "p03", "p04", "p05", "p06", "p07"]
    told = capsys.readouterr().err
    assert "warning: --holdout-people" in told and "2 of 3 names match nothing" in told
    assert "holdout: 3 names, 1 found, 3 faces left out\n" in told
    with pytest.raises(KitError, match="at least two"):
        split(make_options(train_people=tmp_path / "h", allow_unknown=True))


def test_a_list_from_another_editor_holds_out_the_same_people(make_options, tmp_path, capsys):
    for number, content in enumerate(
        (
            b"\xef\xbb\xbfp00\r\np01\r\n",
            "p00\r\np01\r\n".encode("utf-16"),
            "p00\np01".encode("utf-16-le"),
            b"p00\rp01\r",
            b" p00\t\n./p01/\np00\n# p02\n",
        )
    ):
        path = tmp_path / f"h{number}"
        path.write_bytes(content)
        train, _, _ = split(make_options(holdout_people=[path]))
        assert train.people == [f"p{person:02}" for person in range(2, 8)], content
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "holdout: 2 names, 2 found, 6 faces left out"
    assert told[-1] == "holdout: 3 names (1 named twice), 2 found, 6 faces left out"


def test_people_with_skipped_photographs_only_are_found_and_said(
    make_options, set_folder, tmp_path, monkeypatch, capsys
):
    from mfr_kit.data.face_set.faceset import SKIPPED_COLUMNS, FaceSet

    opened = FaceSet.open(set_folder)
    lost = dict.fromkeys(SKIPPED_COLUMNS, "") | {"identity": "nora", "reason": "no_face"}
    known = FaceSet(opened.folder, opened.table, [lost], {})
    monkeypatch.setattr("mfr_kit.training.people.FaceSet.open", lambda folder: known)
    (tmp_path / "h").write_text("nora\np01\n")
    split(make_options(holdout_people=[tmp_path / "h"]))
    wanted = (
        "holdout: 2 names, 2 found, 3 faces left out; 1 of them without a face (skipped "
        "photographs only)\n"
    )
    assert capsys.readouterr().err == wanted


def test_masked_faces_of_the_training_people_stay_out(
    make_options, set_folder, tmp_path, monkeypatch
):
    from mfr_kit.data.face_set.faceset import FaceSet

    opened = FaceSet.open(set_folder)
    import pyarrow as pa

    half = ["mask" if row % 2 else "nonmask" for row in range(len(opened))]
    mixed = FaceSet(opened.folder, opened.table.set_column(3, "condition", pa.array(half)), [], {})
    monkeypatch.setattr("mfr_kit.training.people.FaceSet.open", lambda folder: mixed)
    train, held, seen = split(make_options(val_people=people(tmp_path / "v", 0)))
    assert set(train.conditions) == {"nonmask"}
    assert set(seen.conditions) == {"nonmask", "mask"} and "p00" not in seen.people
    assert set(held.conditions) == {"nonmask", "mask"}


def test_a_resumed_run_compares_the_people_not_the_paths_of_their_lists(make_options, tmp_path):
    options = make_options(
        val_people=people(tmp_path / "v", 0, 1), holdout_people=[people(tmp_path / "h", 2)]
    )
    options.out.mkdir()
    faces, held, _ = split(options)
    remember(options.out, faces, held, options.ancestors)
    assert (options.out / "train_people.txt").read_text() == "p03\np04\np05\np06\np07\n"
    moved = make_options(
        val_people=people(tmp_path / "moved", 1, 0), holdout_people=[people(tmp_path / "h2", 2, 2)]
    )
    expect_same(moved.out, *split(moved)[:2])
    people(tmp_path / "h", 2, 3)
    with pytest.raises(KitError, match="other training people: 0 came and 1 went"):
        expect_same(options.out, *split(options)[:2])
    people(tmp_path / "h", 2)
    people(tmp_path / "v", 0)
    with pytest.raises(KitError, match="other training people: 1 came and 0 went"):
        expect_same(options.out, *split(options)[:2])
    people(tmp_path / "h", 1, 2)
    with pytest.raises(KitError, match="other validation people: 0 came and 1 went"):
        expect_same(options.out, *split(options)[:2])


def test_whom_the_teacher_was_trained_on_nobody_is_validated_on(make_options, tmp_path):
    teacher = tmp_path / "runs" / "first"
    teacher.mkdir(parents=True)
    trained.store(teacher, ["p01", "somebody"], [])
    options = make_options(teacher=str(teacher), val_people=people(tmp_path / "v", 0, 1))
    with pytest.raises(KitError, match="--val-people and the people that the teacher was trained"):
        split(options)
    with pytest.raises(KitError, match=r"initial weights was trained on share 1 people \(p01\)"):
        split(make_options(init=str(teacher), holdout_people=[people(tmp_path / "h", 1, 2)]))
    options = make_options(teacher=str(teacher), val_people=people(tmp_path / "v", 0))
    options.out.mkdir()
    faces, held, _ = split(options)
    remember(options.out, faces, held, options.ancestors)
    assert "somebody" not in (options.out / "ancestor_people.json").read_text()
    groups = trained.groups_of(options.out)
    assert trained.among(groups, ["p00", "p01", "p02", "somebody", "else"]) == [
        "p01",
        "p02",
        "somebody",
    ]
    assert [group["model"] for group in groups] == ["", "first"]
