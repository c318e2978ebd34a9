"""Lists: what any editor saves is read, what is no list is said in a line, and what the kit
writes it reads back.
"""

import os
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfr_kit.data import lists
from mfr_kit.errors import KitError

KNOWN = ["Anna B", "Bo", "#1", " Eve", "Zoë", "x/y.jpg"]


def chosen(path, content: bytes, known=KNOWN, **how) -> list[str]:
    path.write_bytes(content)
    return lists.choose(path, known, "--people", where="SET", **how).found


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"# chosen\nAnna B\n\n Bo \n", ["Anna B", "Bo"]),
        ("\ufeffAnna B\r\nBo\r\n".encode(), ["Anna B", "Bo"]),
        ("Anna B\n\ufeffBo\n".encode(), ["Anna B", "Bo"]),  # two files put together
        ("Anna B\nBo\n".encode("utf-16"), ["Anna B", "Bo"]),
        ("\ufeffAnna B\nBo\n".encode("utf-16-be"), ["Anna B", "Bo"]),
        ("Anna B\nBo\n".encode("utf-16-le"), ["Anna B", "Bo"]),
        ("Anna B\nBo\n".encode("utf-32"), ["Anna B", "Bo"]),
        (b"Bo\rAnna B\r", ["Bo", "Anna B"]),
        (b"#1\n# 2 is a remark\n", ["#1"]),
        (b" Eve\n", [" Eve"]),
        (b'"#1"\n" Eve"\n', ["#1", " Eve"]),
        (unicodedata.normalize("NFD", "Zoë").encode(), ["Zoë"]),
        (b"x\\y.jpg\n", ["x/y.jpg"]),
        (b"./x//y.jpg\n", ["x/y.jpg"]),
        (b"./Bo/\n", ["Bo"]),
    ],
)
def test_what_any_editor_saves_is_read(tmp_path, content, found):
    assert chosen(tmp_path / "list", content) == found


def test_a_path_inside_the_folder_is_understood(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "photos"
    root.mkdir()
    (tmp_path / "link").symlink_to(root)
    for line in (f"{root}/x/y.jpg", f"{root}\\x\\y.jpg", "photos/x/y.jpg", "./photos/./x/y.jpg"):
        assert chosen(tmp_path / "list", line.encode(), root=root) == ["x/y.jpg"], line
    assert chosen(tmp_path / "list", f"{root}/Bo".encode(), root=tmp_path / "link") == ["Bo"]
    with pytest.raises(KitError, match="other/x/y"):
        chosen(tmp_path / "list", b"/other/x/y.jpg", root=root)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n# nobody\n", "is empty"),
        (b"Bo\nZo\xeb\n", "line 2 is no UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "line 1 is no UTF-8"),
        (b"PAR1\0\0\0", "no text file"),
        (b"Bo\nAna B\n", r"1 of 2 names .* SET: 'Ana B' \(line 2; did you mean 'Anna B'\?\)"),
        (b"anna_b\n", r"did you mean 'Anna B'"),
        (b"#2\nBo\n", r"1 of 2 names .*'#2' \(line 1"),  # no remark where names begin with #
        (b"q\nr\ns\nt\nu\n", r"5 of 5 names .* and 2 more"),
    ],
)
def test_what_is_no_list_or_matches_nothing_is_one_line(tmp_path, content, words):
    with pytest.raises(KitError, match=words) as caught:
        chosen(tmp_path / "list", content)
    assert "\n" not in str(caught.value)
    with pytest.raises(KitError, match="it is a folder"):
        lists.choose(tmp_path, KNOWN, "--people", where="SET")
    with pytest.raises(KitError, match="no such file"):
        lists.choose(tmp_path / "gone", KNOWN, "--people", where="SET")


def test_a_pipe_is_read_once_and_remembered(tmp_path):
    import threading

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_text, args=("Bo\n",), daemon=True).start()
    for _ in range(2):
        assert lists.choose(pipe, KNOWN, "--people", where="SET").found == ["Bo"]


NAMES = st.text(min_size=1, max_size=8) | st.sampled_from(
    ["#", '"', '"a"', "# a", " a", "a ", "a\nb", "a\r", "\ufeffa", "\\", "./a", "\udce9", "\0", "/"]
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(names=st.lists(NAMES, min_size=1, max_size=6, unique_by=lists.nfc))
def test_what_the_kit_writes_it_reads_back(tmp_path_factory, names):
    path = tmp_path_factory.getbasetemp() / "written.txt"
    lists.write_names(path, names)
    assert lists.choose(path, names, "--people", where="SET").found == names
    assert lists.read_names(path) == names


def test_a_digest_is_of_the_names_not_of_their_spelling():
    assert lists.digest(["Zoë", "Bo"]) == lists.digest(["Bo", unicodedata.normalize("NFD", "Zoë")])
    assert lists.digest(["Zo", "Bo"]) != lists.digest(["ZoBo"])
