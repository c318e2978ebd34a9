"""Campaigns of what others bring along, as those of `side_files.py`: training sets, published
layouts, features, weights, reports, masks and tracks.
"""

import json
import shutil
from pathlib import Path

import numpy as np

from tests import damage, format_damage, model_files
from tests.side_files import TEXT, Campaign

NAMES = ["a/0.jpg", "a/1.jpg", "b/0.jpg", "b/1.jpg"]


def make_people(folder: Path) -> None:
    """Write a few bytes that begin as JPEGs do, as photographs of two people."""
    for number, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\xff\xd8\xff\xe0" + bytes([number]) * 20)


def read_training_set(path: Path, allow_outside: bool = False) -> None:
    """Open a training set and use all that it says, to its last photograph."""
    from mfr_kit.data.convert import open_any

    source = open_any(path, allow_outside=allow_outside)[1]
    for row in range(min(len(source), 20)):
        source.person(row), source.encoded(row), source.names[row]
    list(source.skipped)


def _from_people(folder: Path, name: str, form: str) -> None:
    from mfr_kit import registry
    from mfr_kit.data.convert import FORMATS, open_any

    make_people(folder / "people")
    registry.get(FORMATS, form).write_set(folder / name, open_any(folder / "people")[1])
    shutil.rmtree(folder / "people")


def make_webdataset(folder: Path) -> None:
    """Write a tar of samples."""
    _from_people(folder, "set.tar", "webdataset")


def make_hf_parquet(folder: Path) -> None:
    """Write a parquet of photographs."""
    _from_people(folder, "set", "hf-parquet")


def read_hf_parquet(folder: Path) -> None:
    """Read it as a folder of shards."""
    read_training_set(folder / "set")


def make_image_lists(folder: Path) -> None:
    """Write lists of both shapes beside their photographs, names of people and notes of masks."""
    make_people(folder)
    rows = [f"{number}\t{number // 2}\t{name}\n" for number, name in enumerate(NAMES)]
    (folder / "train.lst").write_text("".join(rows), "utf-8")
    (folder / "train.lst.people.txt").write_text("Ann\nBob\n", "utf-8")
    rows = [f"{name}\tperson {number // 2}\n" for number, name in enumerate(NAMES)]
    (folder / "train.txt").write_text("".join(rows), "utf-8")


def read_image_lists(folder: Path) -> None:
    """Read both, one after the other."""
    _read_each(read_training_set, [folder / "train.lst", folder / "train.txt"])


def _read_each(read, paths) -> None:
    """Read several files; the first error is raised when all were read."""
    from mfr_kit.errors import KitError

    refused = []
    for path in paths:
        try:
            read(path)
        except KitError as error:
            refused.append(error)
    if refused:
        raise refused[0]


def make_features(folder: Path) -> None:
    """Write features of four images in each binary format."""
    from mfr_kit.submission.features import lfr, megaface

    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    lfr.write(folder / "rows.bin", NAMES, rows)
    megaface.write(folder / "rows.megaface", NAMES, rows)


def read_features(folder: Path) -> None:
    """Read them to the last number."""
    from mfr_kit.submission.features import lfr, megaface

    forms = {folder / "rows.bin": lfr, folder / "rows.megaface": megaface}
    _read_each(lambda path: np.asarray(forms[path].read(path, NAMES)).sum(), forms)


def make_layouts(folder: Path) -> None:
    """Write small IJB-C and MegaFace folders."""
    meta = folder / "meta"
    meta.mkdir()
    names = ("ijbc_face_tid_mid.txt", "ijbc_name_5pts_score.txt", "ijbc_template_pair_label.txt")
    points = " ".join(str(number) for number in range(10))
    rows = ((1, 1, 10), (2, 1, 11), (3, 4, 12), (4, 5, 13))
    (meta / names[0]).write_text("".join(f"{n}.jpg {t} {m}\n" for n, t, m in rows))
    (meta / names[1]).write_text("".join(f"{row[0]}.jpg {points} 0.5\n" for row in rows))
    (meta / names[2]).write_text("1 4 0\n1 1 1\n4 5 0\n")
    for part, lines in (("gallery_G1", "1,7"), ("gallery_G2", "4,8"), ("probe_mixed", "5,7")):
        (meta / f"ijbc_1N_{part}.csv").write_text(f"TEMPLATE_ID,SUBJECT_ID\n{lines},x\n")
    for name in NAMES:
        for part in ("facescrub_images", "megaface_images"):
            (folder / part / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / part / name).write_bytes(b"x")
    (folder / "facescrub_lst").write_text("\n".join(NAMES))
    (folder / "megaface_noises.txt").write_text("# noise\n1.jpg\n")


def read_layouts(folder: Path) -> None:
    """Open both layouts, and the searches of the first."""
    from mfr_kit.data.verification_sets import ijb, megaface

    def read_ijb(path: Path) -> None:
        found = ijb.open_layout(path)
        ijb.open_searches(path, "ijbc", found.templates)
        [found.photo(row) for row in range(len(found.names))]

    reads = {"ijb": read_ijb, "megaface": megaface.open_layout}
    _read_each(lambda name: reads[name](folder), reads)


