import json
import shutil

import numpy as np
import onnx
import pytest

from mfr_kit.cli import main
from mfr_kit.errors import KitError
from mfr_kit.models import preprocess
from mfr_kit.submission import check, export, tracks
from mfr_kit.submission.rules import FAIL, Row

from . import organisers, spoiled
from .conftest import MS1M_LINEAGE, write_run

# The rules each spoiled model must break, and whether the organisers' own checker notices anything.
BROKEN = {
    "float16_weights": ({"weight type"}, True),
    "two_outputs": ({"one output"}, True),
    "fixed_batch": ({"free batch dimension", "runs on a batch of 32"}, False),
    "input_96x112": ({"input shape"}, True),
    "nan_weights": ({"finite weights", "finite embeddings"}, True),
    "wide_embedding": ({"embedding size"}, True),
    "flip_test": ({"no batch inside the graph"}, False),
    "external_data": ({"one file"}, True),
    "seven_nodes": ({"graph nodes"}, True),
    "swapped_channels": ({"agrees with its run, fed as the server feeds"}, False),
    "hidden_normalisation": ({"normalisation in the graph"}, False),
    "truncated": ({"readable as ONNX", "loads in onnxruntime"}, True),
}


def failed(model, track="ms1m", run=None):
    return {
        row.rule for row in check.check(model, track, run, latency=False) if row.verdict == FAIL
    }


def with_lineage(run, folder, lineage):
    model = onnx.load(run / "model.onnx")
    next(
        item for item in model.metadata_props if item.key == preprocess.META_LINEAGE
    ).value = json.dumps(lineage)
    onnx.save(model, folder / "model.onnx")


def alone(model, folder):
    """What the organisers have: the model by itself in a folder of theirs."""
    folder.mkdir()
    shutil.copy(model, folder / "model.onnx")
    return folder


def test_a_good_model_passes_here_and_there(run, tmp_path):
    assert failed(run / "model.onnx", run=run) == set()
    assert organisers.judge(alone(run / "model.onnx", tmp_path / "sent")) is None


def test_there_are_twelve_spoiled_models():
    assert set(spoiled.ALL) == set(BROKEN) and len(BROKEN) == 12


@pytest.mark.parametrize("name", spoiled.ALL)
def test_spoiled_models_are_refused_for_their_reason(run, tmp_path, name):
    rules, noticed = BROKEN[name]
    spoiled.ALL[name](run / "model.onnx", tmp_path)
    assert rules <= failed(tmp_path / "model.onnx", run=run)
    assert (
        organisers.judge(alone(tmp_path / "model.onnx", tmp_path / "sent")) is not None
    ) == noticed


def test_swapped_channels_cannot_be_seen_without_the_run(run, tmp_path):
    spoiled.swapped_channels(run / "model.onnx", tmp_path)
    assert failed(tmp_path / "model.onnx") == set()


def test_every_failure_is_shown_not_only_the_first(run, tmp_path):
    spoiled.two_outputs(run / "model.onnx", tmp_path)
    spoiled.float16_weights(tmp_path / "model.onnx", tmp_path)
    spoiled.fixed_batch(tmp_path / "model.onnx", tmp_path)
    assert {"one output", "weight type", "free batch dimension"} <= failed(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("shift", "scale", "stored", "right"),
    [
        ("Sub_0", "Mul_1", "raw_0_255", True),  # in the graph, and the names say so
        ("/Sub", "/Mul", "raw_0_255", False),  # newer exporters' names: normalised twice, silently
        ("Sub_0", "Mul_1", "minus1_to_1", False),  # metadata contradicts the graph
    ],
)
def test_normalisation_in_the_graph(run, tmp_path, shift, scale, stored, right):
    model = spoiled.with_normalisation(onnx.load(run / "model.onnx"), shift, scale)
    next(
        item for item in model.metadata_props if item.key == preprocess.META_NORMALISATION
    ).value = stored
    onnx.save(model, tmp_path / "model.onnx")
    assert (failed(tmp_path / "model.onnx", run=run) == set()) == right


