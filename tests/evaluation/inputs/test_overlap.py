"""Measuring people that a model was trained on is refused, or said wherever the figures stand."""

import json

import onnx
import pytest
import torch
from onnx import TensorProto, helper

from mfr_kit import cli
from mfr_kit.models import trained_people, weights
from tests.conftest import write_faceset

TINY = {"student": "mobilefacenet", "embedding_size": 16, "width": 0.125}


@pytest.fixture
def run(tmp_path):
    """A run folder whose student says that it was trained on p00, p01 and p02."""
    torch.manual_seed(3)
    folder = tmp_path / "run"
    folder.mkdir()
    model = weights.build_backbone(TINY["student"], TINY["embedding_size"], TINY["width"])
    weights.write_text(folder / weights.CONFIG, weights.to_toml(TINY))
    weights.write_text(folder / weights.LINEAGE, json.dumps({"training_sets": []}))
    weights.save_student(folder / weights.STUDENT, model.state_dict())
    trained_people.store(folder, ["p00", "p01", "p02"], [])
    return folder


@pytest.fixture
def evaluate(tmp_path, capsys):
    write_faceset(tmp_path / "set", people=5, takes=3)
    (tmp_path / "others.txt").write_text("p03\np04\n")
    usual = ["--resamples", "0", "--no-cache", "--far", "0.4", "--protocol", "nonmask-nonmask"]

    def call(*flags):
        code = cli.main(["evaluate", *map(str, flags), "--data", str(tmp_path / "set"), *usual])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_people_trained_on_are_refused_for_every_kind_of_model(evaluate, run, tmp_path):
    faces = helper.make_tensor_value_info("faces", TensorProto.FLOAT, ["n", 3, 112, 112])
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3 * 112 * 112])
    node = helper.make_node("Flatten", ["faces"], ["pixels"])
    graph = helper.make_graph([node], "only its metadata is looked at", [faces], [pixels])
    proto = helper.make_model(graph)
    groups = trained_people.digested(trained_people.groups_of_run(run), "ab" * 32)
    helper.set_model_props(proto, trained_people.to_metadata(groups))
    onnx.save(proto, tmp_path / "m.onnx")
    for flags in (
        [run],
        [run / "student.pt"],
        [tmp_path / "m.onnx"],
        [f"sface,{run}"],
        ["sface", "--gallery", run],
    ):
        code, _, told = evaluate(*flags)
        assert code == 2 and "was trained on 3 of the 5 people measured" in told, flags
        assert "(p00, p01, p02): its figures would flatter" in told and "--allow-overlap" in told
    code, shown, told = evaluate(run, "--people", tmp_path / "others.txt")
    assert code == 0 and "WARNING" not in shown
    assert "people: 2 names, 2 found, 12 faces\n" in told


def test_what_is_allowed_is_said_on_the_console_and_in_the_report(evaluate, run, tmp_path):
    code, shown, _ = evaluate(run, "--allow-overlap", "--out", tmp_path / "report", "--no-faces")
    assert code == 0
    wanted = f"{run} was trained on 3 of the 5 people measured"
    assert shown.splitlines()[0] == f"WARNING: {wanted}: its figures flatter"
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    (row,) = report["overlap"]
    assert (row["people"], row["measured"], row["exact"], row["text"]) == (3, 5, True, wanted)
    assert report["models"][0]["trained_people"] == [{"model": "", "people": 3}]
    page = (tmp_path / "report" / "report.html").read_text()
    top = page[page.index("<h1>") : page.index("unmasked and")]
    assert f"{wanted}. Its figures flatter." in top


def test_a_list_of_people_that_are_not_there_is_refused_or_counted(evaluate, run, tmp_path):
    (tmp_path / "others.txt").write_text("p03\np04\np44\n")
    flags = [run, "--people", tmp_path / "others.txt"]
    code, _, told = evaluate(*flags)
    assert code == 2 and "1 of 3 names match nothing" in told and "did you mean 'p04'" in told
    code, _, told = evaluate(*flags, "--allow-unknown")
    assert code == 0 and "people: 3 names, 2 found, 12 faces" in told
    assert told.startswith("warning: --people")


def test_groups_are_of_people_of_the_set(evaluate, run, tmp_path):
    flags = [run, "--people", tmp_path / "others.txt", "--groups", tmp_path / "g.csv"]
    (tmp_path / "g.csv").write_bytes(
        "\ufeffIdentity;Group\r\np03;north\r\np04 ;south\r\n".encode("utf-16")
    )
    code, _, told = evaluate(*flags)
    assert code == 0 and "groups: 2 names, 2 found, 3 people without a group" in told
    (tmp_path / "g.csv").write_text("identity,group\np03,north\np40,south\n")
    code, _, told = evaluate(*flags)
    assert code == 2 and "--groups" in told and "'p40' (line 3; did you mean 'p04'?)" in told
    assert evaluate(*flags, "--allow-unknown")[0] == 0