def make_masks(folder: Path) -> None:
    """Copy the smallest looks and the mix of the shipped library, and two tracks."""
    from mfr_kit.masks import library
    from mfr_kit.submission import tracks

    for name in ("grey.toml", "noise.toml", "mix.toml"):
        (folder / "masks").mkdir(exist_ok=True)
        shutil.copy(library.FOLDER / name, folder / "masks")
    for name in ("ms1m.toml", "webface260m.toml"):
        (folder / "tracks").mkdir(exist_ok=True)
        shutil.copy(tracks.FOLDER / name, folder / "tracks")


def read_masks(folder: Path) -> None:
    """Draw from the library, and describe the tracks."""
    from mfr_kit.masks import library
    from mfr_kit.seeding import rng_for
    from mfr_kit.submission import tracks

    def draw(path: Path) -> None:
        found = library.load(library.names(path), path)
        for number in range(2):
            found.draw(rng_for(0, number))

    def describe(path: Path) -> None:
        for name in tracks.names(path):
            tracks.describe(tracks.load(name, path))

    reads = {folder / "masks": draw, folder / "tracks": describe}
    _read_each(lambda path: reads[path](path), reads)


def make_reports(folder: Path) -> None:
    """Write the reports of two models of one set."""
    import mfr_kit as mk
    from tests.conftest import write_faceset

    faces = write_faceset(folder / "set", 3, 2)
    rows = np.random.default_rng(0).normal(size=(2, len(faces), 4)).astype(np.float32)
    for name, embeddings in zip("ab", rows, strict=True):
        (folder / name).mkdir()
        np.save(folder / "set" / f"{name}.npy", embeddings)
        model = folder / "set" / f"{name}.npy"
        found = mk.evaluate(model, folder / "set", far=[0.1], resamples=10)
        (folder / name / "report.json").write_text(json.dumps(found.to_dict()), "utf-8")
    shutil.rmtree(folder / "set")


def read_reports(folder: Path) -> None:
    """Merge both and print them, and take the thresholds of one."""
    from mfr_kit.evaluation.report import exports, merged, text
    from mfr_kit.submission import card

    def merge(path: Path) -> None:
        found = merged.merge(path, folder / "b")[0]
        text.text(found), exports.markdown(found), list(exports.rows(found))

    def points(path: Path) -> None:
        known = json.loads((path / "report.json").read_text("utf-8"))["models"][0]["fingerprint"]
        card.points_in_report(path / "report.json", known)

    _read_each(merge, [folder / "a"])
    points(folder / "a")


def pictures(folder: Path) -> dict[str, bytes]:
    """Give a small picture in each format that the kit decodes, grey and 16-bit ones too."""
    import io

    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 255, (24, 20, 3), np.uint8)
    colour, found = Image.fromarray(pixels), {}
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind, suffix, more in (
        ("JPEG", ".jpg", {"exif": exif}),
        ("PNG", ".png", {"exif": exif}),
        ("GIF", ".gif", {"save_all": True, "append_images": [Image.new("RGB", colour.size)]}),
        ("WEBP", ".webp", {}),
        ("BMP", ".bmp", {}),
        ("TIFF", ".tif", {}),
        ("PPM", ".ppm", {}),
    ):
        out = io.BytesIO()
        colour.save(out, kind, **more)
        found[f"colour{suffix}"] = out.getvalue()
    for mode, name in (("L", "grey.jpg"), ("CMYK", "cmyk.jpg"), ("P", "palette.png")):
        out = io.BytesIO()
        colour.convert(mode).save(out, "JPEG" if name.endswith("jpg") else "PNG")
        found[name] = out.getvalue()
    out = io.BytesIO()
    colour.save(out, "JPEG", progressive=True)
    return {**found, "progressive.jpg": out.getvalue()}


def read_picture(path: Path, number: int) -> None:
    """Read a picture as a photograph."""
    from mfr_kit.data.images import read_picture

    found = read_picture(path)
    assert found.image.ndim == 3 and found.image.dtype == np.uint8
    assert found.width and found.height and found.matrix.shape == (2, 3) and found.note is not None


FORMATS = {
    "webdataset": Campaign(
        make_webdataset,
        lambda folder: read_training_set(folder / "set.tar"),
        {"set.tar": (damage.bytes_of, *(format_damage.tar_file,) * 3)},
    ),
    "hf-parquet": Campaign(
        make_hf_parquet,
        read_hf_parquet,
        {"set/**/*.parquet": (damage.bytes_of, damage.parquet_file, damage.parquet_file)},
    ),
    "image lists": Campaign(
        make_image_lists, read_image_lists, {"train.*": (*TEXT, damage.lines_of, damage.csv_of)}
    ),
    "features": Campaign(
        make_features,
        read_features,
        {
            "rows.bin": (format_damage.matrix_file,),
            "rows.megaface/*/*": (format_damage.matrix_file,),
        },
    ),
    "layouts": Campaign(
        make_layouts,
        read_layouts,
        {"meta/*": TEXT, "*_lst": TEXT, "*_noises.txt": TEXT, "meta/*.csv": (damage.csv_of,)},
    ),
    "masks and tracks": Campaign(
        make_masks, read_masks, {"*/*.toml": (*TEXT, *(damage.toml_of,) * 4)}
    ),
    "reports": Campaign(
        make_reports, read_reports, {"*/report.json": (damage.bytes_of, *(damage.json_of,) * 4)}
    ),
    "weights": Campaign(
        model_files.make_weights,
        model_files.read_weights,
        {"weights.pth": (damage.bytes_of, damage.torch_file)},
    ),
}
