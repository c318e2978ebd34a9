"""Make hostile models, packages, sets and lists, and see each refused in one line: `python
tests/hostile_files.py [FOLDER]`; about 200 files, kept in FOLDER where it is given.

Refused is a KitError (which is one line), or rows of one line, of which the right one fails. Exit
code 1 where a file is read, takes longer than 10 seconds, or raises anything else.
"""

import os
import shutil
import stat
import struct
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import onnx
import pyarrow as pa
import pyarrow.parquet as pq

from mfr_kit.data.convert import open_any
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.images import encode
from mfr_kit.data.verification_sets.megaface import open_layout
from mfr_kit.data.verification_sets.pairs import open_pairs
from mfr_kit.errors import KitError
from mfr_kit.submission import check
from mfr_kit.submission.rules import FAIL, Row
from mfr_kit.submission.sources import open_source
from mfr_kit.submission.verify import verify
from tests.conftest import head, write_faceset
from tests.fuzz_zip import METHODS, zipped
from tests.models.onnx_models.hostile_onnx import MODELS

LONGEST_S = 10
OPSETS = (11, 13, 15, 17)
NAMES = ["/dev/zero", "/dev/stdin", "/etc/passwd", "../secret.jpg", "a/../../secret.jpg"]
NAMES += ["..\\secret.jpg", "C:\\secret.jpg", "link.jpg", "door/secret.jpg", "zero.jpg", "pipe.jpg"]
OUTSIDE = ["../x", "/x", "a/../../x", "a\\..\\x", "C:x", "..", "a/.."]
INSIDE = "names stay inside"
KINDS = {"link": stat.S_IFLNK, "pipe": stat.S_IFIFO, "device": stat.S_IFCHR}
LISTS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "train.lst": ("0\t0\ta.jpg\n1\t1\t{}\n", lambda path: _read(open_any(path)[1])),
    "train.txt": ("a.jpg\tanna\n{}\tbert\n", lambda path: _read(open_any(path)[1])),
    "pairs.csv": ("left,right,same\na.jpg,{},0\n", lambda path: _read(open_pairs(path))),
    "pairs.txt": ("a.jpg\t{}\t0\n", lambda path: _read(open_pairs(path))),
    "features.txt": ("a.jpg\n{}\n", lambda path: open_source(path).read(0, 2)),
}


