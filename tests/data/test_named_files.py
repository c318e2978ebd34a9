"""What data names lies below its folder, is a plain file and no larger than an image: everything
else is refused unread.
"""

import os
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mfr_kit.cli.pairs import ShowOptions, show
from mfr_kit.data.convert import convert, open_any
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.images import encode
from mfr_kit.data.named_files import MOST_BYTES, leads_outside, read_named
from mfr_kit.data.verification_sets import ijb, megaface
from mfr_kit.data.verification_sets.pairs import open_pairs
from mfr_kit.errors import KitError
from mfr_kit.submission.sources import open_source
from tests.conftest import head

ENDLESS = ("/dev/zero", "zero.jpg", "pipe.jpg")
ELSEWHERE = ("{}/secret.jpg", "../secret.jpg", "link.jpg", "door/secret.jpg")
LIMIT = "outside of|not a regular file|not there|no image"


@pytest.fixture
def home(tmp_path):
    """A folder with a face, and with doors that lead out of it."""
    home = tmp_path / "home"
    home.mkdir()
    for path, person in ((tmp_path / "secret.jpg", 1), (home / "a.jpg", 2)):
        path.write_bytes(encode(head(person)))
    (home / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (home / "inner.jpg").symlink_to("a.jpg")
    (home / "door").symlink_to(tmp_path)
    (home / "zero.jpg").symlink_to("/dev/zero")
    os.mkfifo(home / "pipe.jpg")
    return home


def read_list(home, name, allow_outside=False):
    path = home / "train.lst"
    path.write_text(f"0\t0\ta.jpg\n1\t1\t{name}\n")
    source = open_any(path, allow_outside=allow_outside)[1]
    return [source.encoded(row) for row in range(len(source))]


def read_pairs(home, name, allow_outside=False):
    path = home / "pairs.csv"
    path.write_text(f"left,right,same\na.jpg,{name},0\n")
    pairs = open_pairs(path, allow_outside=allow_outside)
    return [pairs.encoded(row) for row in range(len(pairs.names))]


def read_features(home, name, allow_outside=False):
    path = home / "faces.txt"
    path.write_text(f"a.jpg\n{name}\n")
    return list(open_source(path, allow_outside).read(0, 2))


READERS = [read_list, read_pairs, read_features]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", [*ENDLESS, *ELSEWHERE])
def test_a_list_names_files_of_its_own_folder(home, read, name):
    with pytest.raises(KitError, match=LIMIT) as refused:
        read(home, name.format(home.parent))
    assert "\n" not in str(refused.value)
    assert len(read(home, "inner.jpg")) == 2


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_list_of_ones_own_may_name_others(home, read, name):
    assert len(read(home, name.format(home.parent), allow_outside=True)) == 2


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("name", ENDLESS)
def test_what_never_ends_is_no_image_in_ones_own_list_either(home, read, name):
    with pytest.raises(KitError, match=r"not a regular file|not there|no image"):
        read(home, name, allow_outside=True)


def test_the_flag_is_named_and_works(home, capsys):
    (home / "pairs.csv").write_text("left,right,same\na.jpg,../secret.jpg,0\n")
    with pytest.raises(KitError, match=r"line 2: .*--allow-outside"):
        show(ShowOptions(src=home / "pairs.csv"))
    show(ShowOptions(src=home / "pairs.csv", allow_outside=True))
    assert "1 pairs" in capsys.readouterr().out
    (home / "train.txt").write_text("a.jpg anna\n../secret.jpg bert\n")
    with pytest.raises(KitError, match=r"line 2: .*--allow-outside"):
        convert(home / "train.txt", home.parent / "set")
    assert convert(home / "train.txt", home.parent / "set", allow_outside=True).photographs == 2


@pytest.mark.parametrize("key", ["/dev/zero", "../secret.jpg", "faces/../../x", "..\\x", "C:\\x"])
def test_a_face_set_names_its_own_files(drawn_set, key):
    table = pq.read_table(drawn_set.folder / "faces.parquet")
    keys = [key, *table["key"].to_pylist()[1:]]
    at = table.schema.get_field_index("key")
    pq.write_table(table.set_column(at, "key", pa.array(keys)), drawn_set.folder / "faces.parquet")
    with pytest.raises(KitError, match="names a file outside of the set"):
        FaceSet(drawn_set.folder)


@pytest.mark.parametrize("kind", ["link", "zero", "pipe", "door", "huge"])
def test_a_face_of_a_set_is_a_plain_file_of_it(drawn_set, tmp_path, kind):
    image = drawn_set.folder / drawn_set.keys[0]
    if kind == "door":
        shutil.move(image.parent, tmp_path / "away")
        image.parent.symlink_to(tmp_path / "away")
    elif kind == "huge":
        os.truncate(image, MOST_BYTES + 1)
    else:
        shutil.move(image, tmp_path / "away.jpg")
        if kind == "pipe":
            os.mkfifo(image)
        else:
            image.symlink_to({"link": tmp_path / "away.jpg", "zero": "/dev/zero"}[kind])
    with pytest.raises(KitError, match=r"outside of|not a regular file|bytes are no image"):
        FaceSet(drawn_set.folder).image(0)


def test_a_link_inside_the_folder_is_followed(home):
    assert read_named(home, "inner.jpg", home) == (home / "a.jpg").read_bytes()
    (home.parent / "alias").symlink_to(home)
    assert read_named(home.parent / "alias", "a.jpg", home) == (home / "a.jpg").read_bytes()


@pytest.mark.parametrize(
    ("name", "leads"),
    [("a/b.jpg", False), ("..a/b..", False), ("a..\\b", False), ("a:b/c", False)]
    + [(name, True) for name in ("/a", "\\a", "..", "a/..", "a/../b", "a\\..\\b", "c:/a", "a\0")],
)
def test_names_that_lead_outside_on_any_system(name, leads):
    assert leads_outside(name) == leads


def test_published_layouts_name_their_own_photographs(tmp_path, home):
    for part in ("facescrub", "megaface"):
        (tmp_path / f"{part}_images").mkdir()
        (tmp_path / f"{part}_lst").write_text("# remark\n../secret.jpg\n")
    with pytest.raises(KitError, match=r"facescrub_lst: line 2: .* lies outside of"):
        megaface.open_layout(tmp_path)
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/ijbc_face_tid_mid.txt").write_text("/dev/zero 1 1\n")
    with pytest.raises(KitError, match="line 1: /dev/zero lies outside of"):
        ijb.open_layout(tmp_path)
