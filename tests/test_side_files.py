"""The fuzzer of side files, in short: `python tests/fuzz_side_files.py` runs thousands of inputs
of each campaign.
"""

import random
import warnings

import pytest

from tests.format_files import FORMATS
from tests.fuzz_side_files import try_input
from tests.side_files import CAMPAIGNS

EVERY = CAMPAIGNS | FORMATS
INPUTS = {"runs": 12}  # of campaigns whose readers are slow
USUAL = 40


@pytest.mark.parametrize("name", EVERY)
def test_damage_is_refused_in_one_line_or_harmless(name, tmp_path):
    campaign, base = EVERY[name], tmp_path / "base"
    base.mkdir()
    campaign.make(base)
    campaign.read(base)
    outcomes = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(INPUTS.get(name, USUAL)):
            rng = random.Random(f"suite-{number}")
            outcomes.append(try_input(campaign, base, tmp_path / "input", rng))
    assert [note for outcome, note in outcomes if outcome == "bad"] == []
    assert sum(outcome == "refused" for outcome, _ in outcomes) > len(outcomes) / 10
