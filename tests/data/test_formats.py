"""Every training-set format, written and read back, and every conversion between two."""

import itertools
import pickle
import struct

import cv2
import numpy as np
import pytest

from mfr_kit import registry
from mfr_kit.cli import main
from mfr_kit.data.convert import FORMATS, convert, open_any
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.formats import face_set
from mfr_kit.data.formats import recordio as rec_format
from mfr_kit.data.record_reader import RecordReader
from mfr_kit.data.record_writer import RecordWriter
from mfr_kit.data.recordio import pack
from mfr_kit.data.training_set import digest
from mfr_kit.errors import KitError

NAMES = {"recordio": "set.rec", "recordio-plain": "set.rec", "image-list": "list.txt"}
PEOPLE = {"Ann Lee": 3, "Bob": 1, "Çelik": 2}


def jpeg(seed, size=112, suffix=".jpg"):
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    return cv2.imencode(suffix, cv2.GaussianBlur(pixels, (0, 0), 8))[1].tobytes()


@pytest.fixture
def people(tmp_path):
    for number, (person, photos) in enumerate(PEOPLE.items()):
        (tmp_path / "people" / person).mkdir(parents=True)
        for photo in range(photos):
            (tmp_path / "people" / person / f"{person}_{photo}.jpg").write_bytes(
                jpeg(10 * number + photo)
            )
    return tmp_path / "people"


@pytest.mark.parametrize(
    ("first", "second"), list(itertools.product(registry.names(FORMATS), repeat=2))
)
def test_any_format_to_any_other(tmp_path, people, first, second):
    one, two = (
        tmp_path / "one" / NAMES.get(first, "set"),
        tmp_path / "two" / NAMES.get(second, "set"),
    )
    proof = convert(people, one, None, first)
    assert (proof.photographs, proof.people) == (6, 3)
    assert convert(one, two, first, second).digest == proof.digest
    source = open_any(people)[1]
    by_hand = sorted((source.person(index), source.encoded(index)) for index in range(6))
    found = open_any(two, second)[1]
    assert sorted((found.person(index), found.encoded(index)) for index in range(6)) == by_hand
    assert len(set(found.names)) == 6


@pytest.mark.parametrize("name", registry.names(FORMATS))
def test_sets_survive_pickling(tmp_path, people, name):
    path = tmp_path / "one" / NAMES.get(name, "set")
    convert(people, path, None, name)
    source = open_any(path, name)[1]
    assert digest(pickle.loads(pickle.dumps(source))) == digest(source)


def test_the_command(tmp_path, people, capsys):
    assert main(["convert", str(people), str(tmp_path / "new" / "train.rec")]) == 0
    told = capsys.readouterr().out
    assert "(folder) -> " in told and "read back equal: 6 photographs, 3 people" in told
    assert (
        main(
            [
                "convert",
                str(tmp_path / "new"),
                str(tmp_path / "faces"),
                "--from",
                "recordio",
                "--to",
                "face-set",
            ]
        )
        == 0
    )
    assert main(["convert", str(people), str(tmp_path / "new" / "train.rec")]) == 2
    assert "exists already" in capsys.readouterr().err


def test_rec_has_insightface_layout(tmp_path, people):
    convert(people, tmp_path / "r" / "train.rec")
    reader = RecordReader(tmp_path / "r" / "train.rec")
    records = [rec_format.read_record(reader, key) for key in range(10)]
    assert records[0].labels == (7.0, 10.0) and not records[0].data
    assert [record.labels for record in records[1:7]] == [
        (0.0,),
        (0.0,),
        (0.0,),
        (1.0,),
        (2.0,),
        (2.0,),
    ]
    assert [record.labels for record in records[7:]] == [(1.0, 4.0), (4.0, 5.0), (5.0, 7.0)]
    assert (tmp_path / "r" / "property").read_text() == "3,112,112\n"
    assert (tmp_path / "r" / "train.people.txt").read_text(
        encoding="utf-8"
    ) == "Ann Lee\nBob\nÇelik\n"


def test_a_rec_of_strangers_has_numbers_for_names(tmp_path, people):
    convert(people, tmp_path / "r" / "train.rec")
    (tmp_path / "r" / "train.people.txt").unlink()
    (tmp_path / "r" / "train.idx").unlink()
    proof = convert(tmp_path / "r", tmp_path / "folder")
    assert (proof.read_as, proof.written_as, proof.people) == ("recordio", "folder", 3)
    assert sorted(item.name for item in (tmp_path / "folder").iterdir()) == [
        "000000",
        "000001",
        "000002",
    ]


