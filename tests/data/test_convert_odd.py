"""What `convert` does with files that are no images, with odd names, and with files that are
there already.
"""

import csv

import pytest

from mfr_kit.cli import main
from mfr_kit.data.convert import convert, open_any
from mfr_kit.data.face_set.faceset_writer import write_rows
from mfr_kit.data.photographs.skipped_list import SKIPPED_COLUMNS, write_skipped
from mfr_kit.data.record_reader import RecordReader
from mfr_kit.data.recordio import pack
from mfr_kit.errors import KitError
from tests.data.test_convert_masked import face
from tests.data.test_formats import jpeg, rec

GARBAGE = {
    "empty.jpg": b"",
    "page.jpg": b"<html>404",
    "._photo.jpg": b"\0\5\x16\7xxxxxxxx",
    "cut.jpg": jpeg(1)[:60],
    "cut.png": jpeg(1, suffix=".png")[:40],
    "text.png": b"GIF89a",
    "notes.txt": b"not an image by its suffix either",
}


def folder(root, people):
    for person, files in people.items():
        (root / person).mkdir(parents=True)
        for name, data in files.items():
            (root / person / name).write_bytes(data)
    return root


def skipped(path):
    with path.open(encoding="utf-8", newline="") as file:
        return [row["source"] for row in csv.DictReader(file) if row["reason"] and row["detail"]]


@pytest.mark.parametrize("dst", ["t.rec", "t.txt", "t.lst", "t"])
def test_what_is_no_image_is_listed_beside_the_set(tmp_path, dst, capsys):
    src = folder(
        tmp_path / "src", {"Ann": {"1.jpg": jpeg(1), **GARBAGE}, "Bob": {"1.jpg": jpeg(2)}}
    )
    assert main(["convert", str(src), str(tmp_path / dst)]) == 0
    text = capsys.readouterr().out
    assert f"{len(GARBAGE)} files left out, each with its reason" in text
    found = skipped(tmp_path / f"{dst}.skipped.csv")
    assert sorted(found) == sorted(f"Ann/{name}" for name in GARBAGE)
    assert main(["convert", str(tmp_path / dst), str(tmp_path / "back.rec")]) == 0
    assert "read back equal: 2 photographs, 2 people" in capsys.readouterr().out
    assert not (tmp_path / "back.rec.skipped.csv").exists()


def test_a_face_set_lists_what_is_no_image_too(tmp_path):
    src = folder(tmp_path / "src", {"Ann": {"1.jpg": jpeg(1), **GARBAGE}})
    proof = convert(src, tmp_path / "faces", None, "face-set")
    assert (proof.photographs, proof.skipped) == (1, len(GARBAGE))
    assert len(skipped(tmp_path / "faces" / "skipped.csv")) == len(GARBAGE)


def test_a_person_of_whom_nothing_can_be_read_gets_no_label(tmp_path):
    src = folder(tmp_path / "src", {"Ann": {"1.jpg": b""}, "Bob": {"1.jpg": jpeg(2)}})
    convert(src, tmp_path / "t.rec")
    assert (tmp_path / "property").read_text() == "1,112,112\n"
    assert open_any(tmp_path / "t.rec")[1].people == ["Bob"]


def test_a_set_without_any_image_is_refused_with_the_reason(tmp_path):
    src = folder(tmp_path / "src", {"Ann": {"1.jpg": b"", "2.jpg": b"<html>"}})
    with pytest.raises(KitError, match=r"none of the 2 photographs can be read.*the file is empty"):
        convert(src, tmp_path / "t.rec")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["src"]


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("payload", [b"", b"short", pack(1, b""), pack(1, b"<html>")])
def test_a_rec_with_a_record_that_is_no_image(tmp_path, header, payload):
    images = [pack(0, jpeg(1)), payload, pack(1, jpeg(2)), pack(1, jpeg(3))]
    if header:
        images = [pack((5, 7), b""), *images, pack((1, 2), b""), pack((2, 5), b"")]
    path = rec(tmp_path / "a.rec", images)
    proof = convert(path, tmp_path / "out")
    assert (proof.photographs, proof.people, proof.skipped) == (3, 2, 1)
    assert skipped(tmp_path / "out.skipped.csv")[0].endswith(f"{1 + header:08d}")
    assert convert(path, tmp_path / "b" / "again.rec").photographs == 3


def test_a_damaged_record_is_left_out_and_a_damaged_set_is_not_believed(tmp_path):
    path = rec(tmp_path / "a.rec", [pack(row % 2, jpeg(row)) for row in range(4)])
    data = bytearray(path.read_bytes())
    reader = RecordReader(path)
    data[reader.offset(1)] ^= 255
    path.write_bytes(data)
    proof = convert(path, tmp_path / "out")
    assert (proof.photographs, proof.skipped) == (3, 1)
    for key in (0, 2):
        data[reader.offset(key)] ^= 255
    path.write_bytes(data)
    with pytest.raises(KitError, match="key 0, offset 0: wrong magic"):
        open_any(path)


def test_a_list_that_names_missing_files(tmp_path):
    (tmp_path / "1.jpg").write_bytes(jpeg(1))
    (tmp_path / "a.txt").write_text("1.jpg\tAnn\ngone.jpg\tAnn\n")
    proof = convert(tmp_path / "a.txt", tmp_path / "out")
    assert (proof.photographs, proof.skipped) == (1, 1)
    assert "cannot be read (No such file" in (tmp_path / "out.skipped.csv").read_text()


