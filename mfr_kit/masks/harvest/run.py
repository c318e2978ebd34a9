"""Harvest a folder of photographs: a mask library, a list of what was left out and why, and contact
sheets.
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mfr_kit import files, spreadsheet
from mfr_kit.data.alignment import align_photo
from mfr_kit.data.alignment.detect import load_detector
from mfr_kit.data.alignment.detection import Detector
from mfr_kit.data.alignment.face_choice import ALL
from mfr_kit.data.images import NoImage, encode, read_picture
from mfr_kit.data.photographs.folder_tree import FolderTree, readable
from mfr_kit.errors import KitError
from mfr_kit.masks import library
from mfr_kit.masks.harvest import sheet, write_look
from mfr_kit.masks.harvest.face import Harvested, Repeats, harvest_face
from mfr_kit.masks.options import HarvestOptions
from mfr_kit.progress import step_through

LIST, SHEETS = "harvest.csv", "sheets"
_COLUMNS = ("source", "face", "look", "reason", "detail")


@dataclass
class Result:
    """What came of it.

    Args:
        out: the folder written.
        looks: names of the looks.
        refused: how many faces or files were left out, by reason.
    """

    out: Path
    looks: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    def summary(self) -> str:
        """The result in a few lines."""
        lines = [f"{len(self.looks)} looks in {self.out} ({LIST}: every face; {SHEETS}/: look!)"]
        lines += [f"{count:6} {reason}" for reason, count in self.refused.most_common()]
        return "\n".join(lines)


def harvest(options: HarvestOptions) -> Result:
    """Take the masks off the faces of a folder's photographs and write them as a mask library.

    Raises:
        KitError: no such folder, OUT exists, no detector, or not one mask was found.
    """
    if not options.photos.is_dir():
        what = "a file" if options.photos.exists() else "missing"
        raise KitError(f"PHOTOS {options.photos} is {what}: give a folder of photographs")
    result, rows = Result(options.out), []
    with files.building(options.out) as folder:
        sources: dict[str, np.ndarray] = {}
        for row, harvested in _masks_of(options.photos, load_detector(robust=True)):
            if harvested is not None:
                write_look.write_look(folder, row["look"], harvested, options.licence)
                sources[row["look"]] = sheet.show_source(harvested)
            else:
                result.refused[row["reason"]] += 1
            rows.append(row)
        if not sources:
            found = ", ".join(f"{count} {why}" for why, count in result.refused.most_common())
            raise KitError(f"{options.photos}: no mask to harvest ({found or 'it is empty'})")
        result.looks = list(sources)
        spreadsheet.write_table(folder / LIST, _COLUMNS, rows)
        _write_sheets(folder, sources)
        if options.kit_share:
            _add_kit(folder, options.kit_share)
    return result


def _masks_of(
    photos: Path, detector: Detector
) -> Iterator[tuple[dict[str, str], Harvested | None]]:
    """Give a row for every face, and every file without one, and the mask where there is one."""
    listing, known = FolderTree(photos).walk(), Repeats()
    for skipped in listing.skipped:
        if skipped.reason != "hidden":
            yield _row(skipped.source, "", reason=skipped.reason, detail=skipped.detail), None
    number = 0
    for name in step_through(listing.files, "harvesting", "photographs"):
        try:
            view, faces = align_photo.find(read_picture(photos / name), detector, rule=ALL)
        except NoImage as error:
            yield _row(name, "", reason=error.reason), None
            continue
        if not faces:
            yield _row(name, "", reason="no_face"), None
        for index, face in enumerate(faces):
            found = harvest_face(view.image, face.points)
            if isinstance(found, str):
                yield _row(name, str(index), reason=found), None
            elif same := known.find(found):
                yield _row(name, str(index), reason="repeated", detail=same), None
            else:
                number += 1
                look = f"{write_look.KIND}-{number:05d}"
                known.add(look, found)
                yield _row(name, str(index), look=look), found


def _row(source: str, face: str, look: str = "", reason: str = "", detail: str = "") -> dict:
    values = (readable(source), face, look, reason, detail)
    return dict(zip(_COLUMNS, values, strict=True))


def _write_sheets(folder: Path, sources: dict[str, np.ndarray]) -> None:
    looks, names = library.load(list(sources), folder), list(sources)
    for page, first in enumerate(range(0, len(names), sheet.LOOKS), 1):
        shown = {name: sources[name] for name in names[first : first + sheet.LOOKS]}
        path = folder / SHEETS / f"{page:03d}.jpg"
        files.write_bytes(path, encode(sheet.make(looks, shown)))


def _add_kit(folder: Path, share: float) -> None:
    """Put the kit's own masks beside the harvested ones, to be drawn with this share."""
    for path in sorted(library.FOLDER.glob("*.toml")):
        if path.name != library.MIX:
            shutil.copyfile(path, folder / path.name)
    for path in sorted((library.FOLDER / "textures").glob("*.png")):
        shutil.copyfile(path, folder / "textures" / path.name)
    text = (library.FOLDER / library.MIX).read_text(encoding="utf-8")
    total = sum(library.load().mix.kinds.values())
    frequency = total * (1 - share) / share
    head, table, rest = text.partition("[kinds]\n")
    line = f"{write_look.KIND} = {frequency:.6g} # the kit's own masks keep {100 * share:g} %\n"
    files.write_text(folder / library.MIX, f"{head}{table}{line}{rest}")
