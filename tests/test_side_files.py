"""The fuzzer of side files, in short: `python tests/fuzz_side_files.py` runs thousands of inputs
of each campaign.
"""

import random
import shutil
import warnings

import pytest

from mfr_kit.errors import KitError
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


def test_what_is_asked_of_the_studio_is_answered_or_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state_files._studio.cache_clear()
    refused = 0
    for name, data in state_files.make_requests(tmp_path).items():
        path = tmp_path / name
        path.write_bytes(data)
        state_files.ask(path, 0)
        for number in range(10):
            damaged = state_files.damage_request(data, random.Random(f"{name}-{number}"))
            path.write_bytes(damaged)
            try:
                state_files.ask(path, 0)
            except KitError as error:
                assert len(str(error).splitlines()) == 1
                refused += 1
    assert refused > 20