class Hostile(NamedTuple):
    """A file, what makes it in a folder (returning its path), what reads it, and the row that
    fails; "" where a KitError refuses it.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], "list[Row] | None"]
    rule: str = ""


def corpus() -> Iterator[Hostile]:
    """Yield every hostile file."""
    yield from _models()
    yield from _packages()
    for file, (text, read) in LISTS.items():
        for name in NAMES:
            yield Hostile(f"{file} {name}", _list(file, text.format(name)), read)
    for name in NAMES[:7]:
        yield Hostile(f"key {name}", _set_with_key(name), _read_set)
    for name in NAMES[:7]:
        yield Hostile(f"facescrub_lst {name}", _megaface(name), _read_megaface)
    for kind in ("link", "zero", "pipe", "door", "huge"):
        yield Hostile(f"face that is a {kind}", _set_with(kind), _read_set)


def _models() -> Iterator[Hostile]:
    def maker(kind: str, opset: int) -> Callable[[Path], Path]:
        def make(folder: Path) -> Path:
            path = folder / "in" / "m.onnx"
            path.parent.mkdir()
            MODELS[kind](path)
            model = onnx.load(path, load_external_data=False)
            model.opset_import[0].version = opset
            path.write_bytes(model.SerializeToString())
            return path

        return make

    for kind in MODELS:
        for opset in OPSETS:
            yield Hostile(f"model {kind} {opset}", maker(kind, opset), _check, "readable as ONNX")


def _check(path: Path) -> list[Row]:
    return check.check(path, "unconstrained", latency=False)


def _packages() -> Iterator[Hostile]:
    manifest = ("manifest.json", b"{}")
    for method in METHODS:
        for name in OUTSIDE:
            yield _package(f"{name} {method}", zipped([manifest, (name, b"x")], method), INSIDE)
        for kind, mode in KINDS.items():
            entry = zipfile.ZipInfo("a")
            entry.create_system, entry.external_attr = 3, (mode | 0o777) << 16
            data = zipped([manifest, (entry, b"/etc/passwd")], method)
            yield _package(f"{kind} {method}", data, "plain files")
        twice = zipped([manifest, ("a", b"x"), ("A", b"y")], method)
        yield _package(f"twice {method}", twice, "names differ")
        if method != zipfile.ZIP_STORED:
            bomb = zipped([manifest, ("a", bytes(1 << 24))], method)
            yield _package(f"bomb {method}", bomb, "size unpacked")
        whole = zipped([manifest, ("a", os.urandom(4000))], method)
        yield _package(f"damaged {method}", whole[:200] + bytes(99) + whole[299:], "unpacks")
        yield _package(f"cut {method}", whole[: len(whole) // 2])
        at = whole.index(b"PK\1\2")
        flag = struct.pack("<H", struct.unpack_from("<H", whole, at + 8)[0] | 1)
        yield _package(
            f"encrypted {method}", whole[: at + 8] + flag + whole[at + 10 :], "not encrypted"
        )
    yield _package("nested", zipped([("manifest.json", b"[" * 100_000)]), "manifest")


def _package(name: str, data: bytes, rule: str = "") -> Hostile:
    def make(folder: Path) -> Path:
        (folder / "s.zip").write_bytes(data)
        return folder / "s.zip"

    return Hostile(f"package {name}", make, verify, rule)


def _list(file: str, text: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        home = folder / "home"
        home.mkdir()
        (folder / "secret.jpg").write_bytes(encode(head(1)))
        (home / "a.jpg").write_bytes(encode(head(2)))
        for name, target in (("link.jpg", "../secret.jpg"), ("door", ".."), ("zero.jpg", ZERO)):
            (home / name).symlink_to(target)
        os.mkfifo(home / "pipe.jpg")
        (home / file).write_text(text)
        return home / file

    return make


ZERO = "/dev/zero"


def _read(source) -> None:
    for row in range(len(source.names)):
        source.encoded(row)


def _set_with_key(key: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = write_faceset(folder / "set", 1, 2, twins=False).folder / "faces.parquet"
        table = pq.read_table(path)
        keys = pa.array([key, *table["key"].to_pylist()[1:]])
        pq.write_table(table.set_column(table.schema.get_field_index("key"), "key", keys), path)
        return path.parent

    return make


def _set_with(kind: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        made = write_faceset(folder / "set", 1, 2, twins=False)
        image = made.folder / made.keys[0]
        moved = image.parent if kind == "door" else image
        if kind == "huge":
            os.truncate(image, 1 << 40)
            return made.folder
        shutil.move(moved, folder / "away")
        if kind == "pipe":
            os.mkfifo(image)
        else:
            moved.symlink_to(ZERO if kind == "zero" else folder / "away")
        return made.folder

    return make


def _read_set(path: Path) -> None:
    FaceSet(path).encoded(0)


def _megaface(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        for part in ("facescrub", "megaface"):
            (folder / f"{part}_images").mkdir()
            (folder / f"{part}_lst").write_text(f"{name}\n")
        return folder

    return make


def _read_megaface(path: Path) -> None:
    open_layout(path)


def outcome(hostile: Hostile, folder: Path) -> str:
    """Make and read one; returns what went wrong, "" where it was refused as it should be."""
    path = hostile.make(folder)
    start = time.process_time()
    try:
        rows = hostile.read(path)
    except KitError as error:
        wrong = "" if not hostile.rule else f"no row '{hostile.rule}': {error}"
    except Exception as error:  # noqa: BLE001  any other exception is what is looked for
        wrong = f"{type(error).__name__}: {error}"
    else:
        bad = [row for row in rows or () if row.verdict == FAIL]
        wrong = "" if hostile.rule in {row.rule for row in bad} else "it was read"
        wrong = wrong or next(("rows of several lines" for row in bad if "\n" in row.found), "")
    took = time.process_time() - start
    return wrong or (f"{took:.0f} s" if took > LONGEST_S else "")


def main(given: list[str]) -> int:
    count, wrong = 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(given[0]) if given else Path(scratch)
        for count, hostile in enumerate(corpus(), 1):
            folder = root / f"{count:03d}"
            folder.mkdir(parents=True)
            found = outcome(hostile, folder)
            if found:
                wrong += 1
                print(f"{hostile.name!r}: {found}", flush=True)
    print(f"{count} hostile files, {count - wrong} refused in one line")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
