"""Pairs in every format, from photographs to a .bin and back."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfr_kit.cli import main
from mfr_kit.data.convert import convert
from mfr_kit.data.images import decode_rgb
from mfr_kit.data.verification_sets import ijb, megaface
from mfr_kit.data.verification_sets.pairs import open_pairs
from mfr_kit.errors import KitError


def jpeg(seed, size=112):
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    return cv2.imencode(".jpg", cv2.GaussianBlur(pixels, (0, 0), 8))[1].tobytes()


@pytest.fixture
def photos(tmp_path):
    for number, person in enumerate(("Ann_Lee", "Bob")):
        (tmp_path / "photos" / person).mkdir(parents=True)
        for photo in (1, 2):
            (tmp_path / "photos" / person / f"{person}_{photo:04d}.jpg").write_bytes(
                jpeg(10 * number + photo)
            )
    return tmp_path / "photos"


@pytest.fixture
def lfw(tmp_path, photos):
    (tmp_path / "pairs.txt").write_text(
        "2\t1\nAnn_Lee\t1\t2\nAnn_Lee\t1\tBob\t2\nBob\t1\t2\nBob\t2\tAnn_Lee\t2\n"
    )
    return tmp_path / "pairs.txt"


def test_lfw(lfw, photos):
    pairs = open_pairs(lfw, photos)
    assert list(pairs.names) == [
        f"{name}/{name}_000{n}.jpg"
        for name, n in (("Ann_Lee", 1), ("Ann_Lee", 2), ("Bob", 2), ("Bob", 1))
    ]
    assert [list(column) for column in (pairs.left, pairs.right, pairs.same)] == [
        [0, 0, 3, 2],
        [1, 2, 2, 1],
        [True, False, True, False],
    ]
    assert pairs.encoded(2) == jpeg(12)
    assert pairs.left_masked is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("2 1\nAnn_Lee 1 2\n", "announces 4 pairs, but 1 follow"),
        ("1 1\nAnn_Lee 1 2\nAnn_Lee one Bob 2\n", "line 3: .*Ann_Lee one"),
        (
            "1 1\nAnn_Lee 1 2\nAnn_Lee 1 Carl 2\n",
            "line 3: there is no image Carl/Carl_0002 in .*--images",
        ),
        ("0\n", "holds no pairs"),
    ],
)
def test_bad_lfw(tmp_path, photos, text, problem):
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(KitError, match=problem):
        open_pairs(tmp_path / "pairs.txt", photos)


def test_mlfw(tmp_path, photos):
    (tmp_path / "mlfw.txt").write_text(
        "Ann_Lee/Ann_Lee_0001.jpg\tAnn_Lee/Ann_Lee_0002.jpg\t1\n\nBob/Bob_0001.jpg "
        "Ann_Lee/Ann_Lee_0001.jpg 0\n"
    )
    pairs = open_pairs(tmp_path / "mlfw.txt", photos)
    assert [list(column) for column in (pairs.left, pairs.right, pairs.same)] == [
        [0, 2],
        [1, 0],
        [True, False],
    ]
    assert pairs.encoded(2) == jpeg(11)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "Bob/Bob_0001.jpg Bob/Bob_0002.jpg 1\nBob/Bob_0001.jpg Bob/Bob_0002.jpg\n",
            "line 2: `image image label`",
        ),
        ("Bob/Bob_0001.jpg Bob/Bob_0002.jpg 1\n\nBob/Bob_0001.jpg Bob/Bob_0002.jpg -1\n", "line 3"),
        ("Bob/Bob_0001.jpg Bob/Bob_0009.jpg 0\n", "line 1: there is no image Bob/Bob_0009.jpg"),
    ],
)
def test_bad_mlfw(photos, text, problem):
    (photos / "list.txt").write_text(text)
    with pytest.raises(KitError, match=problem):
        open_pairs(photos / "list.txt")


def test_csv_with_masks(tmp_path, photos):
    lines = [
        "left,right,same,left_masked,right_masked",
        "Ann_Lee/Ann_Lee_0001.jpg,Bob/Bob_0001,0,1,false",
        "",
        "Bob/Bob_0001,Bob/Bob_0002,1,0,0",
    ]
    (photos / "pairs.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    pairs = open_pairs(photos / "pairs.csv")
    assert [list(column) for column in (pairs.same, pairs.left_masked, pairs.right_masked)] == [
        [False, True],
        [True, False],
        [False, False],
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a,b\n", "line 1: the header left,right,same"),
        ("left,right,same\na,b,2\n", "line 2"),
        ("left,right,same\nBob/Bob_0001,Bob/Bob_0002\n", "line 2: 3 fields"),
        ("left,right,same\nBob/Bob_0001,../../etc/passwd,1\n", r"line 2: .* lies outside"),
        ("", "line 1"),
    ],
)
def test_bad_csv(photos, text, problem):
    (photos / "pairs.csv").write_text(text)
    with pytest.raises(KitError, match=problem):
        open_pairs(photos / "pairs.csv")


def test_pack_and_unpack(tmp_path, lfw, photos, capsys):
    assert (
        main(["pairs", "pack", str(lfw), str(tmp_path / "lfw.bin"), "--images", str(photos)]) == 0
    )
    assert main(["pairs", "unpack", str(tmp_path / "lfw.bin"), str(tmp_path / "out")]) == 0
    assert main(["pairs", "show", str(tmp_path / "out" / "pairs.csv")]) == 0
    assert "4 pairs (2 same, 2 different) of 8 images, 112x112" in capsys.readouterr().out
    first, last = open_pairs(lfw, photos), open_pairs(tmp_path / "out" / "pairs.csv")
    for before, after in ((first.left, last.left), (first.right, last.right)):
        assert [first.encoded(row) for row in before] == [last.encoded(row) for row in after]
    assert list(first.same) == list(last.same)


def test_pack_from_a_face_set_takes_clean_faces(tmp_path, lfw, photos):
    convert(photos, tmp_path / "faces", None, "face-set")
    assert (
        main(
            [
                "pairs",
                "pack",
                str(lfw),
                str(tmp_path / "lfw.bin"),
                "--images",
                str(tmp_path / "faces"),
            ]
        )
        == 0
    )
    assert open_pairs(tmp_path / "lfw.bin").encoded(3) == jpeg(12)


def test_a_photo_without_a_face_is_told_apart_from_a_wrong_folder(tmp_path, lfw, photos):
    (photos / "Bob" / "Bob_0002.jpg").unlink()
    convert(photos, tmp_path / "faces", None, "face-set")
    with pytest.raises(
        KitError, match=r"line 3: there is no image Bob/Bob_0002 in .*; its skipped\.csv says why"
    ):
        open_pairs(lfw, tmp_path / "faces")


def test_pack_refuses_unaligned_photographs(tmp_path, lfw, photos, capsys):
    (photos / "Bob" / "Bob_0002.jpg").write_bytes(jpeg(5, 120))
    assert (
        main(["pairs", "pack", str(lfw), str(tmp_path / "lfw.bin"), "--images", str(photos)]) == 2
    )
    assert "Bob_0002.jpg is 120x120, not 112x112" in capsys.readouterr().err
    assert (
        main(
            [
                "pairs",
                "pack",
                str(lfw),
                str(tmp_path / "lfw.bin"),
                "--images",
                str(photos),
                "--any-size",
            ]
        )
        == 0
    )
    with pytest.raises(KitError, match="000003 is 120x120, others are 112x112"):
        list(open_pairs(tmp_path / "lfw.bin").batches(3))


@pytest.mark.parametrize("size", [1, 3, 100])
def test_batches_of_any_size_even_of_a_tiny_set(tmp_path, lfw, photos, size):
    pairs = open_pairs(lfw, photos)
    faces = np.concatenate(list(pairs.batches(size)))
    assert (
        all(np.array_equal(faces[row], decode_rgb(pairs.encoded(row), "")) for row in range(4))
        and len(faces) == 4
    )


@pytest.mark.parametrize("count", [3, 10, 25])
def test_folds_are_consecutive_and_even(tmp_path, photos, count):
    (photos / "p.csv").write_text("left,right,same\n" + "Bob/Bob_0001,Bob/Bob_0002,1\n" * count)
    folds = open_pairs(photos / "p.csv").folds
    assert len(folds) == count and (np.diff(folds) >= 0).all()
    assert np.ptp(np.bincount(folds, minlength=10)) <= 1


def test_twelve_thousand_images_decode_in_bounded_memory(tmp_path):
    script = f"""
