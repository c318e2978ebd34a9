"""Lists of pairs as others write them: CPLFW's, label first, any separator, any encoding,
capitals in suffixes.
"""

import numpy as np
import pytest

from mfr_kit.data.verification_sets import ijb, megaface
from mfr_kit.data.verification_sets.bins import write_bin
from mfr_kit.data.verification_sets.pairs import open_pairs, pack_pairs
from mfr_kit.errors import KitError
from mfr_kit.evaluation.verification.pair_list import read_list
from tests.data.test_formats import jpeg

PAIRS = [("a.jpg", "b.jpg", 1), ("a.jpg", "c d.jpg", 0), ("b.jpg", "c d.jpg", 0)]


@pytest.fixture
def images(tmp_path):
    (tmp_path / "images").mkdir()
    for number, name in enumerate(("a.jpg", "b.jpg", "c d.jpg")):
        (tmp_path / "images" / name).write_bytes(jpeg(number))
    return tmp_path / "images"


def columns(pairs):
    return [
        (pairs.names[left], pairs.names[right], int(same))
        for left, right, same in zip(pairs.left, pairs.right, pairs.same, strict=True)
    ]


@pytest.mark.parametrize("separator", ["\t", ",", ";", ", ", " \t "])
@pytest.mark.parametrize("label_first", [True, False])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_labels_first_or_last_and_any_separator(tmp_path, images, separator, label_first, encoding):
    rows = [(f"{c}", a, b) if label_first else (a, b, f"{c}") for a, b, c in PAIRS]
    text = "\r\n".join(separator.join(row) for row in rows)
    for name in ("p.txt", "p.lst", "p.csv"):
        (tmp_path / name).write_bytes(text.encode(encoding))
        assert columns(open_pairs(tmp_path / name, images)) == PAIRS


def test_spaces_between_names_without_spaces(tmp_path, images):
    (tmp_path / "p.txt").write_text("1 a.jpg b.jpg\n\n0  b   a\n")
    assert columns(open_pairs(tmp_path / "p.txt", images)) == [
        ("a.jpg", "b.jpg", 1),
        ("b.jpg", "a.jpg", 0),
    ]


@pytest.mark.parametrize("labels", [("1", "0"), ("7", "0")])
def test_two_lines_a_pair(tmp_path, images, labels):
    """CPLFW writes 1 and 0, CALFW the number of the fold and 0."""
    rows = [f"{name} {labels[1 - same]}" for a, b, same in PAIRS[:1] for name in (a, b)]
    rows += [f"{name}\t{labels[1 - same]}" for a, b, same in PAIRS[1:] for name in (a, b)]
    (tmp_path / "pairs_CPLFW.txt").write_text("\n".join(rows))
    assert columns(open_pairs(tmp_path / "pairs_CPLFW.txt", images)) == PAIRS


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a.jpg 1\nb.jpg 0\n", "line 2: label 0, but 1 in the pair's first line"),
        ("a.jpg 1\nb.jpg 1\na.jpg 0\n", "3 lines, but two are a pair"),
        ("a.jpg 1\nb.jpg\n", "line 2: `image label` expected"),
        ("1 a.jpg b.jpg\na.jpg b.jpg 0\n", "line 2: `label image image` expected"),
        ("a.jpg b.jpg 1\na.jpg b.jpg 0 0\n", "line 2: `image image label` expected"),
        ("a.jpg b.jpg 1\nx b.jpg 1\ny z 0\n", r"line 2: there is no image x in .*3 images of the"),
        ("a.jpg b.jpg 1\n../images/a.jpg b.jpg 1\n", r"line 2: \.\./images/a.jpg lies"),
        ("a.jpg\0 b.jpg 1\n", "no pairs that the kit knows|no text"),
    ],
)
def test_odd_lines_are_named(tmp_path, images, text, problem):
    (images / "p.txt").write_text(text)
    with pytest.raises(KitError, match=problem):
        open_pairs(images / "p.txt")


