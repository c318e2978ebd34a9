import itertools
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mfr_kit import registry
from mfr_kit.errors import KitError
from mfr_kit.models import weights
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.lineage import trained_on
from mfr_kit.models.run_files import METRICS
from mfr_kit.training import checkpoint
from mfr_kit.training import distill as loop
from mfr_kit.training.distill import distill
from mfr_kit.training.views import drift

ROOT = Path(__file__).parents[2]
QUICKLY = {"coupleface", "arcface"}  # what the others do beside them, CI sees


def people(path, *numbers):
    path.write_text("".join(f"p{number:02}\n" for number in numbers))
    return path


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def equal(one: Path, other: Path) -> bool:
    first, second = weights.read_state(one), weights.read_state(other)
    return first.keys() == second.keys() and all(
        torch.equal(value, second[key]) for key, value in first.items()
    )


class Killed(BaseException):
    pass


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sampling": "identities", "shuffle": "blocks", "shuffle_block": 2},
        {"precision": "fp16"},
        {"method": "crd", "crd_negatives": 3},  # whose draw is that of its step
        {"ema": 0.9, "accumulate": 2, "optimiser": "sgd", "embedding_size": 8, "method": "arcface"},
    ],
)
def test_a_run_that_was_killed_ends_like_one_that_was_not(
    make_options, tmp_path, monkeypatch, changes
):
    whole = make_options(out=tmp_path / "whole", steps=6, **changes)
    distill(whole)
    real = loop.Stepper.step
    # before the first checkpoint, and one step after it, in the middle of the second epoch
    for stop, workers in ((1, 0), (3, 1)):
        killed, counter = replace(whole, out=tmp_path / f"killed {stop}"), itertools.count()

        def step(self, *arguments, stop=stop, counter=counter):
            if next(counter) == stop:
                raise Killed
            return real(self, *arguments)

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(loop.Stepper, "step", step)
            distill(killed)
        distill(replace(killed, resume=True, workers=workers))
        assert equal(whole.out / "student.pt", killed.out / "student.pt")
        first, second = lines(whole.out), lines(killed.out)
        assert [line["step"] for line in first] == [line["step"] for line in second]
        assert [line["loss"] for line in first] == [line["loss"] for line in second]
        drawn = [
            weights.read_file(run.out / weights.LAST, "")["torch_rng"] for run in (whole, killed)
        ]
        assert torch.equal(*drawn)  # what a network with dropout draws next


def test_the_lines_of_steps_are_on_the_disk_before_a_checkpoint_stands_for_them(
    make_options, monkeypatch
):
    options = make_options(steps=4, save_every=2)
    synced, saved = set(), []

    def state(about: os.stat_result) -> tuple[int, int]:
        return about.st_ino, about.st_size

    def sync(handle: int, real=os.fsync) -> None:
        real(handle)
        synced.add(state(os.fstat(handle)))

    def save(folder: Path, content: dict, real=checkpoint.save) -> None:
        assert state((folder / METRICS).stat()) in synced
        saved.append((content["step"], lines(folder)[-1]["step"]))
        real(folder, content)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(checkpoint, "save", save)
    distill(options)
    assert saved == [(2, 2), (4, 4)]


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(name, marks=[] if name in QUICKLY else [pytest.mark.slow])
        for name in registry.names("mfr_kit.losses")
    ],
)
def test_every_method_trains_and_says_how_it_went(make_options, method):
    # and the whole set in every batch: only the weights change
    still = {"mask_ratio": 0.0, "drift_clean": 0.0, "photometric": 0.0}
    options = make_options(
        method=method, steps=8, batch_size=24, learning_rate=3e-3, warmup=0.0, **still
    )
    distill(options)
    told = lines(options.out)
    assert [line["step"] for line in told] == [1, 2, 4, 6, 8]
    assert told[-1]["loss"] < told[0]["loss"]
    if method == "fcd":
        assert "ratio_to_fcd" not in told[0]
    else:
        assert all(value > 0 for value in told[1]["ratio_to_fcd"].values())
    assert ("active" in told[0]) == (method == "coupleface")
    run = weights.load_run(options.out)
    assert run.lineage["training_sets"][0]["people"] == 8
    assert "made up" in trained_on(run.lineage)


