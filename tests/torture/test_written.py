"""What of written files the rows compare."""

import json

import torch

from tests.torture.written import content


def test_times_need_not_be_equal_and_all_else_does(tmp_path):
    path, record = tmp_path / "metrics.jsonl", tmp_path / "records/a/b.json"
    found = []
    for line in ({"loss": 1.0, "left_s": 3}, {"loss": 1.0, "left_s": 4}, {"loss": 1.5}):
        path.write_text(json.dumps(line) + "\n")
        found.append(content(path))
    assert found[0] == found[1] != found[2]
    record.parent.mkdir(parents=True)
    record.write_text('{"commit": "a", "seconds": 1, "tar": 2}')
    assert content(record) == {"commit": "a", "tar": 2}
    assert content(record, frozenset({"commit"})) == {"tar": 2}


def test_checkpoints_are_compared_bit_for_bit(tmp_path):
    path, found = tmp_path / "a.pt", []
    for value in (1.0, 1.0, 1.0 + 1e-7):
        torch.save({"step": 3, "weights": [torch.full((2,), value)]}, path)
        found.append(content(path))
    assert found[0] == found[1] != found[2]
    path.write_bytes(path.read_bytes()[:-9])
    assert content(path) == path.read_bytes()
