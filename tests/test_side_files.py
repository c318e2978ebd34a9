"""The fuzzer of side files, in short: `python tests/fuzz_side_files.py` runs thousands of inputs
of each campaign.
"""

import random
import shutil
import warnings

import pytest

from tests import state_files
from tests.format_files import FORMATS
from tests.fuzz_side_files import try_input
from tests.side_files import CAMPAIGNS

EVERY = CAMPAIGNS | FORMATS | state_files.CAMPAIGNS
INPUTS = {"runs": 12}  # of campaigns whose readers are slow
USUAL = 40
MADE_AGAIN = {"banks", "claims"}  # nothing is refused: what is damaged is not believed


@pytest.mark.parametrize("name", EVERY)
def test_damage_is_refused_in_one_line_or_harmless(name, tmp_path):
    campaign, base = EVERY[name], tmp_path / "base"
    base.mkdir()
    campaign.make(base)
    shutil.copytree(base, tmp_path / "proof")
    campaign.read(tmp_path / "proof")  # which may tidy up
    outcomes = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(INPUTS.get(name, USUAL)):
            rng = random.Random(f"suite-{number}")
            outcomes.append(try_input(campaign, base, tmp_path / "input", rng))
    assert [note for outcome, note in outcomes if outcome == "bad"] == []
    refused = sum(outcome == "refused" for outcome, _ in outcomes)
    assert refused == 0 if name in MADE_AGAIN else refused > len(outcomes) / 10