import resource, sys
def peak_kib():
    if sys.platform != "linux":
        unit = 1024 if sys.platform == "darwin" else 1
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
    # ru_maxrss would start at what the process that forked us had
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from pathlib import Path
from mfr_kit.data.verification_sets.bins import write_bin
from mfr_kit.data.verification_sets.pairs import open_pairs
path = Path({str(tmp_path / "a.bin")!r})
image = {jpeg(1)!r} + bytes(4000)
write_bin(path, (image for _ in range(12000)), [True] * 6000)
before = peak_kib()
seen = sum(len(batch) for batch in open_pairs(path).batches(64))
print(seen, peak_kib(), before)
"""
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert told[0] == "12000"
    assert int(told[1]) * 1024 < 500e6, f"peak {told[1]} KiB, {told[2]} before reading"


def test_megaface_layout(tmp_path):
    for name in (
        "facescrub_images/Ann/Ann_1.png",
        "facescrub_images/Ann/Ann_2.png",
        "megaface_images/1/x@N/7.jpg",
        "megaface_images/1/x@N/8.jpg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "facescrub_lst").write_text("Ann/Ann_2.png\nAnn/Ann_1.png\n")
    (tmp_path / "megaface_noises.txt").write_text("# noise\n8.jpg\n")
    layout = megaface.open_layout(tmp_path)
    assert layout.probes == ["Ann/Ann_2.png", "Ann/Ann_1.png"] and layout.probe_people == [
        "Ann",
        "Ann",
    ]
    assert layout.distractors == ["1/x@N/7.jpg"]
    assert megaface.feature_name("1/x@N/7.jpg", "ours") == "1/x@N/7.jpg_ours.bin"
    (tmp_path / "facescrub_lst").write_text("Ann/Ann_9.png\n")
    with pytest.raises(KitError, match=r"Ann_9\.png is not in"):
        megaface.open_layout(tmp_path)
    with pytest.raises(KitError, match="facescrub_images is missing"):
        megaface.open_layout(tmp_path / "none")


@pytest.fixture
def ijbc(tmp_path):
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "ijbc_face_tid_mid.txt").write_text("1.jpg 1 10\n2.jpg 1 11\n3.jpg 4 12\n")
    points = " ".join(str(number) for number in range(10))
    (tmp_path / "meta" / "ijbc_name_5pts_score.txt").write_text(
        "".join(f"{name}.jpg {points} 0.{name}\n" for name in (1, 2, 3))
    )
    (tmp_path / "meta" / "ijbc_template_pair_label.txt").write_text("1 4 0\n1 1 1\n")
    return tmp_path


def test_ijb_layout(ijbc):
    found = ijb.open_layout(ijbc)
    assert (
        found.names == ["1.jpg", "2.jpg", "3.jpg"]
        and list(found.templates) == [1, 1, 4]
        and list(found.medias) == [10, 11, 12]
    )
    assert found.landmarks[0].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]] and found.scores[
        2
    ] == np.float32(0.3)
    assert [list(column) for column in (found.left, found.right, found.same)] == [
        [1, 1],
        [4, 1],
        [False, True],
    ]
    assert found.photo(0) == ijbc / "loose_crop" / "1.jpg"


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("face_tid_mid", "1.jpg 1 10\n2.jpg 1\n3.jpg 4 12\n", "line 2: a name and 2 numbers"),
        (
            "name_5pts_score",
            "1.jpg 0 0 0 0 0 0 0 0 0 0 1\n",
            "line 2 and line 2 of .* not of the same photograph",
        ),
        ("template_pair_label", "1 4 0\n1 9 1\n", "line 2: a template that no photograph"),
        ("template_pair_label", "1 4 0\n1 4\n", "cut short"),
        ("template_pair_label", "1 4 7\n", "label 0 or 1"),
        ("template_pair_label", "1 4 x\n", "cannot read"),
    ],
)
def test_bad_ijb(ijbc, file, text, problem):
    (ijbc / "meta" / f"ijbc_{file}.txt").write_text(text)
    with pytest.raises(KitError, match=problem):
        ijb.open_layout(ijbc)
