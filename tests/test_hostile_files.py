"""A short form of tests/hostile_files.py: every tenth file of each kind."""

import itertools

import pytest

from tests.hostile_files import corpus, outcome

EVERY = {
    kind: list(files)
    for kind, files in itertools.groupby(corpus(), lambda hostile: hostile.name.split()[0])
}
FEW = [hostile for files in EVERY.values() for hostile in files[::10]]


def test_there_are_two_hundred():
    assert sum(map(len, EVERY.values())) >= 200


@pytest.mark.parametrize("hostile", FEW, ids=lambda hostile: hostile.name)
def test_a_hostile_file_is_refused_in_one_line(hostile, tmp_path):
    assert outcome(hostile, tmp_path) == ""