def test_names_that_trip_the_guess_are_refused(run, tmp_path):
    model = onnx.load(run / "model.onnx")
    model.graph.node[0].name, model.graph.node[1].name = "Sub_conv", "Mul_prelu"
    onnx.save(model, tmp_path / "model.onnx")
    assert failed(tmp_path / "model.onnx") == {"normalisation fed"}
    assert organisers.pixel_norm(model.graph) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("part", "value", "rule"),
    [
        (
            "teacher",
            {"name": "sface", "sha256": "0", "trained_on": ["external: OpenCV Zoo"]},
            "lineage: teacher",
        ),
        (
            "initial_weights",
            {"name": "mine", "sha256": "0", "trained_on": []},
            "lineage: initial weights",
        ),
        ("training_sets", [{"name": "lfw", "people": 4749}], "lineage: trained on"),
        ("training_sets", [{"name": "ms1m_v3", "people": 100_000}], "lineage: people"),
    ],
)
def test_lineage_decides_who_may_enter(run, tmp_path, part, value, rule):
    with_lineage(run, tmp_path, {**MS1M_LINEAGE, part: value})
    assert failed(tmp_path / "model.onnx", "ms1m") == {rule}
    assert failed(tmp_path / "model.onnx", "unconstrained") == set()


def test_a_teacher_of_the_same_set_is_no_stranger(run, tmp_path):
    with_lineage(
        run,
        tmp_path,
        {**MS1M_LINEAGE, "teacher": {"name": "r100", "sha256": "0", "trained_on": ["MS1M-V3"]}},
    )
    assert failed(tmp_path / "model.onnx", "ms1m") == set()


