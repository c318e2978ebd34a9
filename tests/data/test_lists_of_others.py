"""Lists and records as other tools write them: face2rec2's and mxnet's .lst, RecBuilder's
property, capitals, any encoding.
"""

import pytest

from mfr_kit.cli import main
from mfr_kit.data.convert import convert, open_any
from mfr_kit.data.record_reader import RecordReader
from mfr_kit.data.recordio import pack, unpack
from mfr_kit.errors import KitError
from tests.data.test_formats import jpeg, rec

NAMES = ("a 1.jpg", "b/2.jpg", "c.jpg")


@pytest.fixture
def photos(tmp_path):
    for number, name in enumerate(NAMES):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(jpeg(number))
    return tmp_path


def found(path):
    source = open_any(path)[1]
    return [(source.person(row), source.encoded(row)) for row in range(len(source))]


WANTED = [("0", jpeg(0)), ("10", jpeg(1)), ("10", jpeg(2))]
SHAPES = {
    "mxnet": "0\t0.000000\ta 1.jpg\n7\t10\tb/2.jpg\n2\t10.0\tc.jpg\n",
    "mxnet with two labels": "0\t0\t5.5\ta 1.jpg\n1\t10\t6\tb/2.jpg\n2\t10\t7\tc.jpg\n",
    "face2rec2": "1\ta 1.jpg\t0\n0\tb/2.jpg\t10\n1\tc.jpg\t10.0\n",
    "with boxes": "1\ta "
    "1.jpg\t0\t10\t10\t90\t100\n1\tb/2.jpg\t10\t1\t2\t3\t4\n1\tc.jpg\t10\t1\t2\t3\t4.5\n",
    "with points": "0\ta 1.jpg\t0\t1\t2\t3\t4" + "\t30.5" * 10 + "\n1\tb/2.jpg\t10\n1\tc.jpg\t10\n",
    "two columns": "a 1.jpg\t0\nb/2.jpg\t10\nc.jpg\t1e1\n",
    "label first": "0\ta 1.jpg\n10\tb/2.jpg\n10\tc.jpg\n",
    "blank lines": "\n0\t0\ta 1.jpg\n\n7\t10\tb/2.jpg\n2\t10\tc.jpg\n\n",
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_shapes_of_lst(photos, shape, encoding, end):
    (photos / "a.lst").write_bytes(SHAPES[shape].replace("\n", end).encode(encoding))
    assert found(photos / "a.lst") == WANTED


@pytest.mark.parametrize(
    "label", ["-1", "-1.000000", "nan", "inf", "0.5", "Ann", "1e999", "1_0", "²"]
)
@pytest.mark.parametrize("line", ["2\t{}\tc.jpg", "c.jpg\t{}", "1\tc.jpg\t{}"])
def test_labels_of_lst_that_are_no_persons_number(photos, label, line, capsys):
    text = {
        "2": "0\t0\ta 1.jpg\n1\t1\tb/2.jpg\n",
        "c": "a 1.jpg\t0\nb/2.jpg\t1\n",
        "1": "1\ta 1.jpg\t0\n1\tb/2.jpg\t1\n",
    }
    (photos / "a.lst").write_text(text[line[0]] + line.format(label) + "\n")
    assert main(["convert", str(photos / "a.lst"), str(photos / "out")]) == 2
    error = capsys.readouterr().err
    assert "a.lst: line 3: " in error and error.count("\n") == 1
    assert not (photos / "out").exists()


def test_labels_of_plain_lists_are_names_letter_by_letter(photos):
    (photos / "a.txt").write_text("a 1.jpg\t0\nb/2.jpg\t00\nc.jpg\t-1\n")
    assert [person for person, _ in found(photos / "a.txt")] == ["0", "00", "-1"]


@pytest.mark.parametrize(
    "text",
    [
        "0\t0\ta 1.jpg\n1\t1\n",
        "1\ta 1.jpg\t0\t1\t2\n",
        "1\ta 1.jpg\t0\tx\t2\t3\t4\n",
        "2\ta 1.jpg\t0\n",
        "a 1.jpg\t0\nb/2.jpg\t1\t2\n",
        "0\t0\ta\0.jpg\n",
    ],
)
def test_lines_of_unequal_shape_are_named(photos, text):
    (photos / "a.lst").write_text(text)
    with pytest.raises(KitError, match=r"a\.lst: .*line [12]"):
        open_any(photos / "a.lst")


def test_lst_is_written_with_three_columns_and_txt_with_two(photos):
    (photos / "a.txt").write_text("a 1.jpg\tÄnn\nb/2.jpg\tBob\nc.jpg\tBob\n", encoding="utf-8")
    convert(photos / "a.txt", photos / "new" / "train.lst")
    convert(photos / "a.txt", photos / "other" / "train.txt")
    lst = (photos / "new" / "train.lst").read_text()
    assert lst == "0\t0\ttrain/Bob/2.jpg\n1\t0\ttrain/Bob/c.jpg\n2\t1\ttrain/Änn/a 1.jpg\n"
    assert (photos / "other" / "train.txt").read_text().splitlines()[0] == "train/Bob/2.jpg\t0"
    assert (photos / "new" / "train.lst.people.txt").read_text(encoding="utf-8") == "Bob\nÄnn\n"
    assert found(photos / "new" / "train.lst") == found(photos / "other" / "train.txt")


def test_paths_written_on_windows(photos):
    (photos / "a.txt").write_text("b\\2.jpg\tBob\n")
    assert found(photos / "a.txt") == [("Bob", jpeg(1))]


@pytest.mark.parametrize(
    "text", ["2,112,112\n3\n", "2,112,112\r\n3\r\n", "\ufeff2, 112, 112\n\n3\n"]
)
def test_property_with_the_number_of_images(tmp_path, text):
    """InsightFace's RecBuilder writes it as a second line."""
    path = rec(tmp_path / "train.rec", [pack(0, jpeg(1)), pack(1, jpeg(2)), pack(1, jpeg(3))])
    (tmp_path / "property").write_text(text, encoding="utf-8", newline="")
    assert [person for person, _ in found(path)] == ["000000", "000001", "000001"]
    assert convert(tmp_path, tmp_path / "out").people == 2  # beside the .rec, in no person's way
    with pytest.raises(KitError, match="property"):
        (tmp_path / "property").write_text("2,112,112\nthree\n")
        open_any(path)


def test_records_with_capitals_in_their_names(tmp_path):
    rec(tmp_path / "train.rec", [pack(0, jpeg(1)), pack(1, jpeg(2))])
    for old, new in (("train.rec", "TRAIN.REC"), ("train.idx", "TRAIN.IDX")):
        (tmp_path / old).rename(tmp_path / new)
    (tmp_path / "Property").write_text("2,112,112\n")
    assert not RecordReader(tmp_path / "TRAIN.REC").rebuilt
    for path in (tmp_path / "TRAIN.REC", tmp_path):
        assert found(path) == [("000000", jpeg(1)), ("000001", jpeg(2))]


def test_a_property_of_another_set_is_left_alone(tmp_path, photos):
    (photos / "a.txt").write_text("a 1.jpg\tAnn\nb/2.jpg\tBob\n")
    (tmp_path / "property").write_text("2,112,112\n2\n")
    convert(photos / "a.txt", tmp_path / "t.rec")
    assert (tmp_path / "property").read_text() == "2,112,112\n2\n"
    record = unpack(RecordReader(tmp_path / "t.rec").read(1), "t.rec")
    assert bytes(record.data) == jpeg(0)
    (tmp_path / "property").write_text("7,112,112\n")
    with pytest.raises(KitError, match="property belongs to another set"):
        convert(photos / "a.txt", tmp_path / "u.rec")
    assert not list(tmp_path.glob("u*"))
