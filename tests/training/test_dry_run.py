"""`distill --dry-run`, and the config for MS1MV3 run for ten steps."""

import re
from pathlib import Path

import numpy as np
import pytest

from mfr_kit import options as flags
from mfr_kit.models import weights
from mfr_kit.training.distill import distill
from mfr_kit.training.dry_run import estimate
from mfr_kit.training.options import distill_options
from tests.training.conftest import write_set

MS1MV3 = Path(__file__).parents[2] / "configs/ms1mv3.toml"


def number(pattern: str, text: str) -> float:
    return float(re.search(pattern, text).group(1).replace(",", ""))


@pytest.mark.slow
def test_a_dry_run_writes_nothing_and_counts_what_the_run_then_has(make_options):
    options = make_options(steps=None, epochs=3, batch_size=4, accumulate=2)
    told = estimate(options)
    assert not options.out.exists()
    assert "24 clean faces of 8 people" in told and "(24 faces missing)" in told
    assert number(r"steps: ([\d,]+) of 8 faces", told) == 9
    distill(options)
    assert "steps: 9" in told and "(0 faces missing)" in estimate(options)


def test_without_a_teacher_there_is_no_bank_to_fill(make_options):
    assert "(24 faces missing)" in estimate(make_options(method="arcface"))
    assert "(0 faces missing)" in estimate(make_options(method="arcface", fcd_weight=0.0))


@pytest.mark.slow
def test_the_disk_it_foretells_is_the_disk_it_takes(make_options):
    options = make_options(steps=2, width=0.5, embedding_size=64, method="arcface")
    foretold = number(r"disk: about (\d+) MiB", estimate(options))
    distill(options)
    taken = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file()) / 2**20
    # best.pt is counted and not there without validation
    assert taken == pytest.approx(foretold, rel=0.25, abs=1.5)


@pytest.mark.slow
def test_the_config_for_eight_gpus_takes_ten_steps_on_a_set_of_its_shape(tmp_path, teacher_folder):
    """Many people, records not needed: everything of the config but what only a GPU or a real
    teacher can do.
    """
    folder = write_set(tmp_path / "set", people=400, shots=2)
    small = {
        "student": "iresnet18",
        "width": 0.125,
        "embedding_size": 16,
        "batch_size": 16,
        "steps": 10,
        "device": "cpu",
        "workers": 2,
    }
    given = {
        "data": folder,
        "out": tmp_path / "run",
        "teacher": str(teacher_folder),
        "threads": 1,
        "log_every": 1,
    }
    options = flags.load(distill_options(), MS1MV3, {**small, **given})
    distill(options)
    run = weights.load_run(options.out)
    assert run.lineage["training_sets"][0]["people"] == 400
    assert (options.precision, options.bank_dtype, options.schedule, options.neighbours) == (
        "bf16",
        "float16",
        "step",
        100,
    )
    state = weights.read_state(options.out / weights.STUDENT)
    assert all(np.isfinite(value.float().numpy()).all() for value in state.values())
    assert len((options.out / weights.METRICS).read_text().splitlines()) == 10