def test_two_sets_of_one_stem_do_not_share_names(tmp_path):
    first = folder(tmp_path / "a", {"Ann": {"1.jpg": jpeg(1)}, "Bob": {"1.jpg": jpeg(2)}})
    second = folder(tmp_path / "b", {"Carl": {"1.jpg": jpeg(3)}, "Dora": {"1.jpg": jpeg(4)}})
    convert(first, tmp_path / "r" / "train.rec")
    convert(second, tmp_path / "r" / "train.txt")
    assert open_any(tmp_path / "r" / "train.rec")[1].people == ["Ann", "Bob"]
    assert open_any(tmp_path / "r" / "train.txt")[1].people == ["Carl", "Dora"]


def test_a_list_of_the_old_form_keeps_its_names(tmp_path):
    (tmp_path / "1.jpg").write_bytes(jpeg(1))
    (tmp_path / "t.lst").write_text("1.jpg\t0\n")
    (tmp_path / "t.people.txt").write_text("Ann\n")
    assert open_any(tmp_path / "t.lst")[1].people == ["Ann"]
    rec(tmp_path / "t.rec", [pack(0, jpeg(1))])
    with pytest.raises(KitError, match=r"copy it to t\.lst\.people\.txt if it does"):
        open_any(tmp_path / "t.lst")
    (tmp_path / "t.lst.people.txt").write_text("Bob\n")
    assert open_any(tmp_path / "t.lst")[1].people == ["Bob"]


@pytest.mark.parametrize(
    ("dst", "there"),
    [
        ("t.rec", "t.idx"),
        ("t.rec", "t.people.txt"),
        ("t.rec", "t.rec.masked.txt"),
        ("t.rec", "t.rec.skipped.csv"),
        ("t.txt", "t"),
        ("t.txt", "t.txt.people.txt"),
        ("t.txt", "t.txt.skipped.csv"),
    ],
)
def test_files_of_another_set_are_not_written_over(tmp_path, dst, there):
    src = folder(tmp_path / "src", {"Ann": {"1.jpg": jpeg(1), "2.jpg": b""}})
    (tmp_path / there).write_text("mine\n")
    with pytest.raises(KitError, match=f"{there} exists already"):
        convert(src, tmp_path / dst)
    assert (tmp_path / there).read_text() == "mine\n"
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted(["src", there])


ODD_NAMES = [
    "\tTab",
    "two\nlines",
    "car\rriage",
    "Icon\r",
    "next\x85line",
    "line\u2028sep",
    "\x1b[1m",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_that_no_line_can_hold_are_rows_of_the_skipped_list(tmp_path, name):
    src = folder(tmp_path / "src", {name: {"1.jpg": jpeg(1)}, "Zoe": {"1.jpg": jpeg(2)}})
    (src / "Zoe" / name).write_bytes(jpeg(3))
    proof = convert(src, tmp_path / "t.rec")
    assert (proof.photographs, proof.people, proof.skipped) == (1, 1, 2)
    assert len(skipped(proof.skipped_list)) == 2
    assert open_any(tmp_path / "t.rec")[1].people == ["Zoe"]


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("dst", ["t.rec", "t.txt", "t.lst", "t", "records"])
def test_people_of_a_face_set_whose_names_no_line_can_hold_are_refused_first(tmp_path, name, dst):
    rows = []
    for number, person in enumerate((name, "Zoe")):
        key = f"faces/p{number}/1.jpg"
        rows.append(face(key, person, data=jpeg(number)))
        (tmp_path / "src" / key).parent.mkdir(parents=True)
        (tmp_path / "src" / key).write_bytes(jpeg(number))
    write_rows(tmp_path / "src", [(rows, [])], {"version": "1"})
    with pytest.raises(KitError, match="rename"):
        convert(
            tmp_path / "src", tmp_path / dst, None, "face-set-records" if dst == "records" else None
        )
    assert sorted(item.name for item in tmp_path.iterdir()) == ["src"]


@pytest.mark.parametrize(
    "name", [" lead", "trail ", "#hash", "a\u00a0b", "0", "00", "a,b", "\ufeffbom"]
)
@pytest.mark.parametrize("dst", ["t.rec", "t.txt", "t.lst", "t"])
def test_odd_names_read_back(tmp_path, name, dst):
    src = folder(tmp_path / "src", {name: {"1.jpg": jpeg(1)}, "Zoe": {"1.jpg": jpeg(2)}})
    convert(src, tmp_path / dst)
    found = open_any(tmp_path / dst)[1]
    assert {found.person(row): found.encoded(row) for row in range(2)} == {
        name: jpeg(1),
        "Zoe": jpeg(2),
    }


@pytest.mark.parametrize(
    "name", [" lead.jpg", "two  spaces.jpg", "#1.jpg", "a\\b.jpg", "1.jpg.jpg"]
)
def test_odd_names_of_photographs_read_back(tmp_path, name):
    src = folder(tmp_path / "src", {"Ann": {name: jpeg(1)}, "Zoe": {"1.jpg": jpeg(2)}})
    convert(src, tmp_path / "t.txt")
    found = open_any(tmp_path / "t.txt")[1]
    assert found.encoded(0) == jpeg(1)


def test_names_edited_with_windows_line_ends(tmp_path):
    path = rec(tmp_path / "a.rec", [pack(0, jpeg(1)), pack(1, jpeg(2))])
    (tmp_path / "a.people.txt").write_bytes("\ufeffÄnn\r\nBob".encode())
    assert open_any(path)[1].people == ["Änn", "Bob"]


def test_a_skipped_file_with_a_lone_cr_in_its_name_reads_back(tmp_path):
    """A macOS folder icon is called Icon and a CR."""
    row = dict.fromkeys(SKIPPED_COLUMNS, "x")
    rows = [{**row, "source": "Ann/Icon\r"}, {**row, "source": "Ann/a\nb"}, row]
    write_skipped(tmp_path / "s.csv", rows)
    with (tmp_path / "s.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == rows
