import numpy as np
import pytest

from mfr_kit.evaluation import dry_run, recognition, run
from mfr_kit.evaluation.options import EvaluateOptions
from tests.conftest import write_faceset
from tests.evaluation.fakes import ColourEmbedder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MFR_KIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(recognition, "load_on", lambda *_, **__: ColourEmbedder())
    return write_faceset(tmp_path / "set", people=8).folder


def test_it_counts_what_the_measurement_then_compares_and_keeps_nothing(folder, tmp_path):
    options = EvaluateOptions(["colours"], data=folder, resamples=0)
    text = dry_run.estimate(options)
    assert not (tmp_path / "home").exists()
    lines = {line.strip().split(":")[0]: line for line in text.splitlines() if line[0] == " "}
    found = run.evaluate(options).protocols
    for name in ("mask-nonmask", "nonmask-nonmask", "mask-mask"):
        counted = found[name]["models"]["colours"]["comparisons"]
        number = counted["genuine"] + counted["impostor"]
        assert f": {number:,} comparisons, once: about" in lines[name]
    # what has been embedded is not embedded again
    assert "colours: the embeddings are kept from before" in dry_run.estimate(options)


def test_groups_and_intervals_come_on_top(folder, tmp_path):
    groups = tmp_path / "groups.csv"
    people = sorted({path.name for path in (folder / "faces").iterdir()})
    groups.write_text(
        "identity,group\n" + "".join(f"{name},{i % 2}\n" for i, name in enumerate(people))
    )
    options = EvaluateOptions(
        ["colours"], data=folder, protocol=["all-to-all"], groups=groups, resamples=10
    )
    text = dry_run.estimate(options)
    result = run.evaluate(options).protocols["all-to-all"]["models"]["colours"]
    counts = [result["comparisons"], *(row["comparisons"] for row in result["by_group"])]
    number = sum(count["genuine"] + count["impostor"] for count in counts)
    assert f"all-to-all: {number:,} comparisons, once, and once more for intervals" in text


def test_given_embeddings_are_not_tried(folder, tmp_path):
    from mfr_kit.data.face_set.faceset import FaceSet

    count = len(FaceSet.open(folder))
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).standard_normal((count, 4)))
    text = dry_run.estimate(EvaluateOptions([str(tmp_path / "rows.npy")], data=folder))
    assert "embeddings are given" in text
