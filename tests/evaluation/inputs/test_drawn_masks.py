"""Masks drawn for a measurement: the same for everybody who has the seed, and their digests say
so.
"""

import json

import numpy as np
import pytest

from mfr_kit import cli
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation import recognition
from mfr_kit.evaluation.compare import evaluate_set
from mfr_kit.evaluation.inputs.drawn_masks import MaskedFaces
from mfr_kit.evaluation.inputs.faces import from_set
from mfr_kit.masks import library
from tests.conftest import write_faceset
from tests.evaluation.fakes import ColourEmbedder
from tests.evaluation.tables import listed, tar_by_sorting


@pytest.fixture
def clean(tmp_path) -> FaceSet:
    return write_faceset(tmp_path / "set", people=5, twins=False)


def test_the_draw_depends_on_seed_and_key_only(clean) -> None:
    one, again, other = MaskedFaces(clean, 3), MaskedFaces(clean, 3), MaskedFaces(clean, 4)
    assert one.about == again.about and one.masks.tolist() == again.masks.tolist()
    assert (
        one.about["parameters_sha256"] != other.about["parameters_sha256"]
        and one.fingerprint != other.fingerprint
    )
    fewer = MaskedFaces(clean.select([7, 2]), 3)
    for here, there in ((0, 7), (1, 2)):
        assert fewer.masks[here] == one.masks[there] and np.array_equal(
            fewer.image(here), one.image(there)
        )
    assert len({json.loads(mask)["look"] for mask in one.masks} & set(library.names())) > 1
    changed = np.abs(one.image(0).astype(int) - clean.image(0)).max(axis=2) > 8
    share = json.loads(one.masks[0])["coverage"]
    assert changed[:30].mean() < 0.05 and 0.1 < share < 0.6 and changed[70:90, 40:72].mean() > 0.5


def test_digests_tell_other_pixels_from_other_parameters(clean) -> None:
    first = MaskedFaces(clean, 0)
    (clean.folder / clean.keys[0]).write_bytes((clean.folder / clean.keys[1]).read_bytes())
    second = MaskedFaces(clean, 0)
    assert first.about["parameters_sha256"] == second.about["parameters_sha256"]
    assert first.about["pixels_sha256"] != second.about["pixels_sha256"]


def test_masked_faces_of_the_set_are_left_out(tmp_path, clean) -> None:
    twins = write_faceset(tmp_path / "twins", people=5)
    assert MaskedFaces(twins, 0).about == MaskedFaces(clean, 0).about
    with pytest.raises(KitError, match="no unmasked faces"):
        MaskedFaces(twins.select(twins.conditions == "mask"), 0)


@pytest.mark.slow
def test_the_command_measures_drawn_masks_against_unmasked_faces(
    clean, monkeypatch, tmp_path, capsys
) -> None:
    """Genuine: 5 people x 4 masked x 3 others; the figures are those of a full sort; a second
    run takes them from the cache.
    """
    monkeypatch.setenv("MFR_KIT_HOME", str(tmp_path / "home"))
    models = {name: ColourEmbedder(name, upper=name == "upper") for name in ("whole", "upper")}
    monkeypatch.setattr(recognition, "load_on", lambda engine, spec, **_: models[spec])
    flags = [
        "--data",
        str(clean.folder),
        "--protocol",
        "synthetic-mask",
        "--protocol",
        "nonmask-nonmask",
        "--mask-seed",
        "5",
    ]
    arguments = [
        "evaluate",
        "whole",
        "upper",
        *flags,
        "--far",
        "0.3",
        "--resamples",
        "20",
        "--out",
        str(tmp_path / "out"),
    ]
    assert cli.main(arguments) == 0
    text = capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert list(report["protocols"]) == ["synthetic-mask", "nonmask-nonmask"]
    results = report["protocols"]["synthetic-mask"]["models"]
    drawn = MaskedFaces(clean, 5)
    embedder = ColourEmbedder()
    masked = drawn.faces(embedder.embed(np.stack([drawn.image(row) for row in range(len(drawn))])))
    faces = from_set(
        embedder.embed(np.stack([clean.image(row) for row in range(len(clean))])), clean
    )
    genuine, impostor = listed(masked, faces)
    count = results["whole"]["comparisons"]
    assert (count["genuine"], count["impostor"]) == (len(genuine), len(impostor)) == (60, 320)
    assert results["whole"]["tar_at_far"][0]["tar"] == pytest.approx(
        tar_by_sorting(genuine, impostor, 0.3)[0], abs=0.02
    )
    assert results["upper"]["tar_at_far"][0]["tar"] > results["whole"]["tar_at_far"][0]["tar"]
    assert results["whole"]["draw"] == results["upper"]["draw"] == drawn.about
    assert {row["by"] for row in results["whole"]["groups"]} >= {"mask kind", "coverage"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert (
        drawn.fingerprint in page
        and drawn.about["parameters_sha256"] in page
        and drawn.fingerprint[:16] in text
    )
    calls = models["whole"].calls
    assert cli.main([*arguments, "--force"]) == 0 and models["whole"].calls == calls
    again = json.loads((tmp_path / "out" / "report.json").read_text())
    assert again["protocols"] == report["protocols"]


def test_what_has_no_model_cannot_wear_masks(clean, tmp_path, capsys) -> None:
    rows = np.random.default_rng(0).standard_normal((len(clean), 4)).astype(np.float32)
    np.save(tmp_path / "a.npy", rows)
    flags = ["--data", str(clean.folder), "--protocol", "synthetic-mask"]
    assert cli.main(["evaluate", str(tmp_path / "a.npy"), *flags]) == 2
    assert "masked faces need the model" in capsys.readouterr().err
    assert cli.main(["evaluate", "sface", *flags, "--mask-seed", "-1"]) == 2
    assert "--mask-seed must be 0 or more, not -1" in capsys.readouterr().err
    with pytest.raises(KitError, match="evaluate --protocol synthetic-mask"):
        evaluate_set(rows, clean, protocols=["synthetic-mask"])
    assert "synthetic-mask" not in evaluate_set(rows, clean, fars=[0.5])
