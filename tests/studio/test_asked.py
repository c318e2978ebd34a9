"""Whatever a browser asks is answered, or refused in one line."""

import random

from mfr_kit.errors import KitError
from tests.studio import asked


def test_what_is_asked_of_the_studio_is_answered_or_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked.studio.cache_clear()
    refused = 0
    for name, data in asked.make(tmp_path).items():
        path = tmp_path / name
        path.write_bytes(data)
        asked.ask(path, 0)
        for number in range(10):
            damaged = asked.damage_of(data, random.Random(f"{name}-{number}"))
            path.write_bytes(damaged)
            try:
                asked.ask(path, 0)
            except KitError as error:
                assert len(str(error).splitlines()) == 1
                refused += 1
    assert refused > 20
