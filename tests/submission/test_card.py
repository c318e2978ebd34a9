"""Operating points and model card: from a report into the file, out of it again, and refused where
they are another model's.
"""

import json
import shutil
import zipfile

import numpy as np
import onnx
import pytest

import mfr_kit as mk
from mfr_kit.cli import main
from mfr_kit.errors import KitError
from mfr_kit.models import operating_points, weights
from mfr_kit.submission import card, edge, export, package
from mfr_kit.submission.options import SubmissionOptions
from tests.conftest import write_faceset

from .conftest import write_run

PEOPLE, TAKES, FARS = 24, 4, [0.1, 0.02]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run, a face set, the report of one on the other, and the file that carries it."""
    folder = tmp_path_factory.mktemp("card")
    run = write_run(folder / "run")
    write_faceset(folder / "set", people=PEOPLE, takes=TAKES)
    found = mk.evaluate(run, folder / "set", far=FARS, resamples=50).to_dict()
    (folder / "report.json").write_text(json.dumps(found))
    export.export_run(run, report=folder / "report.json")
    return folder


def metadata_of(path):
    return {item.key: item.value for item in onnx.load(path).metadata_props}


def test_the_file_carries_the_thresholds_of_the_report(place):
    report = json.loads((place / "report.json").read_text())
    points = mk.operating_points(place / "run" / "model.onnx")
    wanted = [
        (protocol, row["far"], row["threshold"], row["tar"], row["false_accepts"])
        for protocol, entry in report["protocols"].items()
        for row in entry["models"]["run"]["tar_at_far"]
        if row["tar"] is not None
    ]
    assert [(p.protocol, p.far, p.threshold, p.tar, p.false_accepts) for p in points] == wanted
    assert {"nonmask-nonmask", "mask-nonmask", "fixed-threshold"} <= {p.protocol for p in points}
    point = mk.operating_point(place / "run" / "model.onnx", far=0.1)
    result = report["protocols"]["nonmask-nonmask"]["models"]["run"]
    assert (point.genuine, point.impostor) == (
        PEOPLE * TAKES * (TAKES - 1) // 2,
        PEOPLE * (PEOPLE - 1) // 2 * TAKES**2,
    )
    assert (point.low, point.high) == tuple(
        result["tar_at_far"][0]["interval"][key] for key in ("low", "high")
    )
    assert point.low <= point.tar <= point.high and not point.mirrored
    assert point.set_name == "set" and point.far_measured is None


def test_the_threshold_keeps_its_rate_on_the_set(place):
    model = mk.load_embedder(place / "run" / "model.onnx")
    faces = mk.FaceSet(place / "set").clean()
    rows = model.embed(np.stack([faces.image(row) for row in range(len(faces))])).astype(float)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    pairs = np.triu_indices(len(unit), 1)
    same = (faces.identities[:, None] == faces.identities)[pairs]
    for far in FARS:
        point = mk.operating_point(place / "run" / "model.onnx", far=far)
        accepted = (unit @ unit.T)[pairs] >= point.threshold
        assert accepted[~same].mean() == pytest.approx(far, abs=2e-3)
        assert accepted[same].mean() == pytest.approx(point.tar, abs=2e-2)


def test_the_card_says_it_in_words_and_names_nobody(place, capsys):
    text = (place / "run" / card.CARD).read_text()
    for words in ("mobilefacenet", "MS1M-V3", "nonmask-nonmask", "93,431 people", "## Limits"):
        assert words in text
    stored = metadata_of(place / "run" / "model.onnx")
    own = stored[operating_points.META_POINTS] + stored[operating_points.META_CARD]
    for name in ("p00", "p23", ".jpg", str(place)):
        assert name not in text and name not in own
    assert len(own) < 8000
    assert main(["card", str(place / "run" / "model.onnx")]) == 0
    assert capsys.readouterr().out == text.partition("\n")[2]


def test_a_file_without_them_is_read_as_ever(run, capsys):
    path = run / "model.onnx"
    assert not {operating_points.META_POINTS, operating_points.META_CARD} & set(metadata_of(path))
    assert not (run / card.CARD).exists()
    assert mk.operating_points(path) == [] and mk.load_embedder(path).embedding_size == 64
    with pytest.raises(KitError, match=r"carries no operating points: .*--report"):
        mk.operating_point(path, far=1e-4)
    assert main(["card", str(path)]) == 0
    assert "None: the file carries no threshold." in capsys.readouterr().out


def test_a_rate_that_was_not_measured_is_not_made_up(place):
    with pytest.raises(KitError, match=r"at FAR 0\.001; it has nonmask-nonmask at 0\.1, "):
        mk.operating_point(place / "run" / "model.onnx", far=1e-3)
    with pytest.raises(KitError, match=r"run is no \.onnx file"):
        mk.operating_points(place / "run")


def test_a_report_of_another_model_is_refused(place, tmp_path, capsys):
    other = write_run(tmp_path / "other", embedding_size=32)
    command = ["export-onnx", str(other), "--report", str(place / "report.json")]
    assert main(command) == 2
    shown = capsys.readouterr().err
    assert f"not of other ({weights.load_run(other).fingerprint[:12]})" in shown
    assert "is of run (" in shown and "kit.py evaluate" in shown
    assert not (other / "model.onnx").exists() and not (other / card.CARD).exists()


def test_a_report_of_the_exported_file_is_of_the_run(place, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(place / "run", run)
    found = mk.evaluate(run / "model.onnx", place / "set", far=FARS, resamples=0).to_dict()
    (tmp_path / "report.json").write_text(json.dumps(found))
    done = export.export_run(run, report=tmp_path / "report.json")
    (point, *_) = mk.operating_points(done.path)
    assert point.low is None and "have no intervals" in done.card.read_text()


def test_an_edge_file_and_its_report_have_thresholds_of_their_own(place, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(place / "run", run)
    made = edge.export_edge(run, run / "model.onnx", "float16", place / "set")
    assert mk.operating_points(made.path) == []
    found = mk.evaluate(made.path, place / "set", far=FARS, resamples=0).to_dict()
    (tmp_path / "report.json").write_text(json.dumps(found))
    with pytest.raises(KitError, match=r"report\.json is of model\.float16"):
        export.export_run(run, report=tmp_path / "report.json")


def damage(report):
    yield {**report, "schema": "other"}, "schema"
    yield {**report, "set": None}, "verification sets only"
    yield {**report, "models": [{"name": "run"}]}, "fingerprint' is missing"
    renamed = {"nonmask-nonmask": {"models": {"run": {"tar_at_far": 3}}}}
    yield {**report, "protocols": renamed}, "protocols.nonmask-nonmask"
    yield {**report, "protocols": {}}, "no threshold of run"


def test_a_damaged_report_is_said_before_the_work(place, tmp_path):
    report = json.loads((place / "report.json").read_text())
    for number, (content, words) in enumerate(damage(report)):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(content))
        with pytest.raises(KitError, match=words):
            export.export_run(place / "run", tmp_path / "m.onnx", report=path)
    assert not (tmp_path / "m.onnx").exists()


def test_damaged_points_are_said(place, tmp_path):
    proto = onnx.load(place / "run" / "model.onnx")
    for item in proto.metadata_props:
        if item.key == operating_points.META_POINTS:
            item.value = item.value.replace('"threshold": ', '"threshold": "x", "was": ', 1)
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(KitError, match=r"mfr_kit\.operating_points: key 'points\[0\]\.threshold'"):
        mk.operating_points(tmp_path / "m.onnx")
    assert main(["card", str(tmp_path / "m.onnx")]) == 2


def test_nothing_of_somebody_elses_is_written_over(place, tmp_path):
    (tmp_path / card.CARD).write_text("# By hand\n")
    with pytest.raises(KitError, match=r"no card of m\.onnx: move it"):
        export.export_run(place / "run", tmp_path / "m.onnx", report=place / "report.json")
    assert (tmp_path / card.CARD).read_text() == "# By hand\n"
    shutil.copytree(place / "run", tmp_path / "run")
    own = tmp_path / "run" / card.CARD
    own.write_text(own.read_text().partition("\n")[0])
    export.export_run(tmp_path / "run", report=place / "report.json")
    assert own.read_bytes() == (place / "run" / card.CARD).read_bytes()


def pack(place, track, out, **more):
    options = SubmissionOptions(model=place / "run" / "model.onnx", track=track, out=out, **more)
    return package.make_submission(options)


@pytest.mark.slow
def test_a_submission_holds_the_card_where_a_model_is_sent(place, tmp_path):
    done = pack(place, "ms1m", tmp_path / "a.zip")
    with zipfile.ZipFile(done.path) as archive:
        assert archive.read(card.CARD) == (place / "run" / card.CARD).read_bytes()
        assert card.CARD in json.loads(archive.read("manifest.json"))["files"]
    assert main(["verify", str(done.path)]) == 0
    beside = place / "run" / card.CARD
    own = beside.read_bytes()
    try:
        beside.write_bytes(own + b"\nSeen by us.\n")  # what somebody added stays
        with zipfile.ZipFile(pack(place, "ms1m", tmp_path / "b.zip").path) as archive:
            assert archive.read(card.CARD).endswith(b"Seen by us.\n")
        beside.write_bytes(b"# Of something else\n")
        with zipfile.ZipFile(pack(place, "ms1m", tmp_path / "c.zip").path) as archive:
            assert archive.read(card.CARD) == own
    finally:
        beside.write_bytes(own)


def test_a_track_of_features_is_sent_no_card_and_says_so(place, tmp_path):
    done = pack(place, "lfr2019", tmp_path / "a.zip", features=place / "set")
    assert card.CARD not in done.files
    (note,) = done.notes
    assert note.startswith("MODEL_CARD.md is not packed") and "sent features" in note


def test_a_network_of_your_own_has_no_report(place, tmp_path):
    network = weights.load_run(place / "run").model
    with pytest.raises(KitError, match="goes with a run folder"):
        mk.export_onnx(network, tmp_path / "m.onnx", report=place / "report.json")


def test_a_set_too_small_for_any_rate_gives_a_card_without_thresholds(place, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(place / "run", run)
    report = json.loads((place / "report.json").read_text())
    for entry in report["protocols"].values():
        for result in entry["models"].values():
            for row in result["tar_at_far"]:
                row.update(tar=None, interval=None)
    (tmp_path / "report.json").write_text(json.dumps(report))
    done = export.export_run(run, report=tmp_path / "report.json")
    assert "too small for a threshold" in capsys.readouterr().err
    text = done.card.read_text()
    assert f"- {card.TOO_SMALL}" in text and "None: the file carries no threshold." in text
    assert mk.operating_points(done.path) == []