def test_unknown_lineage_enters_only_where_anything_may(run, tmp_path):
    model = onnx.load(run / "model.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "model.onnx")
    assert failed(tmp_path / "model.onnx", "ms1m") == {"lineage"}
    assert failed(tmp_path / "model.onnx", "unconstrained") == set()


def test_another_run_is_noticed(run, tmp_path):
    other = write_run(tmp_path / "other", embedding_size=32)
    assert {"exported from this run", "agrees with its run, fed as the server feeds"} <= failed(
        run / "model.onnx", run=other
    )


def test_a_batch_that_influences_itself_is_refused(run, tmp_path):
    model = onnx.load(run / "model.onnx")
    out = model.graph.output[0].name
    model.graph.node[-1].output[0] = "apart"
    model.graph.node.append(
        onnx.helper.make_node("ReduceMean", ["apart"], ["middle"], "middle", axes=[0], keepdims=1)
    )
    model.graph.node.append(onnx.helper.make_node("Max", ["apart", "middle"], [out], "larger"))
    onnx.save(model, tmp_path / "model.onnx")
    assert failed(tmp_path / "model.onnx") == {"a batch equals single faces"}


@pytest.mark.slow
def test_check_writes_nothing(run, tmp_path):
    spoiled.fixed_batch(run / "model.onnx", tmp_path)
    before = {item.name: item.stat().st_mtime_ns for item in tmp_path.iterdir()}
    check.check(tmp_path / "model.onnx", "unconstrained")
    assert {item.name: item.stat().st_mtime_ns for item in tmp_path.iterdir()} == before


@pytest.mark.slow
def test_command_line(run, tmp_path, capsys):
    assert main(["check", str(run / "model.onnx"), "--track", "unconstrained", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] and {
        row["rule"] for row in told["rules"] if row["verdict"] == "advisory"
    } == {
        "time for one image, here",
        "time for one image, V100",
    }
    spoiled.two_outputs(run / "model.onnx", tmp_path)
    assert main(["check", str(tmp_path / "model.onnx"), "--track", "ms1m", "--no-latency"]) == 3
    shown = capsys.readouterr()
    assert "FAIL" in shown.out and "one output" in shown.err
    assert main(["check", str(tmp_path / "nothing.onnx"), "--track", "ms1m"]) == 2
    assert main(["check", str(tmp_path / "model.onnx"), "--track", "ms1n"]) == 2
    assert "Did you mean 'ms1m'?" in capsys.readouterr().err


def test_margins_are_what_is_left(run):
    rows = {row.rule: row for row in check.check(run / "model.onnx", "ms1m", latency=False)}
    assert rows["embedding size"].margin == "448" and rows["opset"].margin == "2"
    assert rows["weight type"].verdict == "pass"


def test_multiply_adds_of_a_known_network(tmp_path):
    from torch import nn

    from mfr_kit.submission.checks.graph import multiply_adds

    network = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.Flatten(), nn.Linear(8 * 28 * 28, 5))
    export.export_module(network, tmp_path / "model.onnx", {})
    assert (
        multiply_adds(onnx.load(tmp_path / "model.onnx")) == 28 * 28 * 8 * 3 * 16 + 8 * 28 * 28 * 5
    )


def test_multiply_adds_of_tokens_are_counted_at_every_place():
    """A linear layer on 9 tokens, and products of what both sides compute."""
    from torch import nn

    from mfr_kit.submission.checks.graph import multiply_adds

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.cut, self.mix = nn.Conv2d(3, 8, 32, 32), nn.Linear(8, 5, bias=False)

        def forward(self, faces):
            tokens = self.mix(self.cut(faces).reshape(-1, 8, 9).transpose(1, 2))  # (B, 9, 5)
            return ((tokens @ tokens.transpose(1, 2)) @ tokens).mean(dim=1)

    proto, _ = export.export_graph(Attention().eval(), 11)
    assert multiply_adds(proto) == 9 * 8 * 3 * 32 * 32 + 9 * 8 * 5 + 2 * 9 * 9 * 5


def test_tracks_are_data(tmp_path):
    assert {
        "ms1m",
        "glint",
        "cfat",
        "unconstrained",
        "mfr-ongoing",
        "webface260m",
        "lfr2019",
        "nist-frte",
        "ijcb2021",
    } <= set(tracks.names())
    text = (tracks.FOLDER / "ms1m.toml").read_text()
    (tmp_path / "mine.toml").write_text(text)
    assert tracks.load("mine", tmp_path).limits == tracks.load("ms1m").limits
    for change, complaint in (
        ("opset = 13", "opsets = 13"),
        ("time_ms = 10", 'time_ms = "10"'),
        ('metric = "', 'unit = "'),
        ("[limits]", "limits = 3\n[x]"),
    ):
        (tmp_path / "mine.toml").write_text(text.replace(change, complaint))
        with pytest.raises(KitError, match=r"mine\.toml"):
            tracks.load("mine", tmp_path)


@pytest.mark.parametrize("name", tracks.names())
def test_every_track_loads_and_says_where_it_is_from(name, run):
    track = tracks.load(name)
    assert track.sources and tracks.describe(track)
    assert check.check(run / "model.onnx", name, latency=False)


def test_the_limits_of_the_two_challenge_tracks():
    ms1m, glint = tracks.load("ms1m").limits, tracks.load("glint").limits
    assert (ms1m.embedding_size, ms1m.time_ms, ms1m.file_mib) == (512, 10, 1024)
    assert (glint.embedding_size, glint.time_ms, glint.file_mib) == (1024, 20, 1024)


def test_colour_faces_differ_by_channel():
    faces = export.colour_faces(4)
    assert faces.dtype == np.uint8 and np.abs(faces[..., 0].astype(int) - faces[..., 2]).mean() > 20


def test_long_cells_go_on_below_and_nothing_is_lost() -> None:
    sets = "; ".join(f"a-training-set-with-a-long-name-{number}" for number in range(6))
    path = "/".join(["folder"] * 30)  # one word
    rows = [
        Row("lineage: teacher", "MS1M-V3", f"net, trained on {sets}", "", FAIL, "why " * 60),
        Row("taken from its folder", "last *.onnx by name", path),
    ]
    lines = check.table(rows).splitlines()
    widths = [len(dashes) for dashes in lines[1].split("  ")]
    cells = [line for line in lines if "why" not in line]
    assert max(widths) <= check.WIDEST and max(map(len, cells)) <= sum(widths) + 8
    assert max(map(len, lines)) <= check.NOTE_WIDTH
    start = widths[0] + 2 + widths[1] + 2
    shown = [line[start : start + widths[2]].rstrip() for line in cells]
    assert "".join("".join(shown).split()).endswith(
        "".join(f"net, trained on {sets}{path}".split())
    )
    assert sum(line.count("why") for line in lines) == 60
