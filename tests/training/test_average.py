"""The mean of several runs, and the way back to their start."""

import json
import shutil

import pytest
import torch

from mfr_kit.cli import main
from mfr_kit.data.lists import read_names
from mfr_kit.errors import KitError
from mfr_kit.models import weights
from mfr_kit.training.average import average
from mfr_kit.training.average_options import AverageOptions
from mfr_kit.training.distill import distill
from mfr_kit.training.options import distill_options
from tests.training.conftest import TINY


@pytest.fixture(scope="module")
def runs(set_folder, tmp_path_factory):
    """A run from random weights, and two that go on from it with seeds of their own."""
    folder = tmp_path_factory.mktemp("runs")
    common = {
        **TINY,
        "embedding_size": 128,
        "data": set_folder,
        "steps": 2,
        "batch_size": 8,
        "workers": 0,
        "mask_ratio": 0.0,
        "bank": folder / "bank",
    }
    distill(distill_options()(**common, out=folder / "start"))
    for seed in (1, 2):
        distill(
            distill_options()(
                **common, out=folder / f"run{seed}", init=str(folder / "start"), seed=seed
            )
        )
    return folder


def state(path):
    return weights.load_run(path).model.state_dict()


@pytest.mark.slow
def test_the_mean_and_the_way_back(runs, tmp_path):
    own = [runs / "run1", runs / "run2"]
    average(AverageOptions(runs=own, out=tmp_path / "mean"))
    half = ["--out", str(tmp_path / "half"), "--weight-share", "0.25"]
    assert main(["average", *map(str, own), *half]) == 0
    start, (one, two), mean, half = (
        state(runs / "start"),
        map(state, own),
        state(tmp_path / "mean"),
        state(tmp_path / "half"),
    )
    assert any(not torch.equal(one[key], two[key]) for key in one)
    for key, value in start.items():
        if value.is_floating_point():
            torch.testing.assert_close(mean[key], (one[key] + two[key]) / 2)
            torch.testing.assert_close(half[key], 0.75 * value + 0.25 * mean[key])
    assert len(read_names(tmp_path / "half" / "train_people.txt")) == 8
    told = json.loads((tmp_path / "half" / "lineage.json").read_text())
    assert [run["name"] for run in told["averaged"]["runs"]] == ["run1", "run2"] and told[
        "averaged"
    ]["weight_share"] == 0.25
    assert told["initial_weights"]["name"] == "start"


def test_what_cannot_be_averaged_is_refused(runs, tmp_path):
    for given, problem in (
        ({"runs": [runs / "start", runs / "run1"]}, "one --init"),
        ({"runs": [runs / "start"], "weight_share": 0.5}, "random weights"),
        ({"runs": [runs / "run1"], "weight_share": 1.5}, "between 0 and 1"),
        ({"runs": [runs / "run1"], "out": runs}, "exists already"),
    ):
        with pytest.raises(KitError, match=problem):
            average(AverageOptions(**{"out": tmp_path / "out", **given}))
    assert not (tmp_path / "out").exists()


def test_a_run_of_the_options_former_names_is_averaged_the_same(runs, tmp_path, capsys):
    old, share = tmp_path / "old", ["--weight-share", "0.25"]
    shutil.copytree(runs / "run1", old)
    config = old / weights.CONFIG
    config.write_text(config.read_text().replace("weight_share = 1.0", "keep = 1.0"))
    assert "\nkeep = 1.0\n" in config.read_text()
    assert main(["average", str(runs / "run1"), "--out", str(tmp_path / "a"), *share]) == 0
    assert main(["average", str(old), "--out", str(tmp_path / "b"), "--keep", "0.25"]) == 0
    made = [(tmp_path / name / weights.CONFIG).read_text() for name in "ab"]
    assert made[0] == made[1] and "\nweight_share = 0.25\n" in made[0] and "\nkeep" not in made[0]
    first, second = state(tmp_path / "a"), state(tmp_path / "b")
    assert all(torch.equal(first[key], second[key]) for key in first)
    config.write_text(config.read_text() + "weight_share = 1.0\n")
    capsys.readouterr()
    assert main(["average", str(old), "--out", str(tmp_path / "c"), *share]) == 2
    assert "config.toml: 'keep' and 'weight_share' are the same option" in capsys.readouterr().err
