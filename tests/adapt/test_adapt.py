import json

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from mfr_kit import cli
from mfr_kit.adapt import adapter
from mfr_kit.adapt.masked_views import MaskedViews
from mfr_kit.adapt.options import AdaptOptions
from mfr_kit.adapt.run import adapt
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.masks import library
from mfr_kit.models import preprocess, trained_people, weights
from mfr_kit.models.embedders import load_embedder
from mfr_kit.submission import check, export
from mfr_kit.training.teacher import bank
from mfr_kit.training.teacher.bank_table import Table
from tests.conftest import write_faceset


@pytest.fixture
def make_adapt(set_folder, teacher_folder, tmp_path):
    """Return a function that makes options for a run of a second; keyword arguments override."""

    def make(**changes):
        usual = {
            "data": set_folder,
            "out": tmp_path / "run",
            "teacher": str(teacher_folder),
            "views": 1,
            "hidden": 8,
            "threads": 1,
        }
        # one kind is read faster than all
        short = {"batch_size": 12, "epochs": 3, "masks": ["cloth"], "bank": tmp_path / "bank"}
        return AdaptOptions(**{**usual, **short, **changes})

    return make


def moved(count=400, size=6, seed=0):
    """Stored embeddings of made-up people whose masks move them all by one vector and dim a
    direction: an adapter can undo it.
    """
    rng = np.random.default_rng(seed)
    people = rng.normal(size=(count // 4, size)) * 3
    clean = np.repeat(people, 4, axis=0)[:, None] + 0.3 * rng.normal(size=(count, 2, size))
    masked = clean * np.linspace(0.4, 1, size) + rng.normal(size=size)
    banks = (bank.Bank(None, values.astype(np.float32)) for values in (clean, masked))
    return adapter.Stored(next(banks), [next(banks)], np.repeat(np.arange(count // 4), 4))


def recogniser(path, batch="N", opset=11, ir=6, kind=onnx.TensorProto.FLOAT, reshape=False):
    """Write an ONNX file (B, 3, 112, 112) -> (B, 5): the means of the channels, times a matrix;
    no metadata.
    """
    matrix = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)
    nodes = [helper.make_node("GlobalAveragePool", ["data"], ["pooled"])]
    if reshape:
        nodes.append(helper.make_node("Reshape", ["pooled", "shape"], ["flat"]))
    else:
        nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"], axis=1))
    nodes.append(helper.make_node("MatMul", ["flat", "matrix"], ["product"]))
    nodes.append(helper.make_node("Cast", ["product"], ["out"], to=kind))
    constants = [
        numpy_helper.from_array(matrix, "matrix"),
        numpy_helper.from_array(np.array([batch if batch != "N" else 1, 3]), "shape"),
    ]
    inputs = [helper.make_tensor_value_info("data", onnx.TensorProto.FLOAT, [batch, 3, 112, 112])]
    outputs = [helper.make_tensor_value_info("out", kind, [batch, 5])]
    graph = helper.make_graph(
        nodes, "made up", inputs, outputs, constants if reshape else constants[:1]
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir),
        path,
    )
    return path


def test_it_starts_as_the_identity_and_standardises_by_the_bare_faces():
    stored = moved()
    made = adapter.make(stored, 8, 0, block=7)
    rows = torch.from_numpy(stored.masked[0].rows(np.arange(9)))
    assert torch.equal(made(rows), rows)
    clean = stored.clean.rows(np.arange(len(stored.labels)))
    np.testing.assert_allclose(made.centre, clean.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(made.spread, clean.std(axis=0), rtol=1e-4)


def test_folded_layers_are_the_same_function():
    made = adapter.make(moved(), 8, 0).double()
    torch.nn.init.normal_(made.layers[-1].weight)
    rows = torch.randn(4, 6, dtype=torch.float64)
    values = rows.numpy()
    (first, bias), (middle, shift), (last, end) = made.folded()
    for weight, added in ((first, bias), (middle, shift)):
        values = values @ weight.T + added
        values = np.where(values > 0, values, adapter.SLOPE * values)
    np.testing.assert_allclose(
        rows.numpy() + values @ last.T + end, made(rows).detach().numpy(), rtol=1e-10
    )


def test_a_batch_pairs_a_masked_row_with_its_own_bare_one():
    one, other = moved(8, seed=0), moved(8, seed=1)
    stored = adapter.Stored(one.clean, [one.masked[0], other.masked[0]], one.labels)
    assert len(stored) == 32
    masked, clean, labels = stored.batch(np.array([0, 3, 16 + 5]))
    for got, (source, face, mirrored) in zip(
        masked.numpy(), ((one, 0, 0), (one, 1, 1), (other, 2, 1)), strict=True
    ):
        np.testing.assert_array_equal(got, source.masked[0].embeddings[face, mirrored])
    np.testing.assert_array_equal(clean.numpy(), one.clean.embeddings[[0, 1, 2], [0, 1, 1]])
    assert labels.tolist() == [0, 0, 0]


@pytest.mark.parametrize("method", ["fcd", "srt", "both"])
def test_it_undoes_what_the_masks_did_and_leaves_bare_faces_alone(method):
    def distance(a, b):
        return 2 - 2 * torch.nn.functional.cosine_similarity(torch.from_numpy(a), b).mean().item()

    stored, lines = moved(), []
    trained = adapter.train(
        adapter.make(stored, 32, 0),
        stored,
        adapter.Objective(method),
        adapter.Schedule(20, 40, learning_rate=5e-3, weight_decay=0.01, seed=0),
        None,
        lines.append,
    )
    rows = np.arange(len(stored.labels))
    clean, masked = (
        torch.from_numpy(source.rows(rows)) for source in (stored.clean, stored.masked[0])
    )
    with torch.inference_mode():
        after, bare = trained.adapter(masked), trained.adapter(clean)
    assert distance(clean.numpy(), after) < 0.3 * distance(clean.numpy(), masked)
    assert distance(clean.numpy(), bare) < 0.3 * distance(clean.numpy(), masked)
    assert (trained.epoch, len(lines), lines[0]) == (20, 21, "epoch 0: the recogniser as it is")
    assert (
        set(trained.lines[-1]["terms"])
        == {"fcd": {"fcd", "clean"}, "srt": {"srt", "clean"}, "both": {"fcd", "srt", "clean"}}[
            method
        ]
    )


def test_the_masked_views_do_not_depend_on_who_reads_them(
    set_folder, make_adapt, teacher_folder, tmp_path
):
    faces, masks = FaceSet.open(set_folder), library.load(["cloth"])

    def views_of(options, number=0):
        return MaskedViews(faces, masks, None, options.recipe, None, options.seed, number)

    options = make_adapt(degrade=0.5)
    drawn = [views_of(options).image(index) for index in range(len(faces))]
    teacher = load_embedder(teacher_folder, threads=1)
    stored = bank.store(tmp_path, views_of(options), teacher, batch=5, progress=False)
    np.testing.assert_allclose(
        stored.rows(np.arange(len(faces))), teacher.embed(np.stack(drawn)), atol=1e-5
    )
    other = views_of(options, 1)
    assert not np.array_equal(other.image(3), drawn[3]) and not np.array_equal(
        drawn[3], faces.image(3)
    )
    changed = [
        views_of(make_adapt(degrade=0.5, **change)) for change in ({"seed": 1}, {"drift": 0.5})
    ]
    masks = library.load(["cup"])
    changed.append(views_of(options))
    masks = library.load(["cloth"])
    same = views_of(make_adapt(degrade=0.5, epochs=9))
    prints = [views.fingerprint for views in (views_of(options), other, *changed)]
    assert len(set(prints)) == 5 and same.fingerprint == prints[0]


@pytest.mark.slow
def test_a_stopped_run_goes_on_with_what_it_had_embedded(make_adapt, monkeypatch, capsys):
    whole = adapt(make_adapt(bank=None)).path
    monkeypatch.setattr(bank, "SAVE_EVERY", 1)
    real, calls = Table.record, []

    def stopping(table, start, stop, rows):
        real(table, start, stop, rows)
        calls.append(start)
        if len(calls) == 5:  # three batches of bare faces, two of masked ones
            raise KeyboardInterrupt

    options = make_adapt(out=make_adapt().out.with_name("stopped"), bank=None)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Table, "record", stopping)
        adapt(options)
    assert not (options.out / "student.onnx").exists()
    states = [
        8 * len(json.loads(path.read_text())["blocks"])
        for path in sorted((options.out / "bank").glob("*/bank.json"))
    ]
    assert sorted(states) == [16, 24]
    again = adapt(options).path
    assert again.read_bytes() == whole.read_bytes()
    with pytest.raises(KitError, match="holds a run already"):
        adapt(options)


def test_the_run_folder_is_read_like_any_model(make_adapt, teacher_folder):
    options = make_adapt()
    done = adapt(options)
    trained = [f"p{number:02}" for number in range(8)]
    for model in (options.out, done.path):
        assert trained_people.among(trained_people.groups_of(model), [*trained, "p08"]) == trained
    assert b"p03" not in done.path.read_bytes()
    assert done.parity <= 1e-5 and done.epoch == 3
    made = adapter.Adapter(16, 8)
    weights.load_state(made, weights.read_state(options.out / "adapter.pt"), "adapter.pt")
    faces, teacher = export.colour_faces(3), load_embedder(teacher_folder)
    wanted = made(torch.from_numpy(teacher.embed(faces))).detach().numpy()
    # it has learnt something
    assert np.abs(wanted - teacher.embed(faces)).max() > 1e-3 * np.abs(wanted).max()
    for spec in (options.out, done.path):
        np.testing.assert_allclose(
            load_embedder(spec).embed(faces), wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max()
        )
    assert load_embedder(options.out).name == "run"
    told = load_embedder(done.path).lineage
    assert told["initial_weights"]["trained_on"] == told["teacher"]["trained_on"] == ["made up"]
    assert told == json.loads((options.out / "lineage.json").read_text())
    assert not check.failures(check.check(done.path, "unconstrained", latency=False))
    with pytest.raises(KitError, match=r"student\.onnx"):
        weights.load_run(options.out)


def test_without_a_gain_on_the_validation_people_the_recogniser_stays(tmp_path, make_adapt, capsys):
    faces = write_faceset(tmp_path / "set", people=16, takes=4)
    (tmp_path / "val.txt").write_text("".join(f"p{number:02d}\n" for number in range(12)))
    options = make_adapt(
        data=faces.folder, val_people=tmp_path / "val.txt", learning_rate=1e-9, epochs=2
    )
    done = adapt(options)
    assert done.epoch == 0
    lines = [json.loads(line) for line in (options.out / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1, 2] and all(
        0 <= line["validation"]["score"] <= 1 for line in lines
    )
    assert "embedding" in capsys.readouterr().out
    faces = export.colour_faces(2)
    plain, adapted = (
        load_embedder(options.teacher).embed(faces),
        load_embedder(done.path).embed(faces),
    )
    np.testing.assert_allclose(adapted, plain, rtol=1e-4, atol=1e-4 * np.abs(plain).max())


@pytest.mark.parametrize(
    "graph",
    [
        {},
        {"batch": 1},
        {"opset": 8, "ir": 3},
        {"opset": 13, "ir": 7, "kind": onnx.TensorProto.FLOAT16},
        {"batch": 2, "reshape": True},
    ],
    ids=["free", "fixed", "old", "half", "fixed for good"],
)
def test_any_onnx_recogniser_takes_an_adapter(tmp_path, make_adapt, graph, capsys):
    path = recogniser(tmp_path / "theirs.onnx", **graph)
    options = make_adapt(teacher=str(path), normalisation="raw_0_255")
    done = adapt(options)
    may_learn = graph.get("kind") is None  # half precision may not
    assert (f"distill --student {path}:raw_0_255" in capsys.readouterr().out) == may_learn
    before, after = onnx.load(path), onnx.load(done.path)
    onnx.checker.check_model(after, full_check=True)
    assert after.opset_import == before.opset_import
    assert after.ir_version == max(4, before.ir_version)
    shape = after.graph.input[0].type.tensor_type.shape.dim[0]
    assert (shape.dim_value == 2) if graph.get("reshape") else (shape.dim_param == "N")
    meta = {item.key: item.value for item in after.metadata_props}
    assert (meta[preprocess.META_NORMALISATION], meta[preprocess.META_EMBEDDING_SIZE]) == (
        "raw_0_255",
        "5",
    )
    # an adapted one is a recogniser too
    twice = adapt(make_adapt(teacher=str(done.path), out=tmp_path / "twice"))
    faces = export.colour_faces(5)
    assert load_embedder(twice.path).embed(faces).shape == (5, 5)


@pytest.mark.slow
@pytest.mark.parametrize("behind", ["", ":bgr_minus1_to_1"])
def test_a_plain_state_dict_is_exported_first(tmp_path, make_adapt, behind):
    torch.manual_seed(3)
    model = weights.build_backbone("mobilefacenet").eval()
    torch.save(model.state_dict(), tmp_path / "theirs.pth")
    done = adapt(make_adapt(teacher=f"{tmp_path / 'theirs.pth'}{behind}", epochs=1))
    made = adapter.Adapter(128, 8)
    weights.load_state(made, weights.read_state(done.path.parent / "adapter.pt"), "adapter.pt")
    faces = export.colour_faces(2)
    fed = np.ascontiguousarray(faces[..., ::-1]) if behind else faces
    with torch.inference_mode():
        wanted = made(model(preprocess.to_tensor(fed))).numpy()
    np.testing.assert_allclose(
        load_embedder(done.path).embed(faces), wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max()
    )


@pytest.mark.slow
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, set_folder, teacher_folder, capsys):
    def complaint(*changes):
        arguments = [
            "adapt",
            "--data",
            str(set_folder),
            "--out",
            str(tmp_path / "out"),
            "--teacher",
            str(teacher_folder),
            *changes,
        ]
        assert cli.main(arguments) == 2
        said = capsys.readouterr().err.strip().splitlines()
        error = "\n".join(line for line in said if not line.startswith("note: --device auto: "))
        assert len(error.splitlines()) == 1
        return error

    two = f"{teacher_folder},{recogniser(tmp_path / 'a.onnx')}"
    assert "normalised: add --normalisation" in complaint("--teacher", str(tmp_path / "a.onnx"))
    assert "adapt one of them" in complaint("--teacher", two, "--normalisation", "minus1_to_1")
    assert "opset 6" in complaint(
        "--teacher",
        str(recogniser(tmp_path / "old.onnx", opset=6, ir=3)),
        "--normalisation",
        "raw_0_255",
    )
    assert "--epochs must be 1 or more" in complaint("--epochs", "0")
    assert "--degrade must be between 0 and 1" in complaint("--degrade", "2")
    assert "--srt-margin" in complaint("--method", "fcd", "--srt-margin", "1")
    assert "--srt-weight" in complaint("--method", "srt", "--srt-weight", "2")
    assert "unknown value for --method 'triplet'" in complaint("--method", "triplet")
    assert "none.toml" in complaint("--mask-mix", str(tmp_path / "none.toml"))
    assert "is not a face set" in complaint("--data", str(tmp_path))
    assert not (tmp_path / "out").exists()


def test_an_ensemble_is_refused(make_adapt, tmp_path, teacher_folder):
    other = tmp_path / "other"
    weights_of = torch.load(teacher_folder / weights.STUDENT)
    other.mkdir()
    for name in (weights.CONFIG, weights.LINEAGE):
        weights.write_text(other / name, (teacher_folder / name).read_text())
    weights.save_student(
        other / weights.STUDENT, {key: value + 1 for key, value in weights_of["state_dict"].items()}
    )
    with pytest.raises(KitError, match="several networks"):
        adapt(make_adapt(teacher=f"{teacher_folder},{other}"))
