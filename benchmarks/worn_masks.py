"""Where worn masks differ from drawn ones: what both do to detection, alignment and pixels, and
which of it goes with errors.

    python benchmarks/worn_masks.py OUT [--page docs/reference/worn_masks.md]

Looks at LFW's validation people bare and under masks of the kit's library drawn on the photograph,
at the views that `configs/adapt_sface.toml` trains on, at the unlabelled people of `worn/`, and at
rmfrd-dev's bare and masked photographs, all in MFR_KIT_DATA; the views' faces come from
MFR_KIT_SETS/train, SFace's errors from MFR_KIT_SETS/rmfrd. rmfrd-dev is looked at and reported;
nothing here is chosen on it.

Prints the tables, writes them between the marks of `--page`, and into OUT (never into the project)
what was measured, sheets of faces from the lowest to the highest value of each measure, and
`worn_drifts.csv` for `--drift-table`. A population that OUT has is not measured again. Minutes on
two cores that are free.
"""

import argparse
import functools
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import face_measures, worn_tables
from mfr_kit import files
from mfr_kit.data.alignment.align import warp
from mfr_kit.data.alignment.align_photo import align
from mfr_kit.data.alignment.detect import load_detector
from mfr_kit.data.alignment.detection import Detection, pick_face, same_face
from mfr_kit.data.alignment.robust import Robust
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.images import encode, read_rgb
from mfr_kit.data.lists import read_names
from mfr_kit.masks import library, preview
from mfr_kit.masks.render import from_library
from mfr_kit.options import load
from mfr_kit.seeding import key_of, rng_for
from mfr_kit.training.options import distill_options
from mfr_kit.training.views import drift
from mfr_kit.training.views.view import Views

FACES, WORN, VIEWS, TILES = 250, 300, 300, 32  # photographs of LFW, of worn/; views; of a sheet
Rows = list[dict]
# a photograph's key, its pixels, its face (None: not found), coverage of a drawn mask
Seen = Iterator[tuple[str, np.ndarray, Detection | None, np.ndarray | None]]


class Detectors:
    """The usual detector, and the one that looks again."""

    def __init__(self) -> None:
        self.plain = load_detector()
        self.robust = Robust(self.plain)

    def find(self, image: np.ndarray) -> Detection | None:
        """The face that a photograph is about, as plain alignment sees it."""
        return pick_face(self.plain.detect(image), image.shape[:2])