def rec(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    with RecordWriter(path) as writer:
        for key, payload in enumerate(records):
            writer.write(key, payload)
    return path


@pytest.mark.parametrize("label", [-1.0, 0.5, float("nan"), float("inf"), 3.0])
@pytest.mark.parametrize("header", [False, True])
def test_labels_out_of_range(tmp_path, label, header):
    images = [pack(0, jpeg(1)), pack(label, jpeg(2))]
    records = (
        [pack((3, 5), b""), *images, pack((1, 2), b""), pack((2, 3), b"")] if header else images
    )
    path = rec(tmp_path / "a.rec", records)
    (tmp_path / "property").write_text("2,112,112\n")
    with pytest.raises(
        KitError, match=rf"a\.rec: key {1 + header}, offset \d+: label .* is not one of 0 \.\. 1"
    ):
        open_any(path)


def test_images_that_contradict_the_per_person_records(tmp_path):
    path = rec(
        tmp_path / "a.rec",
        [pack((3, 4), b""), pack(0, jpeg(1)), pack(1, jpeg(2)), pack((1, 3), b"")],
    )
    source = open_any(path)[1]
    assert source.encoded(0) == jpeg(1)
    with pytest.raises(
        KitError, match=r"key 2, offset \d+: its own label is 1, but the per-person records say 0"
    ):
        source.encoded(1)


def test_per_person_records_that_leave_images_out_are_not_believed(tmp_path):
    images = [pack(1, jpeg(1)), pack(1, jpeg(2)), pack(0, jpeg(3))]
    for number, spans in enumerate(
        [
            ((1, 2), (3, 4)),
            ((1, float("inf")), (float("inf"), 4)),
            ((1, 1.5), (1.5, 4)),
            ((float("nan"), 4), (1, 4)),
        ]
    ):
        records = [pack((4, 6), b""), *images, *(pack(span, b"") for span in spans)]
        assert list(open_any(rec(tmp_path / f"{number}.rec", records))[1].labels) == [1, 1, 0]


@pytest.mark.parametrize(
    "span",
    [
        (9, 12),
        (0, 3),
        (3, 2),
        (1.5, 3),
        (float("inf"), 3),
        (float("nan"), 2),
        (-float("inf"), 1e9),
        (1e9, 1e9),
    ],
)
def test_a_header_record_that_points_nowhere(tmp_path, span):
    with pytest.raises(KitError, match="key 0: the header record names"):
        open_any(rec(tmp_path / "a.rec", [pack(span, b""), pack(0, jpeg(1)), pack((1, 2), b"")]))


def test_a_header_record_that_promises_keys_that_are_not_there(tmp_path):
    records = [pack((5, 10), b""), pack(0, jpeg(1)), pack(1, jpeg(2)), pack((1, 3), b"")]
    path = rec(tmp_path / "a.rec", records)
    index = path.with_suffix(".idx")
    index.write_text(index.read_text().replace("\n3\t", "\n9\t"))  # as many keys as promised
    source = open_any(path)[1]
    assert list(source.labels) == [0, 1] and len(source.skipped) == 2


def test_several_labels_an_image(tmp_path):
    path = rec(tmp_path / "a.rec", [pack((1, 5.5, 6.5), jpeg(1)), pack((0, 5.5), jpeg(2))])
    source = open_any(path)[1]
    assert list(source.labels) == [1, 0] and source.encoded(1) == jpeg(2)


def test_a_header_rounded_to_float32(tmp_path, monkeypatch):
    """Beyond 2**24 records the header's own numbers are rounded (Glint360K); the true keys are
    looked up.
    """
    images = [pack(label, jpeg(label)) for label in (0, 0, 1, 2)]
    path = rec(
        tmp_path / "a.rec",
        [pack((4, 8), b""), *images, *[pack(span, b"") for span in ((1, 3), (3, 4), (4, 5))]],
    )
    monkeypatch.setattr(rec_format, "EXACT", 4)
    assert list(open_any(path)[1].labels) == [0, 0, 1, 2]


def test_two_sets_do_not_share_a_property(tmp_path, people):
    convert(people, tmp_path / "r" / "a.rec")
    (people / "Dan").mkdir()
    (people / "Dan" / "1.jpg").write_bytes(jpeg(99))
    with pytest.raises(KitError, match="belongs to another set"):
        convert(people, tmp_path / "r" / "b.rec")
    assert not (tmp_path / "r" / "b.rec").exists()


@pytest.mark.parametrize("text", ["", "no label\tand\tmore\tfields", "alone", "a.jpg\t"])
def test_bad_image_lists(tmp_path, text):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(KitError, match=r"list\.txt"):
        open_any(tmp_path / "list.txt")


def test_image_lists_of_others(tmp_path):
    for number in (1, 2):
        (tmp_path / f"{number} a.jpg").write_bytes(jpeg(number))
    (tmp_path / "a.txt").write_text("1 a.jpg 10\n2 a.jpg 9\n")
    (tmp_path / "b.lst").write_text("0\t10.000000\t1 a.jpg\n1\t9.0\t2 a.jpg\n")
    for name in ("a.txt", "b.lst"):
        source = open_any(tmp_path / name)[1]
        assert source.people == ["9", "10"] and [source.person(0), source.encoded(0)] == [
            "10",
            jpeg(1),
        ]
    (tmp_path / "a.people.txt").write_text("zero\none\n")
    with pytest.raises(KitError, match=r"label '10', but its \.people.txt names 2 people"):
        open_any(tmp_path / "a.txt")
    (tmp_path / "b.lst").write_text("0\t1\tgone.jpg\n")
    with pytest.raises(KitError, match=r"gone\.jpg: named in .*b\.lst but cannot be read"):
        digest(open_any(tmp_path / "b.lst")[1])


def test_names_from_a_stranger_do_not_leave_the_folder(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    (tmp_path / "a.txt").write_text("a.jpg\t../../evil\n")
    with pytest.raises(KitError, match="cannot name a folder"):
        convert(tmp_path / "a.txt", tmp_path / "out")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "list.txt").write_text("../a.jpg\tAnn\n../b/../a.jpg\tAnn\n")
    convert(tmp_path / "b" / "list.txt", tmp_path / "out", allow_outside=True)
    assert sorted(item.name for item in (tmp_path / "out" / "Ann").iterdir()) == [
        "a.jpg",
        "a_2.jpg",
    ]


def test_what_is_no_image_goes_into_no_folder(tmp_path):
    path = rec(tmp_path / "a.rec", [pack(0, b"hello")])
    with pytest.raises(KitError, match="not an image"):
        convert(path, tmp_path / "out")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.idx", "a.rec"]


def test_a_face_set_takes_aligned_crops_only(tmp_path):
    path = rec(tmp_path / "a.rec", [pack(0, jpeg(1, 100))])
    with pytest.raises(KitError, match="is 100x100, not 112x112"):
        convert(path, tmp_path / "out", None, "face-set")
    assert not (tmp_path / "out").exists()


def test_shards_end_with_a_person(tmp_path, people, monkeypatch):
    monkeypatch.setattr(face_set, "SHARD_IMAGES", 3)
    convert(people, tmp_path / "out", None, "face-set-records")
    faces, shards = (
        FaceSet.open(tmp_path / "out"),
        [open_any(tmp_path / "out" / f"faces-0000{shard}.rec")[1] for shard in (0, 1)],
    )
    assert [[shard.person(index) for index in range(len(shard))] for shard in shards] == [
        ["Ann Lee"] * 3,
        ["Bob", "Çelik", "Çelik"],
    ]
    assert [shard.encoded(index) for shard in shards for index in range(len(shard))] == [
        faces.encoded(i) for i in range(6)
    ]


def test_a_copy_that_differs_is_reported(tmp_path, people, monkeypatch):
    real = rec_format.pack
    monkeypatch.setattr(
        rec_format,
        "pack",
        lambda label, data, *ids: real(label, data[:-1], *ids) if data else real(label, data, *ids),
    )
    with pytest.raises(KitError, match="was not written"):
        convert(people, tmp_path / "r" / "a.rec")


def test_unknown_things(tmp_path):
    (tmp_path / "a.xyz").write_bytes(struct.pack("<I", 1))
    for arguments, problem in (
        ((tmp_path / "none", tmp_path / "b"), "there is no"),
        ((tmp_path / "a.xyz", tmp_path / "b"), "--from"),
    ):
        with pytest.raises(KitError, match=problem):
            convert(*arguments)
    path = rec(tmp_path / "r" / "a.rec", [pack(0, jpeg(1))])
    with pytest.raises(KitError, match="which format"):
        convert(path, tmp_path / "b.xyz")
    with pytest.raises(KitError, match=r"ends in \.rec"):
        convert(path, tmp_path / "b", None, "recordio")
