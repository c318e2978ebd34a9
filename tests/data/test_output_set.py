"""A converted set has its name only once it is proved; a kill at any move leaves nothing that is
in the way of the same command.
"""

import os

import pytest

from mfr_kit import files
from mfr_kit.data import convert as module
from mfr_kit.data.convert import convert
from mfr_kit.errors import KitError
from tests.conftest import files_of, write_faceset

NAMES = ("set.rec", "set.txt", "set.parquet", "set")


@pytest.fixture
def source(tmp_path):
    write_faceset(tmp_path / "source", people=2, takes=2)
    return tmp_path / "source"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_being_proved_has_no_name_yet(tmp_path, source, monkeypatch, name):
    folder, real = tmp_path / "out", module.digest

    def look(made):
        assert [path.name for path in folder.iterdir() if path.name[0] != "."] == []
        return 0, *real(made)[1:]

    monkeypatch.setattr(module, "digest", look)
    with pytest.raises(KitError, match=f"{name} was not written: 4 photographs,.* 0 photographs,"):
        convert(source, folder / name)
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a fork of this process")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_move_the_same_command_ends_well(tmp_path, source, monkeypatch, name, after):
    convert(source, tmp_path / "whole" / name)
    whole, real = files_of(tmp_path / "whole"), files.move_into_place
    for number in range(20):
        out, moves = tmp_path / f"{number}", []

        def move(made, target, moves=moves, last=number):
            moves.append(target)
            if after:
                real(made, target)
            if len(moves) > last:
                os._exit(9)
            if not after:
                real(made, target)

        child = os.fork()
        if not child:
            monkeypatch.setattr(files, "move_into_place", move)
            convert(source, out / name)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if not (out / name).exists():
            convert(source, out / name)
        else:
            with pytest.raises(KitError, match="exists already"):
                convert(source, out / name)
        assert files_of(out) == whole, number
        assert not [path for path in out.iterdir() if path.name[0] == "."]
        if code == 0:
            assert number > 0
            return
        assert code == 9
    pytest.fail("it never came to its end")


def test_files_that_lie_there_stay(tmp_path, source):
    out = tmp_path / "out"
    out.mkdir()
    (out / "set.idx").write_text("of another")
    with pytest.raises(KitError, match=r"set\.idx exists already"):
        convert(source, out / "set.rec", write_as="recordio-plain")
    assert files_of(out) == {"set.idx": b"of another"}
