import cv2
import numpy as np
import pytest

from mfr_kit.data.images import decode_rgb, encode, read_rgb
from mfr_kit.errors import KitError


def test_red_is_the_first_channel_all_the_way(tmp_path):
    # peers.md #19: RGB or BGR?
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 250
    for suffix in (".jpg", ".png"):
        (tmp_path / f"red{suffix}").write_bytes(encode(red, suffix))
        pixel = read_rgb(tmp_path / f"red{suffix}")[8, 8]
        assert pixel[0] > 240
        assert pixel[1:].max() < 10


def test_png_keeps_every_bit_and_jpeg_does_not_subsample_colour():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode_rgb(encode(image, ".png"), "x"), image)
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = (255, 0, 0)
    stripes[:, 1::2] = (0, 0, 255)
    assert (
        np.abs(decode_rgb(encode(stripes), "x").astype(int) - stripes).mean() < 12
    )  # 4:2:0 would blend neighbours to purple


def test_every_kind_of_pixel_becomes_8_bit_rgb(tmp_path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    cases = {
        "grey.png": grey,
        "deep.png": grey.astype(np.uint16) * 257,
        "alpha.png": np.dstack([grey, grey, grey, 255 - grey]),
        "grey.pgm": grey,
    }
    for name, pixels in cases.items():
        cv2.imwrite(str(tmp_path / name), pixels)
        got = read_rgb(tmp_path / name)
        assert got.shape == (16, 16, 3)
        assert got.dtype == np.uint8
        assert np.abs(got[..., 1].astype(int) - grey).max() <= 1, name


def test_exif_rotation_is_applied(tmp_path):
    from PIL import Image

    picture = Image.fromarray(
        np.dstack([np.tile(np.linspace(0, 255, 40, dtype=np.uint8), (20, 1))] * 3)
    )
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert read_rgb(tmp_path / "turned.jpg").shape == (40, 20, 3)


def test_cmyk_jpeg_and_animated_gif_are_read(tmp_path):
    from PIL import Image

    red = Image.new("RGB", (20, 20), (220, 30, 30))
    red.convert("CMYK").save(tmp_path / "cmyk.jpg")
    red.save(
        tmp_path / "moving.gif",
        save_all=True,
        append_images=[Image.new("RGB", (20, 20), (0, 0, 255))],
    )
    for name in ("cmyk.jpg", "moving.gif"):
        pixel = read_rgb(tmp_path / name)[10, 10].astype(int)
        assert pixel[0] > 180, name
        assert pixel[2] < 80, name


@pytest.mark.parametrize("data", [b"", b"this is not a picture", b"\xff\xd8\xff\xe0 broken jpeg"])
def test_what_is_no_image_is_one_clear_error(tmp_path, data):
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(KitError, match=r"a\.jpg"):
        read_rgb(tmp_path / "a.jpg")
    with pytest.raises(KitError, match="cannot be read"):
        read_rgb(tmp_path / "gone.jpg")
