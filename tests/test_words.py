"""The same word means the same in every command, and an error says what lies there."""

import pytest

from mfr_kit import cli
from mfr_kit.ablation.options import AblateOptions
from mfr_kit.augment.options import AugmentOptions
from mfr_kit.data.convert import convert
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.option_names import first_name
from mfr_kit.options import from_table
from mfr_kit.registry import get
from mfr_kit.submission.options import SubmissionOptions
from mfr_kit.training.options import distill_options
from tests.conftest import write_faceset


def test_the_share_of_masks_has_both_names_everywhere():
    made = from_table(AugmentOptions, {"src": "a", "dst": "b", "mask-ratio": 0.75}, "here")
    assert made.ratio == 0.75
    run = from_table(distill_options(), {"data": "a", "out": "b", "ratio": 0.25}, "here")
    assert run.mask_ratio == 0.25
    with pytest.raises(KitError, match="are the same option"):
        from_table(distill_options(), {"data": "a", "out": "b", "ratio": 1, "mask_ratio": 1}, "x")


def test_another_name_outdates_no_record():
    field = distill_options().__dataclass_fields__["mask_ratio"]
    assert field.metadata["also"] == "ratio" and first_name(field) == "mask_ratio"
    assert first_name(AblateOptions.__dataclass_fields__["table"]) == "table"


def test_flags_are_understood_under_both_names(tmp_path, capsys):
    for flag in ("--ratio", "--mask-ratio"):
        assert cli.main(["augment", str(tmp_path / "a"), str(tmp_path / "b"), flag, "2"]) == 2
        assert "--ratio must be between 0 and 1, not 2" in capsys.readouterr().err
    assert cli.main(["augment", "a", "b", "--ratio", "1", "--mask-ratio", "1"]) == 2
    assert "are the same option" in capsys.readouterr().err


def test_the_format_of_embeddings_has_a_name_of_its_own():
    given = {"model": "m.onnx", "track": "unconstrained", "out": "s.zip", "features": "set"}
    assert from_table(SubmissionOptions, {**given, "format": "lfr"}, "x").features_format == "lfr"


@pytest.mark.parametrize("flag", ["--to", "--format"])
def test_convert_knows_the_words_of_other_commands(tmp_path, flag):
    write_faceset(tmp_path / "set", people=3, takes=2)
    out = str(tmp_path / "o.rec")
    assert cli.main(["convert", str(tmp_path / "set"), out, flag, "rec"]) == 0
    assert (tmp_path / "o.rec").is_file()


def test_an_unknown_format_is_refused_before_the_set_is_read(tmp_path):
    with pytest.raises(KitError, match=r"unknown format for --to 'rek'. Did you mean 'rec'"):
        convert(tmp_path / "nowhere", tmp_path / "out", write_as="rek")


def test_an_unknown_plug_in_is_called_by_its_kind():
    for package, kind in (("losses", "loss"), ("models.backbones", "backbone")):
        with pytest.raises(KitError, match=f"unknown {kind} 'none'"):
            get(f"mfr_kit.{package}", "none")


def test_what_is_no_face_set_is_called_what_it_is(tmp_path):
    (tmp_path / "train.rec").touch()
    (tmp_path / "photos" / "ann").mkdir(parents=True)
    (tmp_path / "recs").mkdir()
    (tmp_path / "recs" / "train.rec").touch()
    (tmp_path / "note.md").touch()
    for name, words in (
        ("train.rec", f"kit.py convert {tmp_path}/train.rec {tmp_path}/train-faces --to face-set"),
        ("recs", f"kit.py convert {tmp_path}/recs {tmp_path}/recs-faces --to face-set"),
        ("photos", f"kit.py augment {tmp_path}/photos {tmp_path}/photos-faces"),
        ("none", "there is no such folder"),
        ("note.md", "give the folder that holds one"),
    ):
        with pytest.raises(KitError) as refused:
            FaceSet.open(tmp_path / name)
        assert "is not a face set" in str(refused.value) and words in str(refused.value)


@pytest.mark.slow
def test_no_line_holds_an_error_number(tmp_path, capsys):
    assert cli.main(["verify", str(tmp_path / "none.zip")]) == 2
    assert cli.main(["check", str(tmp_path), "--track", "unconstrained"]) == 2
    (tmp_path / "model.onnx").touch()
    assert cli.main(["check", str(tmp_path), "--track", "unconstrained"]) == 2
    first, second, third = capsys.readouterr().err.splitlines()
    assert "No such file" in first and "Errno" not in first
    assert second.endswith("is a folder: give the .onnx file in it")
    assert third.endswith(f"give the .onnx file in it, {tmp_path}/model.onnx")
