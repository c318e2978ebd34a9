"""All that lies in the folder of a face set, read together."""

from pathlib import Path

from mfr_kit import remote
from mfr_kit.data.face_set.faceset_files import (
    ABOUT,
    ROWS,
    SKIPPED,
    compare_counts,
    read_about,
    read_faces,
    read_skipped,
)
from mfr_kit.data.face_set.mapped_rows import MappedRows
from mfr_kit.data.face_set.row_file import NO_TWIN, ROW_FILE, open_row_file
from mfr_kit.data.face_set.rows import Rows, TableRows
from mfr_kit.data.face_set.storage import Records
from mfr_kit.errors import KitError

OTHER_FORMATS = (".rec", ".txt", ".lst", ".tar", ".parquet")  # of training sets, one file each
GROUPS = "groups.csv"  # of a measurement, where it lies in the set's folder


def locate(folder: Path | str) -> Path:
    """Give the local folder of a set. Of a set behind a URL its tables are downloaded, its images
    are not.

    Raises:
        KitError: no face set there, or it cannot be read.
    """
    return remote.localise(folder, (ROWS, SKIPPED, ABOUT, ROW_FILE, GROUPS), ROWS)


def read_set(folder: Path) -> tuple[Rows, list[dict], dict, Records | None]:
    """Read what lies in a set's folder: its rows (mapped, where a row file belongs to them), the
    skipped photographs, what `faceset.json` says, and of a set of records what reads them.

    Raises:
        KitError: no face set, or a file of it that is damaged, of another shape, or of another set.
    """
    if not (folder / ROWS).is_file():
        raise KitError(f"{folder} is not a face set (no {ROWS} in it): {_remedy(folder)}")
    skipped, about = read_skipped(folder), read_about(folder)
    file = open_row_file(folder, about)
    rows = TableRows(read_faces(folder, skipped)) if file is None else MappedRows(file)
    compare_counts(folder, count_rows(rows, skipped), about)
    return rows, skipped, about, Records(folder) if rows.in_records else None


def _remedy(path: Path) -> str:
    """Say what makes a face set of what lies there."""
    faces = path.with_name(f"{path.stem}-faces")
    if path.suffix.lower() in OTHER_FORMATS and path.exists():
        return f"turn it into one with `python kit.py convert {path} {faces} --to face-set`"
    if path.is_file():
        return "give the folder that holds one"
    if path.is_dir() and any(path.glob("*.rec")):
        return f"turn it into one with `python kit.py convert {path} {faces} --to face-set`"
    if path.is_dir() and any(path.iterdir()):
        return f"of people's photographs `python kit.py augment {path} {faces}` makes one"
    there = "" if path.exists() else "there is no such folder; "
    return f"{there}`python kit.py augment PHOTOS {path}` makes one"


def count_rows(rows: Rows, skipped: list[dict]) -> dict[str, int]:
    """Count clean and really masked faces, twins, and skipped photographs, as `faceset.json`
    does.
    """
    clean = rows.clean_rows
    twins = 0 if clean is None else int((clean != NO_TWIN).sum())
    return {"faces": len(rows) - twins, "twins": twins, "skipped": len(skipped)}
