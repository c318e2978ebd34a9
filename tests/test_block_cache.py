"""Blocks that a power cut left short, empty or full of zeros are fetched again."""

from pathlib import Path

import pytest

from mfr_kit.block_cache import BlockCache


@pytest.fixture
def cache(tmp_path: Path) -> BlockCache:
    return BlockCache(tmp_path, 1 << 20)


def test_parts_of_a_block_come_back(cache):
    cache.write("a", 0, b"0123456789")
    cache.write("a", 1, b"")
    assert cache.read("a", 0, 0, -1) == b"0123456789"
    assert cache.read("a", 0, 2, 3) == b"234"
    assert cache.read("a", 0, 8, 100) == b"89"
    assert cache.read("a", 0, 50, 5) == b""
    assert cache.read("a", 1, 0, -1) == b""
    assert cache.read("a", 2, 0, -1) is None


def test_a_block_that_is_not_whole_is_none(cache, tmp_path):
    cache.write("a", 0, b"0123456789")
    path = tmp_path / "a/00000000"
    whole = path.read_bytes()
    for left in [whole[:size] for size in range(len(whole))] + [bytes(len(whole)), whole + b"x"]:
        path.write_bytes(left)
        assert cache.read("a", 0, 0, -1) is None
        assert cache.read("a", 0, 2, 3) is None
    cache.write("a", 0, b"0123456789")
    assert cache.read("a", 0, 2, 3) == b"234"
