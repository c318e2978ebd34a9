import json

import pytest
import torch

from mfr_kit.errors import KitError
from mfr_kit.models import lineage, weights
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.run_files import MEASURED_LINE, is_of_run, read_metrics

ANCESTOR = {"name": "t", "sha256": "00", "trained_on": ["x"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('title = "another project"', "key 'student' is missing"),
        ('student = "mobilefacenet"\nembedding_size = "16"\nwidth = 1.0', "'embedding_size' holds"),
        ('student = "mobilefacenet"\nembedding_size = 16\nwidth = nan', "'width' holds nan"),
        ('student = "mobilefacenet"\nembedding_size = 16\nwidth = -1', "no network has"),
        ('student = "mobilefacenet"\nembedding_size = 99999999\nwidth = 1', "no network has"),
        ('student = "x"\nembedding_size = 16\nwidth = 1', "'student': it holds 'x'"),
        ('student = "mobi', "not valid TOML"),
        ("a = 1\0", "line 1 holds a NUL byte"),
    ],
)
def test_a_config_of_somebody_else_or_cut_short_is_said(tmp_path, make_run, text, message):
    make_run(tmp_path)
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(KitError, match=rf"config\.toml: .*{message}"):
        weights.load_run(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"training_sets": [{"na', "not whole JSON"),
        ("{}", "neither 'training_sets' nor 'trained_on'"),
        ("[]", "it holds a list"),
        ('{"trained_on": "MS1M"}', "'trained_on' holds 'MS1M' where a list"),
        ('{"training_sets": [{"faces": 3}]}', r"'training_sets\[0\]\.name' is missing"),
        ('{"trained_on": [], "teacher": {"name": "t"}}', "'teacher.sha256' is missing"),
        ('{"trained_on": ["a"], "trained_on": ["b"]}', "'trained_on' stands twice"),
    ],
)
def test_a_lineage_of_somebody_else_or_cut_short_is_said(tmp_path, make_run, text, message):
    make_run(tmp_path)
    (tmp_path / "lineage.json").write_text(text)
    with pytest.raises(KitError, match=rf"lineage\.json: .*{message}"):
        weights.load_run(tmp_path)


def test_a_missing_lineage_is_said(tmp_path, make_run):
    make_run(tmp_path)
    (tmp_path / "lineage.json").unlink()
    with pytest.raises(KitError, match=r"lineage\.json: cannot be read"):
        weights.load_run(tmp_path)


def test_weights_beside_the_config_of_another_project_are_plain_weights(tmp_path, capsys):
    model = weights.build_backbone("mobilefacenet")
    torch.save(model.state_dict(), tmp_path / "backbone.pth")
    (tmp_path / "config.toml").write_text('title = "another project"')
    embedder = load_embedder(tmp_path / "backbone.pth")
    assert (embedder.name, embedder.embedding_size, embedder.lineage) == ("backbone", 128, None)
    note = capsys.readouterr().err
    assert "read as plain weights" in note and "key 'student' is missing" in note
    assert is_of_run(tmp_path / "student.pt")  # a name of ours: there the config must be ours


def test_lines_of_metrics_are_read_up_to_the_one_a_kill_cut(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "loss": NaN}\n{"step": 3, "lo')
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2]
    with pytest.raises(KitError, match=r"line 2: key 'loss' holds nan"):
        read_metrics(tmp_path, MEASURED_LINE)
    path.write_text('{"step": 1}\n{"step": "2"}\n')
    with pytest.raises(KitError, match=r"metrics\.jsonl: line 2: key 'step' holds '2'"):
        read_metrics(tmp_path)


def test_a_projector_of_another_size_is_said(tmp_path, make_run):
    model = make_run(tmp_path)
    weights.save_student(tmp_path / "student.pt", model.state_dict(), torch.zeros(4, 7))
    with pytest.raises(KitError, match="projector is no matrix with 16 columns"):
        weights.load_run(tmp_path)


def test_every_part_of_a_lineage_is_read(tmp_path, make_run):
    make_run(tmp_path)
    whole = {"training_sets": [], "teacher": ANCESTOR, "initial_weights": None, "averaged": {}}
    (tmp_path / "lineage.json").write_text("\ufeff" + json.dumps(whole), encoding="utf-8")
    assert weights.load_run(tmp_path).lineage == whole


def test_metadata_and_run_folder_hold_one_shape(tmp_path, make_run):
    wrong = {"training_sets": [], "teacher": {"name": "t", "trained_on": ["x"]}}
    make_run(tmp_path)
    (tmp_path / "lineage.json").write_text(json.dumps(wrong))
    message = r"key 'teacher\.sha256' is missing"
    with pytest.raises(KitError, match=message):
        weights.load_run(tmp_path)
    with pytest.raises(ValueError, match=message):
        lineage.parse(json.dumps(wrong))
    with pytest.raises(ValueError, match="is not whole JSON"):
        lineage.parse("{oops")
