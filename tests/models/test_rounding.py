import numpy as np
import pytest
import torch

from mfr_kit.cli import main
from mfr_kit.models.embedders import load_embedder
from mfr_kit.models.rounding import tell_rounding
from mfr_kit.seeding import rng_for


class Halved:
    """Embeddings whose first number is off in one face of two."""

    name, precision = "halved", "bf16"

    def embed(self, faces):
        return np.array([[1.0, face % 2] for face in faces[:, 0, 0, 0].tolist()], np.float32)

    def embed_exact(self, faces):
        return np.array([[1.0, 0.0]] * len(faces), np.float32)


class Exact(Halved):
    precision = "float32"


def image(row):
    return np.full((112, 112, 3), row % 256, np.uint8)


def test_mean_and_worst_cosine_are_said(capsys):
    ((mean, worst),) = tell_rounding(Halved(), 4, image, "four")
    assert worst == pytest.approx(np.sqrt(0.5))
    assert mean == pytest.approx((1 + np.sqrt(0.5)) / 2)
    told = capsys.readouterr().err
    assert told == (
        "note: halved in bf16: cosine to float32 on 4 faces of four: mean 0.853553, worst "
        "0.707107\n"
    )
    assert tell_rounding(Exact(), 4, image, "four") == tell_rounding(Halved(), 0, image, "-") == []
    many = []
    tell_rounding(Halved(), 10_000, lambda row: many.append(row) or image(row), "many")
    assert (len(many), many[0], many[-1]) == (64, 0, 9_999)


def test_a_run_in_bf16_is_near_itself(make_run, tmp_path, capsys):
    make_run(tmp_path)
    embedder = load_embedder(tmp_path, precision="bf16")
    faces = rng_for(3).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    ((mean, worst),) = tell_rounding(embedder, 3, faces.__getitem__, "faces")
    assert 0.9 < worst <= mean < 1
    assert "in bf16: cosine to float32 on 3 faces" in capsys.readouterr().err


def test_commands_say_it_and_keep_other_embeddings(
    make_run, drawn_set, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("MFR_KIT_HOME", str(tmp_path / "home"))
    torch.manual_seed(0)
    make_run(tmp_path / "run")
    run, faces = str(tmp_path / "run"), str(tmp_path / "set")
    kept = []
    for more in ([], ["--precision", "bf16"]):
        assert main(["evaluate", run, "--data", faces, *more]) == 0
        kept.append(len(list((tmp_path / "home" / "embeddings").glob("*.npy"))))
    assert kept == [1, 2]
    told = capsys.readouterr().err
    assert told.count(f"run in bf16: cosine to float32 on {len(drawn_set)} faces of ") == 1
    audited = ["audit", faces, "--model", run, "--no-turned", "--out", str(tmp_path / "audit")]
    audited.append("--force")
    assert main([*audited, "--precision", "bf16"]) == 0
    assert f"run in bf16: cosine to float32 on 24 faces of {faces}: " in capsys.readouterr().err
    assert main([*audited, "--precision", "tf32"]) == 2
    assert "run: tf32 is of CUDA devices; on cpu give --precision" in capsys.readouterr().err
    assert main(["evaluate", run, "--data", faces, "--precision", "half"]) == 2
    assert "value for --precision 'half'" in capsys.readouterr().err
