"""Fuzz `verify`: `python tests/fuzz_zip.py [INPUTS] [SEED] [FOLDER]`; by default 4,000.

Small packages are mutated, as bytes and as zips (members renamed, doubled, linked, compressed
otherwise, encrypted by their flag, sizes that lie, manifests of other types). Allowed outcomes:
rows of one line or a KitError of one line.
"""

import hashlib
import io
import json
import random
import stat
import sys
import warnings
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from mfr_kit.errors import KitError
from mfr_kit.submission import check
from mfr_kit.submission.verify import verify
from tests import fuzz_children
from tests.fuzz_onnx import change_bytes, thinned
from tests.models import odd_onnx

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
NAMES = [
    "../x",
    "/x",
    "a/../../x",
    " ",
    "a\\b",
    "C:x",
    "model.onnx",
    "manifest.json",
    "x/" * 300 + "y",
    "y" * 300,
]
NAMES += [
    "a\nb",
    "model.onnx/",
    "model.onnx/x",
    "\u00e9.txt",
    "manifest.json/",
    ".",
    "..",
    "CON",
    "MODEL.ONNX",
]
STRANGE = [
    None,
    3,
    -1,
    1e400,
    "",
    "x",
    "ms1m",
    [],
    [1],
    {},
    {"name": 3},
    {"a": {"b": []}},
    True,
    "\ud800",
]


def seeds(folder: Path) -> list[bytes]:
    """Return small packages: one with a model, one with features, one that is nearly empty."""
    known = {"mfr_kit.normalisation": "minus1_to_1"}
    model = thinned(odd_onnx.write(folder / "s.onnx", metadata=known).read_bytes())
    matrix = np.array([2, 3, 12, 5], "<i4").tobytes() + np.ones((2, 3), "<f4").tobytes()
    return [
        packed("ms1m", {"model.onnx": model, "rerun/config.toml": b"a = 1\n"}),
        packed("lfr2019", {"features.bin": matrix}),
        packed("unconstrained", {"model.onnx": model[:200]}),
    ]


def packed(track: str, files: dict[str, bytes]) -> bytes:
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    manifest = {"files": hashes, "track": {"name": track}, "model": None}
    return zipped({**files, "manifest.json": json.dumps(manifest).encode()}.items())


def zipped(entries, method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")  # names that come twice
        for name, data in entries:
            archive.writestr(name, data, method)
    return buffer.getvalue()


def mutate(data: bytes, draw: random.Random) -> bytes:
    """Change a package as a zip, as bytes, or both."""
    kind = draw.randrange(4)
    if kind:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [[name, archive.read(name)] for name in archive.namelist()]
        for _ in range(draw.choice((1, 1, 2, 3))):
            change_entries(entries, draw)
        data = zipped(entries, draw.choice(METHODS))
    if kind != 1:
        data = change_bytes(data, draw)
    return change_headers(data, draw) if draw.random() < 0.4 else data


def change_entries(entries: list, draw: random.Random) -> None:
    """Rename, link, double or drop a member, or change what it holds."""
    if not entries:
        return
    entry, what = draw.choice(entries), draw.randrange(6)
    if what == 0:
        entry[0] = draw.choice(NAMES)
    elif what == 1 and isinstance(entry[0], str):
        link = zipfile.ZipInfo(entry[0])
        link.create_system = 3
        link.external_attr = (draw.choice((stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR)) | 0o777) << 16
        entry[0] = link
    elif what == 2:
        entries.append([draw.choice(NAMES), entry[1]])
    elif what == 3:
        entries.remove(entry)
    elif what == 4:
        entry[1] = change_bytes(entry[1], draw)
    else:
        change_manifest(entries, draw)


def change_manifest(entries: list, draw: random.Random) -> None:
    for entry in entries:
        if entry[0] != "manifest.json":
            continue
        try:
            told = json.loads(entry[1])
        except (ValueError, RecursionError):
            return
        part = told
        while isinstance(part, dict) and part:
            key = draw.choice(sorted(part))
            if draw.random() < 0.5 or not isinstance(part[key], dict):
                part[key] = draw.choice(STRANGE)
                break
            part = part[key]
        entry[1] = draw.choice((json.dumps(told).encode(), b"[" * 100_000, b"\xff\xfe", b"null"))


def change_headers(data: bytes, draw: random.Random) -> bytes:
    """Overwrite a field of a member's local or central header: flags, method, times, sizes,
    lengths, offsets.
    """
    data = bytearray(data)
    mark = draw.choice((b"PK\3\4", b"PK\1\2", b"PK\5\6"))
    places = [at for at in range(len(data) - 4) if data[at : at + 4] == mark]
    if places:
        at = draw.choice(places) + draw.randrange(4, 46)
        values = (0, 1, 0xFF, 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF, 8, 12, 14, 99)
        size = draw.choice((1, 2, 4))
        data[at : at + size] = (draw.choice(values) & ((1 << 8 * size) - 1)).to_bytes(
            size, "little"
        )
    return bytes(data)


def read(path: Path, number: int) -> None:
    """What `kit.py verify` does."""
    try:
        rows = verify(path)
    except KitError as error:
        assert "\n" not in str(error), f"two lines: {error}"
        raise
    check.table(rows).encode()
    for row in rows:
        for text in (row.rule, row.limit, row.found, row.note):
            assert "\n" not in text, f"two lines in a row: {row}"


def main(given: list[str]) -> int:
    return fuzz_children.main(given, 4000, "fuzz-zip", seeds, mutate, read)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