def test_photographs_of_lfw_with_capitals_in_their_suffix(tmp_path):
    for name in ("Ann_0001.JPG", "Ann_0002.Png"):
        (tmp_path / "Ann").mkdir(exist_ok=True)
        (tmp_path / "Ann" / name).write_bytes(jpeg(1))
    (tmp_path / "Bob").mkdir()
    (tmp_path / "Bob" / "Bob_0001.jpeg").write_bytes(jpeg(2))
    (tmp_path / "pairs.txt").write_bytes(b"\xef\xbb\xbf1\t1\r\nAnn\t1\t2\r\nAnn\t1\tBob\t1\r\n")
    assert columns(open_pairs(tmp_path / "pairs.txt")) == [
        ("Ann/Ann_0001.JPG", "Ann/Ann_0002.Png", 1),
        ("Ann/Ann_0001.JPG", "Bob/Bob_0001.jpeg", 0),
    ]
    (tmp_path / "m.txt").write_text("Ann/Ann_0001.jpg Bob/Bob_0001.JPEG 0\n")
    assert columns(open_pairs(tmp_path / "m.txt")) == [("Ann/Ann_0001.JPG", "Bob/Bob_0001.jpeg", 0)]


def test_evaluate_reads_the_same_lists(tmp_path):
    same = [f"a{n}.jpg b{n}.jpg" for n in range(10)]
    other = [f"a{n}.jpg c{n}.jpg" for n in range(10)]
    (tmp_path / "first.txt").write_text(
        "\n".join([f"1 {p}" for p in same] + [f"0 {p}" for p in other])
    )
    lines = [
        f"{name} {label}"
        for pairs, label in ((same, 1), (other, 0))
        for p in pairs
        for name in p.split()
    ]
    (tmp_path / "two.txt").write_text("\n".join(lines))
    (tmp_path / "last.txt").write_text(
        "\n".join(
            [f"{p},1".replace(" ", ",") for p in same] + [f"{p},0".replace(" ", ",") for p in other]
        )
    )
    first, two, last = (read_list(tmp_path / f"{name}.txt") for name in ("first", "two", "last"))
    assert first == two == last
    assert first[0][:2] == [("a0", "b0", True), ("a0", "c0", False)] and first[1] == 10


def test_packing_a_list_of_two_lines(tmp_path, images):
    (tmp_path / "p.txt").write_text("a.jpg 1\nb.jpg 1\n")
    pairs = open_pairs(tmp_path / "p.txt", images)
    assert [pairs.encoded(row) for row in range(2)] == [jpeg(0), jpeg(1)]
    assert np.array_equal(pairs.same, [True])


def test_pairs_are_not_packed_over_another_file(tmp_path, images):
    (tmp_path / "p.txt").write_text("a.jpg b.jpg 1\n")
    (tmp_path / "mine.bin").write_bytes(b"mine")
    with pytest.raises(KitError, match=r"mine\.bin exists already"):
        pack_pairs(open_pairs(tmp_path / "p.txt", images), tmp_path / "mine.bin")
    assert (tmp_path / "mine.bin").read_bytes() == b"mine"


def test_a_verification_set_without_pairs(tmp_path):
    write_bin(tmp_path / "empty.bin", [], [])
    with pytest.raises(KitError, match="holds no pairs"):
        open_pairs(tmp_path / "empty.bin")


def test_templates_and_distractors_with_a_byte_order_mark(tmp_path):
    meta = tmp_path / "meta"
    meta.mkdir()
    files = {
        "ijbc_face_tid_mid.txt": "1.jpg 1 1\r\n2.jpg 2 2\r\n",
        "ijbc_name_5pts_score.txt": "1.jpg 1 2 3 4 5 6 7 8 9 10 0.5\r\n2.jpg 1 2 3 4 5 6 7 8 9 10 "
        "0.5\r\n",
        "ijbc_template_pair_label.txt": "1 2 0\r\n1 1 1\r\n",
    }
    for name, text in files.items():
        (meta / name).write_bytes(f"\ufeff{text}".encode())
    found = ijb.open_layout(tmp_path)
    assert (found.names, list(found.left), list(found.same)) == (
        ["1.jpg", "2.jpg"],
        [1, 1],
        [False, True],
    )
    (meta / "ijbc_template_pair_label.txt").write_text("4294967297 2 0\n")
    with pytest.raises(KitError, match=r"ijbc_template_pair_label\.txt"):
        ijb.open_layout(tmp_path)
    for part in ("facescrub", "megaface"):
        (tmp_path / f"{part}_images" / "p").mkdir(parents=True)
        (tmp_path / f"{part}_images" / "p" / "1.jpg").write_bytes(jpeg(1))
        (tmp_path / f"{part}_lst").write_bytes("\ufeffp/1.jpg\r\n".encode())
    assert megaface.open_layout(tmp_path).probes == ["p/1.jpg"]
