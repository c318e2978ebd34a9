"""A folder of people's folders: `SET/<person>/.../<photo>`, masked faces in
`SET/<person>/masked/` or called `photo.masked.jpg`.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mfr_kit import files
from mfr_kit.data.face_set.faceset_files import SKIPPED_COLUMNS
from mfr_kit.data.formats import hf_parquet, webdataset
from mfr_kit.data.images import is_image_file, read_image_file
from mfr_kit.data.photographs.folder_checks import refuse_set, survey
from mfr_kit.data.photographs.layout import lay_out
from mfr_kit.data.photographs.masked_names import says_masked
from mfr_kit.data.photographs.photos import Photo, find_people
from mfr_kit.data.training_set import TrainingSet, from_names


def recognises(path: Path) -> bool:
    """A folder that no other format claims."""
    return (
        path.is_dir()
        and not (path / "faces.parquet").exists()
        and not any(item.suffix.lower() == ".rec" for item in path.iterdir() if item.is_file())
        and not any(other.recognises(path) for other in (hf_parquet, webdataset))
    )


def open_set(path: Path, level: int | None = None) -> TrainingSet:
    """List the image files of every person's folder, sorted; everything else that lies there is
    among the `skipped`.

    Args:
        path: the folder.
        level: folder levels above a person's folder; None: none, and what looks deeper is refused.
    Raises:
        KitError: no folder of people's folders, or a level too high; or it holds a face set.
    """
    refuse_set(path)
    found, photos, skipped = find_people(path, level or 0), [], []

    def visit(entry: Photo) -> None:
        if entry.reason:
            skipped.append(_row(entry, entry.reason, entry.detail))
        elif is_image_file(path / entry.source):
            photos.append(entry)
        else:
            skipped.append(_row(entry, "not_an_image", f"suffix '{Path(entry.source).suffix}'"))

    seen = survey(found, found.homes, guess=level is None, visit=visit)
    skipped += ({**dict.fromkeys(SKIPPED_COLUMNS, ""), **item._asdict()} for item in found.beside)
    names = [photo.source for photo in photos]
    masked = [photo.condition == "mask" or says_masked(Path(photo.source).name) for photo in photos]
    people = [photo.identity for photo in photos]
    source = from_names(path, people, names, _Images(path, names), np.array(masked, bool))
    return replace(source, skipped=tuple(skipped), remarks=tuple(seen.lines(path)))


@dataclass(frozen=True)
class _Images:
    """The `encoded` of a folder; what is no image by its first bytes or its suffix is not read
    to its end.
    """

    folder: Path
    names: list[str]

    def __call__(self, index: int) -> bytes:
        return read_image_file(self.folder / self.names[index])


def _row(entry: Photo, reason: str, detail: str) -> dict:
    return {
        "source": entry.source,
        "identity": entry.identity,
        "condition": entry.condition or "nonmask",
        "clean_key": "",
        "reason": reason,
        "detail": detail,
    }


def write_set(path: Path, source: TrainingSet) -> None:
    """Write every photograph, bytes unchanged, to `path/<person>/<name>`; masked faces to names
    that say so.
    """
    with files.building(path) as temporary:
        for _, _, name, data in lay_out(source):
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
