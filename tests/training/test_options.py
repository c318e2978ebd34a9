import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from mfr_kit import options as flags
from mfr_kit.errors import KitError
from mfr_kit.models.weights import to_toml
from mfr_kit.training.options import distill_options
from mfr_kit.training.settings import Pace

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))


def distill_configs():
    """The shipped configs of `distill`: those with a `student`."""
    return [
        path for path in CONFIGS if "student" in tomllib.loads(path.read_text(encoding="utf-8"))
    ]


def test_the_method_gets_its_own_options(make_options):
    own = make_options(method="coupleface", alpha_neg=3.0, tolerance=0.1, neighbours=4).of_method()
    assert (own.alpha_neg, own.tolerance, own.neighbours) == (3.0, 0.1, 4)


def test_an_option_of_another_method_is_refused_not_ignored(make_options):
    with pytest.raises(
        KitError, match=r"--rkd-angle is an option of rkd, not of --method coupleface"
    ):
        make_options(rkd_angle=1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mask_ratio": 1.5},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"weight_share": -0.1},
        {"steps": 0},
        {"ema": 1.0},
        {"drift": -1.0},
        {"seed": -1},
    ],
)
def test_impossible_values_are_refused_by_their_flag(make_options, wrong):
    with pytest.raises(KitError, match="--" + next(iter(wrong)).replace("_", "-")):
        make_options(**wrong)


def test_contradictions_are_refused(make_options):
    with pytest.raises(KitError, match="--teacher-view same"):
        make_options(teacher_view="same", target="sum")


def test_norms_freeze_with_given_weights_unless_said_otherwise(make_options):
    assert not make_options(init="random").frozen_norms
    assert make_options(init="teacher").frozen_norms
    assert not make_options(init="teacher", freeze_bn=False).frozen_norms


def test_every_default_survives_a_config_file(make_options, tmp_path):
    options = make_options(masks=["cup"], holdout_people=[Path("a.txt")])
    path = tmp_path / "all.toml"
    path.write_text(to_toml(flags.as_dict(options)))
    assert flags.load(distill_options(), path, {}) == options


@pytest.mark.parametrize("path", distill_configs(), ids=lambda path: path.stem)
def test_every_shipped_config_is_accepted(path):
    loaded = flags.load(distill_options(), path, {"data": Path("set"), "out": Path("run")})
    assert loaded.of_method() is not None


def test_there_are_shipped_configs():
    assert {path.stem for path in distill_configs()} >= {"adapt_sface", "mobilefacenet"}


def test_listing_the_flags_imports_nothing_heavy():
    heavy = "('torch', 'numpy', 'cv2')"
    code = (
        "import sys; from mfr_kit.training.options import distill_options as d; d(); print([m "
        f"for m in {heavy} if m in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_passes_are_said_and_capped(make_options):
    course = Pace(32, 1, 10.0, 900).course_over(256, 1)
    first, note = course.summary(256).splitlines()
    assert first == "steps: 900 of 32 faces, 112 passes over 256" and "--max-epochs" in note
    assert "note" not in Pace(32, 1, 10.0, 900).course_over(10_628, 1).summary(10_628)
    assert Pace(32, 1, 10.0, 900, 2.5).course_over(256, 1).total == 20
    assert Pace(32, 1, 10.0, 900, 2.75).course_over(10_628, 1).total == 900
    assert Pace(64, 1, 10.0, None, 0.001).course_over(256, 1).total == 1
    assert make_options(max_epochs=2.0).pace.max_epochs == 2.0
