"""The half that runs under Python 3.8 with mxnet 1.9.1: `mxnet_side.py write|read FOLDER`. It must
not import the kit.

`write` makes sets with the real mxnet from the payloads in FOLDER/payloads.json; `read` prints what
the real mxnet finds in FOLDER's sets.
"""

import base64
import json
import sys
from pathlib import Path

import mxnet as mx
import numpy as np

FOLDER = Path(sys.argv[2])


def write():
    """Write raw.rec (arbitrary bytes), header.rec (record 0, images, per-person records) and
    plain.rec (images only).
    """
    content = json.loads((FOLDER / "payloads.json").read_text())
    raw = mx.recordio.MXIndexedRecordIO(str(FOLDER / "raw.idx"), str(FOLDER / "raw.rec"), "w")
    for key, payload in enumerate(content["raw"]):
        raw.write_idx(key, base64.b64decode(payload))
    raw.close()
    images = [base64.b64decode(image) for image in content["images"]]
    for name, first in (("header", 1), ("plain", 0)):
        file = mx.recordio.MXIndexedRecordIO(
            str(FOLDER / (name + ".idx")), str(FOLDER / (name + ".rec")), "w"
        )
        if name == "header":
            file.write_idx(
                0,
                mx.recordio.pack(
                    mx.recordio.IRHeader(0, [len(images) + 1, len(images) + 3], 0, 0), b""
                ),
            )
        for key, (image, label) in enumerate(zip(images, content["labels"]), first):  # noqa: B905 - Python 3.8 has no strict
            file.write_idx(key, mx.recordio.pack(mx.recordio.IRHeader(0, label, key, 0), image))
        if name == "header":
            for key, span in enumerate(content["ranges"], len(images) + 1):
                file.write_idx(key, mx.recordio.pack(mx.recordio.IRHeader(0, span, key, 0), b""))
        file.close()
    encoded = mx.recordio.MXIndexedRecordIO(
        str(FOLDER / "encoded.idx"), str(FOLDER / "encoded.rec"), "w"
    )
    pixels = np.array(content["pixels"], np.uint8)
    encoded.write_idx(
        0,
        mx.recordio.pack_img(
            mx.recordio.IRHeader(0, 0.0, 0, 0), pixels[..., ::-1], quality=9, img_fmt=".png"
        ),
    )
    encoded.close()


def read():
    """Print {set: [[key, base64 of the payload, labels, id, pixels' sum by channel or null],
    ...]}, read by key and once more in order.
    """
    found = {}
    for path in sorted(FOLDER.glob("*.rec")):
        file = mx.recordio.MXIndexedRecordIO(str(path.with_suffix(".idx")), str(path), "r")
        stream, rows = mx.recordio.MXRecordIO(str(path), "r"), []
        for key in sorted(file.keys):
            payload = file.read_idx(key)
            assert payload == stream.read(), (path, key)
            row = [key, base64.b64encode(payload).decode()]
            if path.stem != "raw":
                header, image = mx.recordio.unpack(payload)
                labels = [float(label) for label in np.atleast_1d(header.label)]
                pixels = (
                    mx.image.imdecode(image).asnumpy().astype(int).sum((0, 1)).tolist()
                    if image
                    else None
                )
                row += [labels, header.id, pixels]
            rows.append(row)
        assert stream.read() is None
        found[path.stem] = rows
    print(json.dumps(found))


{"write": write, "read": read}[sys.argv[1]]()
