import cv2
import numpy as np
import pytest

from mfr_kit.data import images
from mfr_kit.data.image_headers import lacks_scans, read_header
from mfr_kit.data.images import NoImage, decode_picture, decode_rgb, encode, read_rgb
from mfr_kit.errors import KitError


def test_red_is_the_first_channel_all_the_way(tmp_path):
    # RGB or BGR?
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
    # 4:2:0 would blend neighbours to purple
    assert np.abs(decode_rgb(encode(stripes), "x").astype(int) - stripes).mean() < 12


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


def photo(size: int = 64) -> np.ndarray:
    """A smooth colour picture with an edge, which no format spoils much."""
    across, down = np.meshgrid(np.linspace(20, 230, size), np.linspace(30, 200, size))
    image = np.dstack([across, down, (across + down) / 2]).astype(np.uint8)
    image[size // 4 : size // 2, size // 4 : size // 2] = (200, 40, 60)
    return image


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_jpeg_that_lacks_only_its_end_marker_is_read_and_a_cut_one_is_not(progressive):
    flags = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive, cv2.IMWRITE_JPEG_QUALITY, 95]
    whole = cv2.imencode(".jpg", photo(), flags)[1].tobytes()
    assert whole.endswith(b"\xff\xd9")
    for end in (b"", b"\xff"):
        np.testing.assert_array_equal(decode_rgb(whole[:-2] + end, "x"), decode_rgb(whole, "x"))
    cuts = [len(whole) - 40, len(whole) * 3 // 4, len(whole) // 2]
    if progressive:  # exactly between two scans: what is there is whole, and not all
        cuts += [at for at in range(len(whole)) if whole[at : at + 2] == b"\xff\xda"][1:]
    for cut in cuts:
        with pytest.raises(NoImage, match="cut short"):
            decode_rgb(whole[:cut], "x")


def test_images_are_known_by_their_content_and_text_is_not(tmp_path):
    for name, suffix in {
        "a.jfif": ".jpg",
        "a.jpe": ".jpg",
        "a.avif": ".avif",
        "A.JPG": ".jpg",
        "none": ".png",
        "b.jpg": ".webp",
        "c.jpg_large": ".bmp",
        "d.dat": ".tiff",
        "e.png": ".jp2",
    }.items():
        done, data = cv2.imencode(suffix, cv2.cvtColor(photo(), cv2.COLOR_RGB2BGR))
        assert done
        (tmp_path / name).write_bytes(data.tobytes())
        got = read_rgb(tmp_path / name)
        assert np.abs(got.astype(int) - photo()).mean() < 6, name
    for name in ("BMW.txt", "P5.md", "GIF.csv"):
        (tmp_path / name).write_text(f"{name[:3]} is a car or a format, and this a note on it")
        with pytest.raises(NoImage) as caught:
            read_rgb(tmp_path / name)
        assert caught.value.reason == "not_an_image"
    (tmp_path / "x.NEF").write_bytes((tmp_path / "d.dat").read_bytes())  # its first is a thumbnail
    with pytest.raises(NoImage, match="raw"):
        read_rgb(tmp_path / "x.NEF")
    with pytest.raises(NoImage, match="HEIC"):
        decode_rgb(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "x")


@pytest.mark.parametrize(
    ("bits", "suffix"), [(8, ".png"), (10, ".png"), (12, ".tiff"), (16, ".png")]
)
def test_values_in_16_bits_are_scaled_by_the_bits_that_are_used(bits, suffix):
    grey = np.linspace(0, 255, 4096).astype(np.uint8).reshape(64, 64)
    deep = (grey.astype(np.float64) / 255 * (2**bits - 1)).round().astype(np.uint16)
    picture = decode_picture(cv2.imencode(suffix, deep)[1].tobytes(), "x")
    assert picture.bits == bits
    assert np.abs(picture.image[..., 0].astype(int) - grey).max() <= 1
    assert bool(picture.note) == (bits in (10, 12))
    dark = cv2.imencode(".pgm", np.full((4, 4), 100, np.uint16))[1].tobytes()
    twelve = dark.replace(b"65535", b"4095", 1)
    assert twelve != dark and decode_picture(twelve, "x").bits == 12


def test_a_huge_jpeg_is_decoded_reduced_and_a_huge_png_is_refused(monkeypatch):
    monkeypatch.setattr(images, "REDUCE_ABOVE", 100 * 100)
    monkeypatch.setattr(images, "MOST_BYTES", 3 * 100 * 100)
    for side, reduction in ((100, 1), (101, 2), (141, 2), (142, 4), (282, 4), (283, 8), (400, 8)):
        picture = decode_picture(encode(photo(side)), "x")
        assert picture.reduction == reduction
        assert picture.image.shape == (-(-side // reduction), -(-side // reduction), 3)
        small = cv2.resize(photo(side), picture.image.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(picture.image.astype(int) - small).mean() < 4
    monkeypatch.setattr(images, "MOST_BYTES", 3 * 102 * 102)
    halved = decode_picture(encode(photo(102), ".png"), "x")
    small = cv2.resize(photo(102), (51, 51), interpolation=cv2.INTER_AREA)
    assert halved.reduction == 2 and np.abs(halved.image.astype(int) - small).max() <= 1
    monkeypatch.setattr(images, "MOST_BYTES", 3 * 100 * 100)
    progressive = cv2.imencode(".jpg", photo(240), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    refused = {"png": encode(photo(101), ".png"), "jpeg": progressive}
    for suffix in ("bmp", "tiff", "ppm", "webp", "avif", "jp2"):
        refused[suffix] = cv2.imencode(f".{suffix}", photo(101))[1].tobytes()
    for kind, data in refused.items():
        with pytest.raises(NoImage) as caught:
            decode_rgb(data, "x")
        assert caught.value.reason == "too_large", kind
        assert "101x101" in str(caught.value) or "240x240" in str(caught.value), kind


def test_a_png_that_promises_a_chunk_of_gigabytes_is_not_decoded():
    data = encode(photo(20), ".png")
    at = data.index(b"IDAT") - 4
    for length in (1 << 31, 0xFFFFFFFF):
        with pytest.raises(NoImage, match="20x20 pixels would take gigabytes: it is damaged"):
            decode_rgb(data[:at] + length.to_bytes(4, "big") + data[at + 4 :], "x")


def test_what_stands_behind_the_end_of_a_png_does_not_matter():
    data = encode(photo(20), ".png")
    assert np.array_equal(decode_rgb(data + b"\xff" * 100, "x"), decode_rgb(data, "x"))


def test_what_is_no_regular_file_is_never_read(tmp_path):
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "folder.jpg").mkdir()
    for name in ("zero.jpg", "folder.jpg"):
        with pytest.raises(NoImage, match="not a regular file"):
            read_rgb(tmp_path / name)


def test_no_header_however_broken_is_an_error_of_ours():
    rng = np.random.default_rng(0)
    for suffix in (".jpg", ".png", ".gif", ".bmp", ".webp", ".ppm", ".tiff", ".jp2", ".avif"):
        whole = cv2.imencode(suffix, photo())[1].tobytes()
        header = read_header(whole)
        assert (header.width, header.height) == (64, 64), suffix
        for _ in range(200):
            data = bytearray(whole[: rng.integers(1, len(whole) + 1)])
            for at in rng.integers(0, min(len(data), 200), 4):
                data[at] = rng.integers(256)
            found = read_header(bytes(data))
            assert found is None or found.kind, suffix
            assert isinstance(lacks_scans(bytes(data)), bool)