def photographs(folder: Path, pattern: str, detectors: Detectors, most: int = 1 << 30) -> Seen:
    """Yield the photographs below a folder, or `most` of them."""
    paths = sorted(folder.glob(pattern))
    for path in paths[:: max(1, len(paths) // most)]:
        image = read_rgb(path)
        yield path.relative_to(folder).as_posix(), image, detectors.find(image), None


def of_validation_people(data: Path, detectors: Detectors, masked: bool) -> Seen:
    """Yield LFW's validation people, with a mask drawn on the photograph or without; of what is
    not found bare nothing is drawn.
    """
    people = sorted(read_names(data / "lfw" / "val.txt"))
    put_on = from_library(library.load_cached(None))
    paths = [path for name in people for path in sorted((data / "lfw/images" / name).iterdir())]
    for path in paths[:: max(1, len(paths) // FACES)]:
        image = read_rgb(path)
        face = detectors.find(image)
        if not masked or face is None:
            yield path.name, image, face, None
            continue
        drawn, coverage, _ = put_on(image, face.points, rng_for(0, key_of(path.name)))
        yield path.name, drawn, same_face(detectors.plain.detect(drawn), face), coverage


def measure(seen: Seen, detectors: Detectors) -> tuple[Rows, list[np.ndarray]]:
    """Measure photographs: a row each, and the aligned faces of those that were found."""
    rows, faces = [], []
    for key, image, face, coverage in seen:
        if face is None:
            rows.append({"key": key, "found": False})
            continue
        aligned = align(image, face)
        looks = face_measures.scatter(detectors.robust, image, face)
        yaw, pitch = face_measures.head_turn(looks.landmarks)
        row = {
            "key": key,
            "found": True,
            "score": face.score,
            "similarity": face_measures.as_row(aligned.matrix).tolist(),
            "drifts": looks.drifts.tolist(),
            "moved": looks.moved_px,
            "lost": looks.lost,
            "yaw": yaw,
            "pitch": pitch,
            "eyes": face_measures.EYES_PX / float(np.hypot(*aligned.matrix[:, 0])),
            "beyond": face_measures.beyond_photo(image, aligned.matrix),
            **of_pixels(aligned.image),
        }
        if coverage is not None:
            true = warp(coverage[..., None].repeat(3, axis=2), aligned.matrix)[..., 0] > 127
            row |= {"true_edge": face_measures.upper_edge(true)}
            row |= {"true_covered": face_measures.covered_share(true)}
        rows.append(row)
        faces.append(aligned.image)
    return rows, faces


def of_pixels(face: np.ndarray) -> dict[str, float]:
    """What an aligned face itself tells."""
    unlike = face_measures.unlike_skin(face)
    return {
        "detail": face_measures.detail_side(face),
        "covered": face_measures.covered_share(unlike),
        "edge": face_measures.upper_edge(unlike),
        **face_measures.light(face),
    }


def measure_views(sets: Path) -> tuple[Rows, list[np.ndarray]]:
    """Measure masked views of LFW's training people as the shipped recipe draws them."""
    faces = FaceSet.open(sets / "train")
    given = {"data": sets / "train", "out": Path("-"), "steps": 1}
    recipe = load(distill_options(), Path("configs/adapt_sface.toml"), given).recipe
    views = Views(
        replace(recipe, mask_ratio=1.0), library.load_cached(None), drift.measure_twins(faces)
    )
    clean, rows, shown = faces.clean(), [], []
    for number in np.linspace(0, len(clean) - 1, VIEWS).astype(int):
        rng = rng_for(0, key_of(str(clean.keys[number])))
        image = views.draw(clean.image(number), clean.points(number), rng).image
        rows.append({"key": str(clean.keys[number]), "found": True, **of_pixels(image)})
        shown.append(image)
    return rows, shown


def remember(
    out: Path, name: str, make: Callable[[], tuple[Rows, list[np.ndarray]]]
) -> tuple[Rows, np.ndarray]:
    """Measure a population, or read what OUT has of it."""
    table, pixels = out / f"{name}.json", out / f"{name}.npy"
    if not table.is_file():
        rows, faces = make()
        np.save(pixels, np.stack(faces))
        files.write_json(table, rows)
        print(f"{name}: {len(rows)} photographs", file=sys.stderr, flush=True)
    return json.loads(table.read_text()), np.load(pixels)


def populations(out: Path, data: Path, sets: Path) -> dict[str, tuple[Rows, np.ndarray]]:
    """Measure all, each by its name in the tables."""
    detectors, press, worn = Detectors(), data / "rmfrd-dev", data / "worn"
    makers: dict[str, Callable[[], Seen | None]] = {
        "rmfrd_masked": lambda: photographs(press, "*/masked/*.jpg", detectors),
        "worn": lambda: photographs(worn, "**/*.jpg", detectors, WORN),
        "rmfrd_bare": lambda: photographs(press, "*/bare/*.jpg", detectors),
        "lfw_bare": lambda: of_validation_people(data, detectors, False),
        "lfw_drawn": lambda: of_validation_people(data, detectors, True),
        "views": lambda: None,
    }

    def make(name: str) -> tuple[Rows, list[np.ndarray]]:
        seen = makers[name]()
        return measure_views(sets) if seen is None else measure(seen, detectors)

    return {name: remember(out, name, functools.partial(make, name)) for name in makers}


def write_sheets(out: Path, found: dict[str, tuple[Rows, np.ndarray]]) -> None:
    """Show each population from the lowest to the highest value of each measure."""
    for name, (rows, faces) in found.items():
        known = [row for row in rows if row["found"]]
        for measure_name in ("moved", "beyond", "detail", "yaw", "edge", "lower_brighter"):
            if measure_name not in known[0]:
                continue
            order = np.argsort([row[measure_name] for row in known], kind="stable")
            chosen = order[np.linspace(0, len(order) - 1, TILES).astype(int)]
            sheet = preview.grid([faces[number] for number in chosen], 8)
            files.write_bytes(out / f"{name}-{measure_name}.png", encode(sheet, ".png"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for measures and pictures")
    parser.add_argument("--page", type=Path, help="page whose tables are written anew")
    given = parser.parse_args()
    for name in ("MFR_KIT_DATA", "MFR_KIT_SETS"):
        if not Path(os.environ.get(name, "-")).is_dir():
            parser.error(f"{name} does not name a folder (docs/guides/ablations.md)")
    data, sets = Path(os.environ["MFR_KIT_DATA"]), Path(os.environ["MFR_KIT_SETS"])
    given.out.mkdir(parents=True, exist_ok=True)
    found = populations(given.out, data, sets)
    write_sheets(given.out, found)
    twins = drift.measure_twins(FaceSet.open(sets / "train"))
    if twins is None:
        parser.error(f"{sets / 'train'} has too few twins (docs/guides/ablations.md)")
    looks = (worn_tables.drifts_of(found[name][0]) for name in ("worn", "lfw_drawn"))
    drift.write_table(given.out / "worn_drifts.csv", worn_tables.transfer(*looks, twins))
    tables = worn_tables.all_tables(found, twins, FaceSet.open(sets / "rmfrd"))
    print("\n\n".join(f"{name}\n\n{text}" for name, text in tables.items()))
    if given.page:
        files.write_text(given.page, worn_tables.fill(given.page.read_text(), tables))


if __name__ == "__main__":
    main()