@pytest.mark.slow
def test_the_student_learns_its_teachers_embeddings(make_options, set_folder, teacher_folder):
    from mfr_kit.data.face_set.faceset import FaceSet

    options = make_options(
        steps=60,
        learning_rate=5e-3,
        mask_ratio=0.0,
        drift_clean=0.0,
        photometric=0.0,
        method="fcd",
        batch_size=12,
    )
    faces = FaceSet.open(set_folder)
    images = np.stack([faces.image(i) for i in range(len(faces))])
    torch.manual_seed(0)
    wanted = load_embedder(teacher_folder, threads=1).embed(images)
    found = load_embedder(distill(options).parent, threads=1).embed(images)
    cosines = (
        (wanted * found).sum(1) / np.linalg.norm(wanted, axis=1) / np.linalg.norm(found, axis=1)
    )
    assert cosines.mean() > 0.8


def test_a_student_that_starts_as_its_teacher_starts_at_zero_loss(make_options):
    options = make_options(
        init="teacher",
        embedding_size=16,
        mask_ratio=0.0,
        drift_clean=0.0,
        photometric=0.0,
        steps=1,
        learning_rate=1e-9,
    )
    distill(options)
    assert lines(options.out)[0]["loss"] < 1e-9
    assert weights.load_run(options.out).lineage["initial_weights"]["trained_on"] == ["made up"]


@pytest.mark.slow
def test_the_teacher_in_the_loop_sees_what_the_student_sees(make_options):
    options = make_options(
        init="teacher",
        embedding_size=16,
        mask_ratio=1.0,
        steps=1,
        learning_rate=1e-9,
        teacher_view="same",
        method="fcd",
    )
    distill(options)
    assert lines(options.out)[0]["loss"] < 1e-9
    clean = replace(options, out=options.out.parent / "clean", teacher_view="clean")
    distill(clean)
    assert lines(clean.out)[0]["loss"] > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("view", ["clean", "same"])
def test_a_student_whose_views_are_made_on_its_device_learns_the_same(make_options, tmp_path, view):
    runs = {}
    for place in ("cpu", "device"):
        changes = {"render_on": place, "teacher_view": view, "mask_ratio": 0.5, "log_every": 1}
        runs[place] = distill(make_options(out=tmp_path / place, steps=3, **changes)).parent
    losses = [[line["loss"] for line in lines(folder)] for folder in runs.values()]
    assert len(losses[0]) == 3
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.02)  # AdamW's first steps amplify
    for line in lines(runs["device"]):
        assert 0 <= line["waits_for_loader"] <= 1
        assert line["images_per_s"] == pytest.approx(
            line["steps_per_s"] * make_options().batch_size, rel=0.1
        )


def test_the_teacher_comes_out_as_it_went_in(make_options, teacher_folder):
    before = {path.name: weights.sha256_of(path) for path in teacher_folder.iterdir()}
    distill(make_options(teacher_view="same"))
    assert {path.name: weights.sha256_of(path) for path in teacher_folder.iterdir()} == before


def test_the_best_weights_are_kept_and_then_brought_nearer_to_the_start(
    make_options, val_folder, tmp_path
):
    held = people(tmp_path / "v", *range(12))
    options = make_options(
        data=val_folder,
        val_people=held,
        steps=4,
        val_every=2,
        init="teacher",
        embedding_size=16,
        weight_share=0.25,
        batch_size=4,
    )
    distill(options)
    told = [line for line in lines(options.out) if "validation" in line]
    assert [line["step"] for line in told] == [2, 4]
    assert told[0]["validation"]["set"] == val_folder.name and told[0]["validation"]["far"] == 0.1
    best, kept = (
        weights.read_state(options.out / "best.pt"),
        weights.read_state(options.out / "student.pt"),
    )
    start = weights.load_run(options.teacher).model.state_dict()
    for key, value in kept.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, start[key] + 0.25 * (best[key] - start[key]))
    assert lines(options.out)[-1]["kept"]["weight_share"] == 0.25
    assert not torch.equal(best["embed.weight"], start["embed.weight"])


def test_a_non_finite_loss_stops_the_run_and_names_the_samples(make_options, monkeypatch):
    options = make_options(save_every=1)
    real = loop.Stepper._batch

    def poisoned(self, *given):
        batch, indices = real(self, *given)
        if 7 in indices:
            row = int(np.flatnonzero(indices == 7)[0])
            student = batch.student.clone()
            student[row] = float("nan")
            batch = replace(batch, student=student)
        return batch, indices

    monkeypatch.setattr(loop.Stepper, "_batch", poisoned)
    with pytest.raises(KitError, match=r"non-finite embeddings at step \d+: faces/p02/1\.png\. "):
        distill(options)


