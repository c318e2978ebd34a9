"""Open a package as a stranger would: trust no name, no size and no hash in it, then run every
check on what it holds.
"""

import dataclasses
import json
import lzma
import stat
import struct
import tempfile
import zipfile
import zlib
from collections import Counter
from pathlib import Path, PurePosixPath

from mfr_kit import registry
from mfr_kit.errors import KitError
from mfr_kit.files import sha256_of
from mfr_kit.models.onnx_models.onnx_file import one_line
from mfr_kit.submission import check, tracks
from mfr_kit.submission.package import MANIFEST, PACKAGES
from mfr_kit.submission.rules import FAIL, Row, in_one_line, requirement
from mfr_kit.system_errors import DISK_FULL

MOST_BYTES = 4 * 2**30  # unpacked
MOST_FILES = 2_000_000  # MegaFace's features are a file an image
MOST_RATIO = 200  # unpacked to packed
# What Python's zip reader and its decompressors raise for damaged archives. RuntimeError: encrypted
# entries, nesting without end.
DAMAGED = (
    OSError,
    ValueError,
    RuntimeError,
    EOFError,
    OverflowError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


def verify(package: Path) -> list[Row]:
    """Re-run every check on a package.

    Raises:
        KitError: no such file, or no zip at all.
    """
    return [in_one_line(row) for row in _rows(Path(package))]


def _rows(package: Path) -> list[Row]:
    if package.exists() and not package.is_file():
        raise KitError(f"{package} cannot be opened as a zip: it is no file")
    try:
        archive = zipfile.ZipFile(package)
    except DAMAGED as error:
        raise KitError(f"{package} cannot be opened as a zip: {one_line(error)}") from None
    with archive:
        rows = _safety(archive, package.stat().st_size)
        if any(row.verdict == FAIL for row in rows):
            return rows  # nothing of it is unpacked
        with tempfile.TemporaryDirectory() as folder:
            try:
                _unpack(archive, Path(folder))
            except DAMAGED as error:
                if getattr(error, "errno", None) in DISK_FULL:
                    raise  # of this machine's scratch folder, not of the package
                reason = f"{type(error).__name__}: {one_line(error)}"
                return [*rows, Row("unpacks", "every entry", reason, verdict=FAIL)]
            return rows + _contents(Path(folder))


def _safety(archive: zipfile.ZipFile, size: int) -> list[Row]:
    entries = archive.infolist()
    outside = [entry.filename for entry in entries if not _inside(entry.filename)]
    links = [
        entry.filename
        for entry in entries
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR)
    ]
    counts = Counter(entry.filename.lower().rstrip("/") for entry in entries)
    twice = sorted(name for name, count in counts.items() if count > 1)
    total, packed = (
        sum(entry.file_size for entry in entries),
        min(sum(entry.compress_size for entry in entries), size),  # entries may share bytes
    )
    bomb = total > MOST_BYTES or len(entries) > MOST_FILES or total > MOST_RATIO * max(packed, 1)
    locked = [entry.filename for entry in entries if entry.flag_bits & 1]
    return [
        requirement(
            "names stay inside",
            "relative, no ..",
            _shown(outside),
            not outside,
            "an absolute path, a drive or .. would write outside the folder",
        ),
        requirement(
            "plain files",
            "no links, no devices",
            _shown(links),
            not links,
            "a symbolic link could point anywhere",
        ),
        requirement(
            "names differ",
            "each once",
            _shown(twice),
            not twice,
            "one file would overwrite another",
        ),
        requirement(
            "size unpacked",
            f"<= {MOST_BYTES >> 30} GiB, <= {MOST_RATIO}x",
            f"{total:,} bytes from {packed:,}",
            not bomb,
            "a zip bomb",
        ),
        requirement("not encrypted", "none", _shown(locked), not locked),
    ]


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return (
        bool(name)
        and not path.is_absolute()
        and ".." not in path.parts
        and "\\" not in name
        and ":" not in name
        and "\0" not in name
    )


def _unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    """Write every file; stop where an entry holds more than it says (a header is only a claim)."""
    for entry in archive.infolist():
        target = folder / entry.filename
        if entry.is_dir():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as source, target.open("wb") as file:
            left = entry.file_size
            while block := source.read(1 << 20):
                left -= len(block)
                if left < 0:
                    raise ValueError(
                        f"{entry.filename} holds more than the {entry.file_size} bytes it claims"
                    )
                file.write(block)


def _contents(folder: Path) -> list[Row]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        claimed, track = manifest["files"], tracks.load(manifest["track"]["name"])
        if not all(isinstance(value, str) for value in claimed.values()):
            raise ValueError("'files' is not a table of hashes")
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
        KitError,
    ) as error:
        return [
            Row(
                "manifest",
                f"{MANIFEST} of make-submission",
                f"{type(error).__name__}: {one_line(error)}",
                verdict=FAIL,
            )
        ]
    found = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    found.pop(MANIFEST)
    missing, extra = sorted(set(claimed) - set(found)), sorted(set(found) - set(claimed))
    changed = sorted(
        name for name in set(claimed) & set(found) if sha256_of(found[name]) != claimed[name]
    )
    rows = [
        requirement("manifest", "kept by make-submission", f"for track {track.name}", True),
        requirement(
            "files as listed", "all there", _shown(missing), not missing, "missing from the package"
        ),
        requirement(
            "nothing unlisted", "none", _shown(extra), not extra, "files the manifest does not know"
        ),
        requirement(
            "files unchanged",
            "sha256 of the manifest",
            _shown(changed),
            not changed,
            "changed after packing",
        ),
    ]
    plugin = registry.get(PACKAGES, track.package)
    rows += plugin.inspect(folder) if hasattr(plugin, "inspect") else []
    model = folder / plugin.MODEL if plugin.MODEL else None
    if model is not None and model.is_file():
        rows += [
            dataclasses.replace(row, rule=f"model: {row.rule}")
            for row in check.check(model, track.name, latency=False)
        ]
    elif model is not None:
        rows.append(Row("model", plugin.MODEL, "not in the package", verdict=FAIL))
    return rows


def _shown(names: list[str]) -> str:
    return "none" if not names else f"{len(names)}: {', '.join(names[:3])}"
