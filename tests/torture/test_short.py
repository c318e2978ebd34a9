"""The campaign in short: the first rounds of every row."""

import pytest

from tests.torture import campaign

LONG = {"concurrent", "kills", "photographs"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in LONG else [])
        for name in campaign.names()
    ],
)
def test_nothing_goes_wrong_in_the_first_rounds(name, tmp_path):
    row = campaign.load(name)
    outcomes = list(campaign.attempts(row, range(row.SHORT), tmp_path))
    assert [note for outcome in outcomes for note in outcome.wrong] == []
    assert all(sum(outcome.trials.values()) for outcome in outcomes)
