import json

import numpy as np
import onnx
import pytest

import mfr_kit as mk
from mfr_kit import assets
from mfr_kit.cli import main
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.models import trained_people, weights
from mfr_kit.models.backbones import sface
from mfr_kit.models.embedders import load_embedder
from mfr_kit.submission import check, edge, edge_faces, export
from mfr_kit.submission.rules import FAIL
from tests.conftest import write_faceset

from .conftest import MS1M_LINEAGE, write_run

LARGEST = {"float16": 0.52, "int8": 0.30}  # of the float32 file
LOWEST = {"float16": 0.9999, "int8": 0.97}  # cosine on real faces


def failed(model, track):
    return {row.rule for row in check.check(model, track, latency=False) if row.verdict == FAIL}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run whose student is SFace itself, exported: a recogniser that tells people apart."""
    folder = tmp_path_factory.mktemp("runs") / "sface"
    folder.mkdir()
    weights.write_text(
        folder / weights.CONFIG,
        weights.to_toml({"student": "sface", "embedding_size": 128, "width": 1.0}),
    )
    weights.write_text(folder / weights.LINEAGE, json.dumps(MS1M_LINEAGE))
    weights.save_student(folder / weights.STUDENT, sface.state_from_onnx(assets.path("sface")))
    export.export_run(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", LARGEST)
def test_an_edge_file_is_small_near_and_takes_faces(trained, kind):
    model = trained / "model.onnx"
    made = edge.export_edge(trained, model, kind)
    assert (
        made.path == trained / f"model.{kind}.onnx" and made.size_bytes == made.path.stat().st_size
    )
    assert made.size_bytes < LARGEST[kind] * model.stat().st_size
    assert LOWEST[kind] < made.cosine_lowest <= made.cosine_mean < 1
    assert (made.calibrated > 30) == (kind == "int8") and made.measured > 30 and made.tar == []
    proto = onnx.load(made.path)
    assert {item.key: item.value for item in proto.metadata_props}[edge.METADATA] == kind
    types = {
        proto.graph.input[0].type.tensor_type.elem_type,
        proto.graph.output[0].type.tensor_type.elem_type,
    }
    assert types == {onnx.TensorProto.FLOAT}
    faces = export.colour_faces(5)
    wanted, found = (load_embedder(path).embed(faces) for path in (model, made.path))
    assert found.shape == wanted.shape and export.cosine_difference(wanted, found).max() < 0.05
    # the organisers' checker takes the last
    assert sorted(item.name for item in trained.glob("*.onnx"))[-1] == "model.onnx"


@pytest.mark.slow
@pytest.mark.parametrize("kind", LARGEST)
def test_servers_refuse_it_and_a_measurement_at_home_does_not(run, tmp_path, kind):
    model = tmp_path / "model.onnx"
    export.export_run(run, model)
    made = edge.export_edge(run, model, kind, _list(tmp_path)).path
    assert "weight type" in failed(made, "ms1m") and "weight type" in failed(made, "webface260m")
    assert failed(made, "nist-frte") == set() and failed(made, "ijcb2021") == set()


def _list(folder):
    drawn = write_faceset(folder / "drawn", people=3, takes=2)
    (folder / "drawn" / "list.txt").write_text("\n".join(drawn.keys))
    return folder / "drawn" / "list.txt"


def test_the_half_that_calibrates_is_not_measured(tmp_path, monkeypatch):
    drawn = write_faceset(tmp_path / "set", people=5, takes=3)
    calibration, measured, others = edge_faces.halves(tmp_path / "set")
    assert set(others.people) == set(drawn.people[1::2]) and len(measured) == len(others)
    seen = {face.tobytes() for face in calibration}
    assert len(calibration) == 3 * 3 * 2 and not any(face.tobytes() in seen for face in measured)
    first, second, none = edge_faces.halves(_list(tmp_path))
    assert (len(first), len(second), none) == (6, 6, None)
    monkeypatch.setattr(edge_faces, "CALIBRATED", 4)
    monkeypatch.setattr(edge_faces, "MEASURED", 5)
    calibration, measured, others = edge_faces.halves(tmp_path / "set")
    assert (len(calibration), len(measured), len(others)) == (4, 5, 5)


@pytest.mark.slow
def test_the_price_in_tar_is_that_of_evaluating_both(run, tmp_path, capsys):
    write_faceset(tmp_path / "set", people=40, takes=4, twins=False)
    assert (
        main(
            [
                "export-onnx",
                str(run),
                "--out",
                str(tmp_path / "m.onnx"),
                "--edge",
                "int8",
                "--faces",
                str(tmp_path / "set"),
            ]
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert (
        "m.int8.onnx" in shown and "calibrated on 80 faces" in shown and "80 other faces" in shown
    )
    made = edge.export_edge(run, tmp_path / "m.onnx", "int8", tmp_path / "set")
    assert made.tar  # 190 pairs of people, 16 comparisons each: enough for FAR 0.01
    _, _, others = edge_faces.halves(tmp_path / "set")
    for number, path in enumerate((tmp_path / "m.onnx", made.path)):
        embedded = (
            load_embedder(path)
            .embed(np.stack([others.image(i) for i in range(len(others))]))
            .astype(np.float64)
        )
        unit = embedded / np.linalg.norm(embedded, axis=1, keepdims=True)
        people = np.array(others.identities)
        pairs = np.triu_indices(len(people), 1)
        scores, same = (unit @ unit.T)[pairs], (people[:, None] == people)[pairs]
        row = made.tar[0]
        impostors = np.sort(scores[~same])[::-1]
        threshold = impostors[int(row.far * len(impostors))]  # the first that may not be accepted
        assert (row.float32, row.edge)[number] == pytest.approx(
            (scores[same] > threshold).mean(), abs=0.01
        )
        assert f"{row.protocol}: TAR at FAR {row.far:g}" in shown


def test_values_beyond_half_precision_write_nothing(run, tmp_path):
    state = weights.load_run(run).model.state_dict()
    first = next(key for key in state if state[key].ndim == 4)
    state[first] *= 1e7
    broken = tmp_path / "run"
    broken.mkdir()
    for name in (weights.CONFIG, weights.LINEAGE):
        weights.write_text(broken / name, (run / name).read_text())
    weights.save_student(broken / weights.STUDENT, state)
    export.export_run(broken)
    with pytest.raises(KitError, match="not finite"):
        edge.export_edge(broken, broken / "model.onnx", "float16", _list(tmp_path))
    assert sorted(item.name for item in broken.glob("*model*")) == ["model.onnx"]


def test_too_few_faces_are_refused(run, tmp_path, capsys):
    write_faceset(tmp_path / "one", people=1, takes=2)
    (tmp_path / "one" / "list.txt").write_text("faces/p00/0.jpg\n")
    for given in ("one", "one/list.txt", "none"):
        with pytest.raises(KitError):
            edge.export_edge(run, tmp_path / "model.onnx", "int8", tmp_path / given)
    assert main(["export-onnx", str(run), "--out", str(tmp_path / "m.onnx"), "--edge", "int4"]) == 2
    assert "Known: float16, int8" in capsys.readouterr().err
    assert not (tmp_path / "m.onnx").exists()


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    """Faces to calibrate on and faces to measure on; the latter show the former's people too."""
    folder = tmp_path_factory.mktemp("apart")
    write_faceset(folder / "val", people=36, takes=4, twins=False)
    write_faceset(folder / "both", people=40, takes=2, twins=False)
    names = [f"p{number:02d}" for number in range(36)]
    (folder / "val.txt").write_text("\n".join(names))
    return folder


