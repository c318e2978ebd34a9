"""Texts in the encodings that editors save: one reader for all files that people write."""

from pathlib import Path

import pytest

from mfr_kit import options, records
from mfr_kit.errors import KitError
from mfr_kit.text import read_text

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_reader_knows_the_encodings_of_editors(tmp_path: Path, encoding: str):
    path = tmp_path / "t"
    path.write_bytes('name = "ažo"\r\n'.encode(encoding))
    assert read_text(path) == 'name = "ažo"\r\n'
    assert options.read_toml(path, "the settings") == {"name": "ažo"}
    assert records.read_toml(path, {"name": str}, "mend it") == {"name": "ažo"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"anna\nb\xe9a\n", "line 2 is no UTF-8 text; save it as UTF-8"),
        (b"anna\nbea\0\n", "line 2 holds a NUL byte"),
        (b"\xff\xfea", "line 1 is no UTF-8 text"),
        (bytes(64), "line 1 holds a NUL byte: it is no text file"),
        (None, "no such file"),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, data: bytes | None, words: str):
    if data is not None:
        (tmp_path / "t").write_bytes(data)
    with pytest.raises(KitError, match=f"the list .*{words}"):
        read_text(tmp_path / "t")
    with pytest.raises(KitError, match=(words if data else "No such file") + ".*mend it"):
        records.read_toml(tmp_path / "t", {}, "mend it")


def test_a_device_without_end_is_refused(monkeypatch):
    monkeypatch.setattr("mfr_kit.text.LONGEST_PIPE", 1 << 10)
    with pytest.raises(KitError, match="/dev/zero: it is no file and gives more than"):
        read_text(Path("/dev/zero"))
