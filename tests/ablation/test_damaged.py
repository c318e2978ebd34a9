"""Records and tables that were damaged or edited are refused with file and key."""

import json

import pytest

from mfr_kit.ablation import table
from mfr_kit.ablation.record import read_record
from mfr_kit.errors import KitError
from tests.side_files import TABLE, make_records, read_records


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record.pop("sets"), "key 'sets' is missing"),
        (lambda record: record.update(seconds={"train": "1"}), "'seconds.train' holds '1'"),
        (lambda record: record.update(curve=[[1]]), "'curve' holds a point"),
        (lambda record: record.update(schema="other/1"), "no record of this version"),
        (lambda record: record.update(table="é" * 101), "'table' is no name"),
        (lambda record: record.update(table="../elsewhere"), "'table' is no name"),
        (
            lambda record: record["sets"]["val"]["protocols"]["mask-nonmask"][0].update(tar=1.5),
            "not within 0 and 1",
        ),
        (
            lambda record: record["sets"]["val"]["protocols"]["mask-nonmask"].pop(),
            "other sets, protocols or FARs",
        ),
    ],
)
def test_a_damaged_record_is_named(tmp_path, change, message):
    make_records(tmp_path)
    path = tmp_path / "t" / "base-1.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(KitError, match=rf"base-1\.json: .*{message}.*delete it"):
        read_records(tmp_path)


def test_a_record_cut_short_is_named(tmp_path):
    make_records(tmp_path)
    path = tmp_path / "t" / "base-0.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(KitError, match=r"base-0\.json: is not whole JSON"):
        read_record(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds = [0, 1]", "seeds = [0, 0]", "'seeds' and 'resamples' are different numbers"),
        ("seeds = [0, 1]", 'seeds = ["0"]', r"'seeds\[0\]' holds '0' where a whole number"),
        ("resamples = 100", "resamples = -1", "'seeds' and 'resamples'"),
        ("fars = [0.1, 0.01]", "fars = [0.1, nan]", r"'sets\[0\].fars\[1\]' holds nan"),
        ("fars = [0.1, 0.01]", "fars = [2]", "set 'val': 'fars' are numbers above 0 to 1"),
        ("weight_share = 0.5", "keep = 1.5", "setting 'half': 'weight_share' is a number from 0"),
        ("weight_share = 0.5", 'keep = "x"', r"'setting\[2\].weight_share' holds 'x'"),
        (
            "weight_share = 0.5",
            "weight_share = 0.5, keep = 0.5",
            r"setting\[2\]: 'weight_share' and 'keep' are the same option: give it once",
        ),
        ('protocols = ["nonmask-nonmask"]', 'protocols = "nonmask-nonmask"', "'sets.0..protocols'"),
        ("flip = true", 'flip = "yes"', "'sets.0..flip' holds 'yes' where true or false"),
    ],
)
def test_a_table_of_wrong_values_is_refused(tmp_path, old, new, message):
    path = tmp_path / "table.toml"
    path.write_text(TABLE.replace(old, new))
    with pytest.raises(KitError, match=rf"table\.toml: .*{message}"):
        table.read(path)


def test_options_of_a_setting_have_their_types(tmp_path):
    path = tmp_path / "table.toml"
    path.write_text(TABLE.replace("epochs = 2.0", 'epochs = "2"'))
    read = table.read(path)
    with pytest.raises(KitError, match=r"setting 'base': key 'epochs': expected float, found '2'"):
        read.options(read.settings[0], seed=0)