def test_whoever_is_measured_calibrates_nothing(apart):
    val = edge_faces.measured_people(apart / "val", apart / "val.txt", apart)
    assert len(val.people) == 36
    calibrating = edge_faces.calibrating_people(apart / "both", val)
    assert set(calibrating.people) == {f"p{number:02d}" for number in range(36, 40)}
    with pytest.raises(
        KitError, match=r"all 36 people of it are measured \(p00, p01, p02, \.\.\.\)"
    ):
        edge_faces.calibrating_people(apart / "val", FaceSet.open(apart / "both"))
    (apart / "list.txt").write_text("both/faces/p00/0.jpg\n")
    with pytest.raises(KitError, match="does not say whom it shows"):
        edge_faces.calibrating_people(apart / "list.txt", val)


def test_people_trained_on_are_not_measured(apart, tmp_path):
    run = write_run(tmp_path / "run")
    trained_people.store(run, ["p00", "p39"], [])
    command = ["export-onnx", str(run), "--edge", "int8", "--val", str(apart / "val")]
    with pytest.raises(KitError, match=r"trained on 1 of the 36 people measured"):
        edge_faces.measured_people(apart / "val", apart / "val.txt", run)
    assert main(command) == 2
    assert not list(run.glob("*int8*"))


@pytest.mark.slow
def test_the_loss_has_paired_intervals_and_the_file_its_own_thresholds(
    run, apart, tmp_path, capsys
):
    model = tmp_path / "m.onnx"
    command = ["export-onnx", str(run), "--out", str(model), "--edge", "int8"]
    command += ["--calibrate", str(apart / "both"), "--val", str(apart / "val")]
    command += ["--val-people", str(apart / "val.txt")]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "calibrated on 8 faces" in shown and "nonmask-nonmask: unmasked against" in shown
    small = tmp_path / "m.int8.onnx"
    against = mk.evaluate(
        [str(model), str(small)], apart / "val", people=str(apart / "val.txt"), resamples=1000
    ).to_dict()["protocols"]["nonmask-nonmask"]
    points = mk.operating_points(small)
    wanted = [row for row in against["models"]["m.int8"]["tar_at_far"] if row["tar"] is not None]
    assert [(p.far, p.threshold, p.tar) for p in points] == [
        (row["far"], row["threshold"], row["tar"]) for row in wanted
    ]
    assert mk.operating_points(model) == []
    for row in against["differences"]:
        change = 100 * row["tar_difference"]
        low, high = (100 * row["interval"][key] for key in ("low", "high"))
        line = f"int8 minus float32 at FAR {row['far']:g}: {change:+.2f} points "
        assert f"{line}({low:+.2f} to {high:+.2f}" in shown
    assert len(against["differences"]) == shown.count("int8 minus float32") > 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--calibrate", "s"], "--calibrate is for a smaller file"),
        (["--val", "s"], "--val is for a smaller file"),
        (["--edge", "float16", "--calibrate", "s"], "no ranges to calibrate"),
        (["--edge", "int8", "--val-people", "s"], "add --val SET"),
    ],
)
def test_flags_that_do_not_go_together(flags, words, capsys):
    assert main(["export-onnx", "run", *flags]) == 2
    assert words in capsys.readouterr().err
