"""The real mxnet as referee of our RecordIO, both ways. It needs Python 3.8, so it runs in an
environment of its own:

PYENV_VERSION=3.8.18 python -m venv ENV && ENV/bin/pip install mxnet==1.9.1 'numpy<1.24'
opencv-python-headless MFR_KIT_MXNET_PYTHON=ENV/bin/python pytest tests/interop
"""

import base64
import json
import os
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from mfr_kit.data.convert import open_any
from mfr_kit.data.formats import recordio, recordio_plain
from mfr_kit.data.images import decode_rgb
from mfr_kit.data.record_reader import RecordReader
from mfr_kit.data.record_writer import RecordWriter
from mfr_kit.data.recordio import MAGIC_BYTES, unpack
from mfr_kit.data.training_set import from_names

PYTHON = os.environ.get("MFR_KIT_MXNET_PYTHON", "")
pytestmark = pytest.mark.skipif(
    not Path(PYTHON).is_file(),
    reason="MFR_KIT_MXNET_PYTHON does not name a Python with mxnet 1.9.1 "
    "(tests/interop/test_mxnet.py says how to make "
    "one)",
)
RAW = [
    b"",
    b"a",
    MAGIC_BYTES,
    b"abc" + MAGIC_BYTES,
    b"abcd" + MAGIC_BYTES + b"e",
    MAGIC_BYTES * 4 + b"xyz",
    b"z" * (1 << 20),
    b"12345678",
]
LABELS, RANGES = [0.0, 0.0, 1.0], [[1, 3], [3, 4]]


def mxnet(what, folder):
    command = [PYTHON, str(Path(__file__).with_name("mxnet_side.py")), what, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def images():
    faces = [
        np.random.default_rng(seed).integers(0, 256, (112, 112, 3), np.uint8) for seed in range(3)
    ]
    return [
        cv2.imencode(".png" if seed else ".jpg", face)[1].tobytes()
        for seed, face in enumerate(faces)
    ]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory, images):
    """Sets written by mxnet, with the pixels of one red-heavy image."""
    folder = tmp_path_factory.mktemp("theirs")
    pixels = np.random.default_rng(9).integers(0, 100, (8, 8, 3), np.uint8)
    pixels[..., 0] += 150
    content = {"raw": RAW, "images": images}
    text = {
        name: [base64.b64encode(item).decode() for item in items] for name, items in content.items()
    }
    (folder / "payloads.json").write_text(
        json.dumps({**text, "labels": LABELS, "ranges": RANGES, "pixels": pixels.tolist()})
    )
    mxnet("write", folder)
    return folder, pixels


@pytest.mark.parametrize("with_index", [True, False])
def test_records_of_mxnet(theirs, with_index, tmp_path):
    path = theirs[0] / "raw.rec"
    if not with_index:
        path = tmp_path / "raw.rec"
        path.write_bytes((theirs[0] / "raw.rec").read_bytes())
    reader = RecordReader(path)
    assert reader.rebuilt is not with_index
    assert (
        [bytes(reader.read(key)) for key in range(len(RAW))]
        == RAW
        == [bytes(payload) for _, payload in reader]
    )


def test_what_we_write_is_mxnet_s_file_byte_for_byte(theirs, tmp_path):
    with RecordWriter(tmp_path / "raw.rec") as writer:
        for key, payload in enumerate(RAW):
            writer.write(key, payload)
    for name in ("raw.rec", "raw.idx"):
        assert (tmp_path / name).read_bytes() == (theirs[0] / name).read_bytes()


@pytest.mark.parametrize("name", ["header", "plain"])
def test_sets_of_mxnet(theirs, images, name):
    source = open_any(theirs[0] / f"{name}.rec")[1]
    assert [source.encoded(row) for row in range(3)] == images
    assert list(source.labels) == [0, 0, 1]


def test_an_image_that_mxnet_encoded_has_our_colours(theirs):
    folder, pixels = theirs
    image = unpack(RecordReader(folder / "encoded.rec").read(0), "here").data
    assert np.array_equal(decode_rgb(image, "here"), pixels)


def test_mxnet_reads_ours(tmp_path, images):
    source = from_names(
        tmp_path, ["Ann", "Ann", "Bob"], ["Ann/1", "Ann/2", "Bob/1"], images.__getitem__
    )
    (tmp_path / "p").mkdir()
    recordio.write_set(tmp_path / "header.rec", source)
    recordio_plain.write_set(tmp_path / "p" / "plain.rec", source)
    for suffix in (".rec", ".idx"):
        (tmp_path / "p" / f"plain{suffix}").rename(tmp_path / f"plain{suffix}")
    with RecordWriter(tmp_path / "raw.rec") as writer:
        for key, payload in enumerate(RAW):
            writer.write(key, payload)
    found = json.loads(mxnet("read", tmp_path))
    assert [base64.b64decode(row[1]) for row in found["raw"]] == RAW
    sums = [decode_rgb(image, "").astype(int).sum((0, 1)).tolist() for image in images]
    assert [row[2:] for row in found["plain"]] == [
        [[label], key, sums[key]] for key, label in enumerate(LABELS)
    ]
    header, *rest = found["header"]
    assert header[2:] == [[4.0, 6.0], 0, None]
    assert [row[2:] for row in rest[:3]] == [
        [[label], key + 1, sums[key]] for key, label in enumerate(LABELS)
    ]
    assert [row[2:] for row in rest[3:]] == [
        [span, key, None] for key, span in enumerate(RANGES, 4)
    ]
