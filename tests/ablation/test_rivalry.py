"""Settings against one of them, over people and seeds: against what the variances must be."""

import json

import numpy as np
import pytest

from mfr_kit.ablation import results
from mfr_kit.ablation.cells import TEACHER, cells
from mfr_kit.ablation.rivalry import POWER, difference
from mfr_kit.ablation.table import read
from mfr_kit.errors import KitError

RESAMPLES = 400


def rate(tar, people=None, false_accepts=1000):
    """A rate of a record; `people` are the deviations of the resamples from it."""
    people = np.zeros(RESAMPLES) if people is None else people
    resampled = (tar + people).tolist()
    return {"far": 1e-3, "tar": tar, "false_accepts": false_accepts, "resampled": resampled}


def test_settings_that_are_equal_do_not_differ():
    people = np.random.default_rng(0).normal(0, 0.02, RESAMPLES)
    side = {seed: rate(0.5 + seed / 100, people) for seed in range(3)}
    found = difference(side, side)
    assert (found.mean, found.low, found.high, found.error, found.seeds) == (0, 0, 0, 0, 3)


@pytest.mark.parametrize("gains", [[0.0, 0.01, 0.02], [0.0, 0.01], [0.03, 0.0, 0.01, 0.0, 0.02]])
def test_where_seeds_alone_differ_the_error_is_that_of_their_mean(gains):
    theirs = {seed: rate(0.5 + 0.1 * seed) for seed in range(len(gains))}
    ours = {seed: rate(theirs[seed]["tar"] + gain) for seed, gain in enumerate(gains)}
    found = difference(ours, theirs)
    wanted = 100 * np.std(gains, ddof=1) / len(gains) ** 0.5
    assert found.error == pytest.approx(wanted, rel=0.03)
    assert found.mean == pytest.approx(100 * np.mean(gains))
    assert found.detectable == POWER * found.error


def test_where_people_alone_differ_the_error_is_theirs():
    people = np.random.default_rng(1).normal(0.0, 0.02, RESAMPLES)
    ours = {seed: rate(0.6, people) for seed in range(4)}
    theirs = {seed: rate(0.5) for seed in range(4)}
    found = difference(ours, theirs)
    low, high = np.quantile(10 + 100 * people, [0.025, 0.975])
    assert found.error == pytest.approx(100 * people.std(), rel=1e-6)
    assert (found.mean, found.low, found.high) == pytest.approx((10, low, high), abs=0.1)


def test_seeds_that_one_side_lacks_do_not_count():
    ours = {0: rate(0.6), 1: rate(0.6), 7: rate(0.9)}
    theirs = {0: rate(0.5), 1: rate(0.5), 3: rate(0.1)}
    found = difference(ours, theirs)
    assert found.seeds == 2
    assert found.mean == pytest.approx(10)


@pytest.mark.parametrize(
    "ours",
    [
        {0: rate(0.6)},  # one seed says nothing of others
        {5: rate(0.6), 6: rate(0.6)},  # none shared
        {0: rate(0.6), 1: rate(0.6, false_accepts=99)},
        {0: rate(0.6), 1: rate(0.6, np.zeros(3))},
    ],
)
def test_what_cannot_be_compared_has_no_difference(ours):
    assert difference(ours, {0: rate(0.5), 1: rate(0.5)}) is None


def write_record(folder, setting, seed, tar, against="fcd"):
    record = {
        "schema": "mfr-kit/ablation/1",
        "table": "t",
        "title": "Rivals",
        "setting": setting,
        "against": against,
        "seed": seed,
        "sets": {
            "val": {
                "fingerprint": "f",
                "faces": 10,
                "people": 5,
                "protocols": {"mask-nonmask": [rate(tar)]},
            }
        },
        "seconds": {"train": 1.0, "measure": 1.0},
        "commit": None,
        "key": "k",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{setting}-{seed}.json").write_text(json.dumps(record))


def test_the_page_has_a_table_of_differences(tmp_path):
    folder = tmp_path / "records" / "t"
    write_record(folder, TEACHER, None, 0.9)
    for seed in (0, 1):
        write_record(folder, "fcd", seed, 0.5)
        write_record(folder, "coupleface", seed, 0.52 + 0.02 * seed)
    write_record(folder, "rkd", 0, 0.5, ["coupleface", "fcd"])  # the table names more by now
    results.write(tmp_path / "records", tmp_path / "out.md")
    page = (tmp_path / "out" / "t.md").read_text()
    assert "| fcd | 2 | -3.00 (-4.00 to -2.00) |" in page.split("## Minus coupleface\n")[1]
    part = page.split("## Minus fcd\n")[1].split("\n## ")[0]
    assert "| coupleface | 2 | +3.00 (+2.00 to +4.00) |" in part
    assert "| could be seen | | 2.8" in part
    assert "| teacher |" not in part
    assert "| fcd |" not in part


TABLE = """
title = "t"
seeds = [0, 1]
against = "fcd"
[[sets]]
name = "val"
data = "x"
fars = [1e-3]
[[setting]]
name = "fcd"
method = "fcd"
seeds = [0, 1, 2]
[[setting]]
name = "coupleface"
[[setting]]
name = "half"
of = "fcd"
weight_share = 0.5
"""


def test_a_row_may_have_seeds_of_its_own(tmp_path):
    path = tmp_path / "t.toml"
    path.write_text(TABLE)
    table = read(path)
    found = [(cell.setting, cell.seed) for cell in cells(table)]
    assert found == [
        (TEACHER, None),
        *[(name, seed) for seed in (0, 1) for name in ("fcd", "coupleface", "half")],
        ("fcd", 2),
        ("half", 2),
    ]
    assert table.against == ("fcd",)
    path.write_text(TABLE.replace('"fcd"\n[[sets]]', '["fcd", "half"]\n[[sets]]'))
    assert read(path).against == ("fcd", "half")
    path.write_text(TABLE.replace('against = "fcd"', 'against = "fdc"'))
    with pytest.raises(KitError, match=r"against: unknown setting 'fdc'\. Did you mean 'fcd'"):
        read(path)
    path.write_text(TABLE.replace("[0, 1, 2]", "[0, 0]"))
    with pytest.raises(KitError, match="'seeds' and 'resamples' are different numbers"):
        read(path)
