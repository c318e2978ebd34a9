"""Every kind of file that a folder of photographs may hold, through `augment`: a face where
there is one, a reason where there is none.
"""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mfr_kit import assets, cli
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.images import encode
from mfr_kit.models.embedders import load_embedder

HUGE = (5800, 8700)  # 50 megapixels


def bomb() -> bytes:
    """A PNG of 60,000 x 60,000 pixels in a few bytes."""

    def part(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    return (
        b"\x89PNG\r\n\x1a\n"
        + part(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
        + part(b"IDAT", zlib.compress(bytes(99)))
    )


@pytest.fixture(scope="module")
def zoo(tmp_path_factory) -> FaceSet:
    """One ORL face in every disguise, and what is no face."""
    folder = tmp_path_factory.mktemp("zoo")
    own = folder / "photos" / "anna"
    own.mkdir(parents=True)
    grey = cv2.imread(str(assets.path("orl-faces") / "s1" / "1.pgm"), cv2.IMREAD_GRAYSCALE)
    colour = np.dstack([grey] * 3)
    picture = Image.fromarray(colour)
    (own / "plain.png").write_bytes(encode(colour, ".png"))
    cv2.imwrite(str(own / "grey.jpg"), grey, [cv2.IMWRITE_JPEG_QUALITY, 98])
    cv2.imwrite(str(own / "deep.png"), grey.astype(np.uint16) * 257)
    picture.convert("RGBA").save(own / "alpha.png")
    picture.convert("CMYK").save(own / "cmyk.jpg", quality=98)
    picture.save(own / "moving.gif", save_all=True, append_images=[Image.new("RGB", picture.size)])
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.transpose(Image.Transpose.ROTATE_90).save(own / "turned.jpg", exif=exif, quality=98)
    (own / "tiny.png").write_bytes(
        encode(cv2.resize(colour, (37, 45), interpolation=cv2.INTER_AREA), ".png")
    )
    huge = np.full((*HUGE, 3), 128, np.uint8)
    huge[1000:3240, 3000:4840] = cv2.resize(
        colour, None, fx=20, fy=20, interpolation=cv2.INTER_CUBIC
    )
    (own / "huge.jpg").write_bytes(encode(huge))
    pair = np.full((300, 500, 3), 128, np.uint8)
    pair[20:244, 20:204] = cv2.resize(colour, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    pair[120:232, 380:472] = cv2.cvtColor(
        cv2.imread(str(assets.path("orl-faces") / "s2" / "1.pgm")), cv2.COLOR_BGR2RGB
    )
    (own / "several.png").write_bytes(encode(pair, ".png"))
    (own / "none.png").write_bytes(encode(np.full((300, 200, 3), 120, np.uint8), ".png"))
    (own / "thin.png").write_bytes(encode(np.full((1, 3000, 3), 120, np.uint8), ".png"))
    (own / "bomb.png").write_bytes(bomb())
    (own / "empty.jpg").write_bytes(b"")
    (own / "text.jpg").write_text("not a picture")
    (own / "cut.jpg").write_bytes((own / "grey.jpg").read_bytes()[:300])
    assert (
        cli.main(
            [
                "augment",
                str(folder / "photos"),
                str(folder / "set"),
                "--workers",
                "0",
                "--ratio",
                "1",
            ]
        )
        == 0
    )
    return FaceSet.open(folder / "set")


def test_every_kind_of_picture_gives_the_same_face(zoo):
    clean = {
        Path(source).stem: zoo.image(index)
        for index, source in enumerate(zoo.sources)
        if zoo.conditions[index] == "nonmask"
    }
    assert set(clean) == {
        "plain",
        "grey",
        "deep",
        "alpha",
        "cmyk",
        "moving",
        "turned",
        "tiny",
        "huge",
        "several",
    }
    raw = load_embedder("sface").embed(np.stack(list(clean.values())))
    raw /= np.linalg.norm(raw, axis=1, keepdims=True)
    likeness = dict(zip(clean, raw @ raw[list(clean).index("plain")], strict=True))
    assert min(likeness.values()) > 0.6, likeness  # strangers are at 0 to 0.4


def test_what_gives_no_face_has_a_reason_and_stops_nothing(zoo):
    reasons = {
        Path(row["source"]).name: row["reason"]
        for row in zoo.skipped
        if row["condition"] == "nonmask"
    }
    assert reasons == {
        "none.png": "no_face",
        "thin.png": "no_face",
        "bomb.png": "too_large",
        "empty.jpg": "unreadable",
        "text.jpg": "unreadable",
        "cut.jpg": "unreadable",
    }


def test_every_face_has_its_twin_or_the_reason_why_not(zoo):
    twins = list(zoo.conditions).count("mask")
    skipped = sum(row["condition"] == "mask" for row in zoo.skipped)
    assert twins + skipped == list(zoo.conditions).count("nonmask")
    assert twins >= 8
