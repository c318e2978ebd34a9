"""MegaFace's layout: FaceScrub photographs as probes, a million distractors, and lists of what to
leave out.

ROOT/facescrub_images/<person>/<photo>   ROOT/megaface_images/<part>/<album>/<photo>
ROOT/facescrub_lst, megaface_lst         paths below those folders; without a list, every image
ROOT/facescrub_noises.txt, megaface_noises.txt   names to leave out; # begins a comment; optional
"""

import os
from dataclasses import dataclass
from pathlib import Path

from mfr_kit.data.images import SUFFIXES
from mfr_kit.data.named_files import refuse_outside
from mfr_kit.data.photographs.folder_tree import FolderTree
from mfr_kit.data.text_lines import read_lines
from mfr_kit.errors import KitError


@dataclass(frozen=True)
class MegaFace:
    """Paths below ROOT's two image folders."""

    root: Path
    probes: list[str]  # below facescrub_images; the first folder is the person
    distractors: list[str]  # below megaface_images

    @property
    def probe_people(self) -> list[str]:
        """The person of each probe."""
        return [name.partition("/")[0] for name in self.probes]


def open_layout(root: Path) -> MegaFace:
    """List probes and distractors.

    Raises:
        KitError: a folder is missing or empty, or a list names what is not there.
    """
    return MegaFace(Path(root), _part(Path(root), "facescrub"), _part(Path(root), "megaface"))


def feature_name(image: str, algorithm: str) -> str:
    """Where the development kit looks for an image's feature below the feature folder: folders
    kept, `<image>_<algorithm>.bin`.
    """
    return f"{image}_{algorithm}.bin"


def _part(root: Path, part: str) -> list[str]:
    folder, listing, noises = (
        root / f"{part}_images",
        root / f"{part}_lst",
        root / f"{part}_noises.txt",
    )
    if not folder.is_dir():
        raise KitError(
            f"{folder} is missing: MegaFace's layout is described in docs/reference/formats.md"
        )
    if listing.exists():
        numbered = _lines(listing)
        refuse_outside(numbered, folder, listing, "")
        names = [name for _, name in numbered]
    else:
        listed = FolderTree(folder).walk()
        skipped = next((row for row in listed.skipped if row.reason != "hidden"), None)
        if skipped is not None:
            raise KitError(
                f"{folder / skipped.source}: {skipped.reason} ({skipped.detail}); mend or remove it"
            )
        names = [name for name in listed.files if Path(name).suffix.lower() in SUFFIXES]
    left_out = {name for _, name in _lines(noises)} if noises.exists() else set()
    kept = [
        name for name in names if name not in left_out and name.rpartition("/")[2] not in left_out
    ]
    gone = (
        next((name for name in kept if not os.path.isfile(folder / name)), None)
        if listing.exists()
        else None
    )
    if gone or not kept:
        raise KitError(
            f"{listing}: {gone[:200]} is not in {folder}" if gone else f"{folder} holds no images"
        )
    return kept


def _lines(path: Path) -> list[tuple[int, str]]:
    lines = enumerate(read_lines(path, "the list of images"), 1)
    return [(number, line.strip()) for number, line in lines if line.strip() and line[0] != "#"]
