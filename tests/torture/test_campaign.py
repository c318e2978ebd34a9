"""How the campaign runs its rows: goes on, notes what goes wrong, writes its page."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.torture import campaign, page
from tests.torture.outcome import Outcome

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def row(monkeypatch):
    def prepare(shared):
        (shared / "made").write_text("once")

    def attempt(number, shared, folder):
        assert (shared / "made").read_text() == "once"
        assert not list(folder.iterdir())
        (folder / "left").touch()
        if number == 1:
            raise ValueError("a slip of the round")
        outcome = Outcome(wrong=["lost a byte"] if number == 2 else [])
        outcome.trials["kind"] += 10
        outcome.measure("slowest s", float(number))
        return outcome

    made = SimpleNamespace(
        TITLE="t",
        WANTED="w",
        ROUNDS=4,
        SHORT=1,
        prepare=prepare,
        attempt=attempt,
        __doc__="Says.\n",
    )
    monkeypatch.setattr(campaign, "load", lambda name: made)
    monkeypatch.setattr(campaign, "names", lambda: ["made_up"])
    return made


def work(tmp_path, record=None):
    part = tmp_path / "made_up.json"
    campaign.work_at("made_up", campaign._begun(record, "abc"), part, tmp_path / "made_up")
    return json.loads(part.read_text())


def test_what_goes_wrong_is_noted_and_the_rest_goes_on(row, tmp_path):
    record = work(tmp_path)
    assert record["rounds"] == 4
    assert record["trials"] == {"kind": 30}
    assert record["most"] == {"slowest s": 3.0}
    first, second = record["wrong"]
    assert first.startswith("round 1: ValueError at test_campaign.py:")
    assert second == "round 2: lost a byte"
    kept = sorted(path.name for path in (tmp_path / "made_up").iterdir())
    assert kept == ["round-1", "round-2", "shared"]


def test_it_goes_on_where_it_was_stopped(row, tmp_path):
    row.ROUNDS = 1
    first = work(tmp_path)
    row.ROUNDS = 4
    row.prepare = None  # what all rounds share is made once
    record = work(tmp_path, first)
    assert (record["rounds"], record["trials"]) == (4, {"kind": 30})
    assert record["commits"] == ["abc"]


def test_the_page_says_what_was_tried_and_what_went_wrong(row, tmp_path):
    told = page.markdown({"made_up": work(tmp_path)})
    assert "| made_up | t | w | 4 of 4 | 30 | 2 | slowest s 3 |" in told
    assert "* `round 2: lost a byte`" in told
    assert "| made_up | t | w | not run |" in page.markdown({})


def test_what_went_wrong_is_tried_again(row, tmp_path):
    record, folder = work(tmp_path), tmp_path / "made_up"
    row.attempt = lambda number, shared, folder: Outcome(wrong=["still"] if number == 1 else [])
    record = campaign.try_again("made_up", record, folder, "abd")
    assert record["wrong"] == ["round 1: still"]
    assert record["mended"] == ["round 2: lost a byte (right at abd)"]
    told = page.markdown({"made_up": record})
    assert "| 30 | 1, 1 mended |" in told and "* mended: `round 2: lost a byte (right" in told


def test_the_page_in_docs_says_what_the_records_say():
    records = campaign.read(ROOT / "results/torture.json")
    assert (ROOT / "docs/reference/torture.md").read_text() == page.markdown(records)