@pytest.mark.slow
def test_an_occupied_folder_and_changed_options_are_refused(make_options, tmp_path):
    options = make_options(steps=2)
    distill(options)
    with pytest.raises(KitError, match="--resume, or choose another"):
        distill(options)
    with pytest.raises(KitError, match=r"--learning-rate was 0\.001, is 0\.5"):
        distill(replace(options, resume=True, learning_rate=0.5))
    with pytest.raises(KitError, match="not those it began with"):
        distill(replace(options, resume=True, train_people=None, data=other_set(tmp_path, options)))


def other_set(folder, options):
    """A set of the same name with one face less."""
    import shutil

    from mfr_kit.data.face_set.faceset import FaceSet
    from mfr_kit.data.face_set.faceset_writer import write_rows

    copy = folder / "elsewhere" / Path(options.data).name
    shutil.copytree(options.data, copy)
    rows = FaceSet.open(copy).table.to_pylist()
    write_rows(copy, [(rows[:-1], [])], {})
    (options.out / "config.toml").write_text(
        (options.out / "config.toml").read_text().replace(str(options.data), str(copy))
    )
    return copy


@pytest.mark.slow
def test_a_missing_or_misfit_start_is_an_error_never_random(make_options, tmp_path):
    with pytest.raises(KitError, match="no such weights file"):
        distill(make_options(init=str(tmp_path / "nothing.pt")))
    with pytest.raises(KitError, match=r"unexpected|another shape"):
        distill(make_options(init="teacher", width=0.25, out=tmp_path / "b"))
    with pytest.raises(KitError, match="cannot take the weights"):
        distill(make_options(init="teacher", teacher="sface", out=tmp_path / "c"))
    with pytest.raises(KitError, match="no model"):
        distill(make_options(teacher="nobody", out=tmp_path / "d"))


def test_a_broken_checkpoint_is_named(make_options):
    options = make_options(steps=2)
    distill(options)
    (options.out / weights.LAST).write_bytes(b"half a file")
    with pytest.raises(KitError, match=r"last\.pt cannot be read"):
        distill(replace(options, resume=True))


def test_a_projector_is_trained_kept_apart_and_dropped(make_options):
    options = make_options(embedding_size=8, steps=2)
    distill(options)
    run = weights.load_run(options.out)
    assert run.projector.shape == (16, 8)
    assert run.model(torch.zeros(1, 3, 112, 112)).shape == (1, 8)


@pytest.mark.slow
def test_a_run_says_where_its_drift_comes_from_and_goes_on_with_no_other(
    make_options, monkeypatch, capsys
):
    options = make_options(steps=2)
    distill(options)
    assert "alignment drift: the kit's constants" in capsys.readouterr().out
    table = np.random.default_rng(0).normal(0, 0.1, (300, 4))
    monkeypatch.setattr("mfr_kit.training.views.drift.measure_twins", lambda faces: table)
    with pytest.raises(
        KitError, match="the face set, the teacher, the initial weights or the masks"
    ):
        distill(replace(options, resume=True))
    other = replace(options, out=options.out.parent / "other")
    distill(other)
    assert "alignment drift: measured on 300 twins" in capsys.readouterr().out
    lineage = json.loads((other.out / "lineage.json").read_text())
    assert "measured on 300 twins" in lineage["masks"]["drift"]


@pytest.mark.slow
def test_masked_faces_draw_their_drift_from_a_file(make_options, tmp_path, capsys):
    for name, spread in (("still", 0.0), ("far", 9.0)):
        table = np.random.default_rng(0).normal(0, 1, (300, 4)) * (0, 0, spread, spread)
        drift.write_table(tmp_path / f"{name}.csv", table)
    made = {"steps": 2, "mask_ratio": 1.0}
    for name in ("still", "far"):
        distill(make_options(out=tmp_path / name, drift_table=tmp_path / f"{name}.csv", **made))
        assert "alignment drift: 300 drifts of a file" in capsys.readouterr().out
    still, far = (weights.load_run(tmp_path / name).model for name in ("still", "far"))
    assert any(
        not torch.equal(a, b) for a, b in zip(still.parameters(), far.parameters(), strict=True)
    )
    options = make_options(out=tmp_path / "far", drift_table=tmp_path / "still.csv", **made)
    with pytest.raises(KitError, match="the face set, the teacher"):
        distill(replace(options, resume=True))


@pytest.mark.slow
def test_a_run_begun_before_an_option_existed_is_continued_with_its_default(make_options):
    options = make_options(steps=2)
    distill(options)
    config = options.out / "config.toml"
    config.write_text(
        "".join(
            line
            for line in config.read_text().splitlines(keepends=True)
            if not line.startswith("sampling")
        )
    )
    distill(replace(options, resume=True))
    with pytest.raises(KitError, match="--sampling was faces, is identities"):
        distill(replace(options, resume=True, sampling="identities"))
