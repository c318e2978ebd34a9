"""The face set: aligned faces, one row each in `faces.parquet`, that `augment` writes and
everything else reads.
"""

import functools
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mfr_kit.data import lists
from mfr_kit.data.face_set.faceset_files import (
    ABOUT,
    ALIGNED,
    MASK,
    NO_FACE,
    NONMASK,
    ROWS,
    SKIPPED,
    SKIPPED_COLUMNS,
)
from mfr_kit.data.face_set.fingerprint import fingerprint_of
from mfr_kit.data.face_set.rows import (
    Rows,
    TableRows,
    among,
    as_matrix,
    as_objects,
    have_rows,
    rows_of,
)
from mfr_kit.data.face_set.set_folder import count_rows, locate, read_set
from mfr_kit.data.face_set.storage import Records, rec_path
from mfr_kit.data.images import decode_rgb
from mfr_kit.data.named_files import read_named
from mfr_kit.errors import KitError

__all__ = ["ABOUT", "ALIGNED", "MASK", "NONMASK", "NO_FACE", "ROWS"]
__all__ += ["SKIPPED", "SKIPPED_COLUMNS", "FaceSet"]


class FaceSet:
    """The faces of a set, or a selection of them; images are read when asked for.

    A map-style dataset: `torch.utils.data.DataLoader(FaceSet(folder), batch_size=64)` gives
    batches of (B, 112, 112, 3) uint8 images and (B,) labels, with any number of workers.

    Args:
        folder: of the set, as `augment` writes it; path or text, also a URL (remote.py).
        rows: a table in `SCHEMA`, or rows of a set; None for the set's own, with all that lies
            beside them.
        skipped: rows in `SKIPPED_COLUMNS` of the photographs that gave no face.
        about: what `faceset.json` says.
        records: of a set of records, what reads them; shared by the selections of a set.
        transform: is given each (112, 112, 3) uint8 RGB face that is indexed; its result is shown.
    Raises:
        KitError: no `faces.parquet` there, or a file of the set that is damaged, of another shape,
            or of another set.
    Example:
        >>> drawn = mk.draw_face_set(tmp / "faces", people=2, photos=2)
        >>> faces = mk.FaceSet(tmp / "faces", transform=lambda image: image.shape)
        >>> faces[3], faces.labels
        (((112, 112, 3), 1), array([0, 0, 1, 1]))
        >>> faces.of_people(["person-001"]).sources.tolist()
        ['person-001/00.jpg', 'person-001/01.jpg']
    """

    def __init__(
        self,
        folder: str | Path,
        rows: pa.Table | Rows | None = None,
        skipped: list[dict] | None = None,
        about: dict | None = None,
        records: Records | None = None,
        *,
        transform: Callable[[np.ndarray], Any] | None = None,
    ) -> None:
        self.folder = Path(folder) if rows is not None else locate(folder)
        self.transform = transform
        if rows is None:
            rows, skipped, about, records = read_set(self.folder)
        self._rows = TableRows(rows) if isinstance(rows, pa.Table) else rows
        self.skipped, self.about = skipped or [], about or {}
        self._records = records

    @classmethod
    def open(cls, folder: str | Path) -> "FaceSet":
        """The same as `FaceSet(folder)`."""
        return cls(folder)

    @property
    def table(self) -> pa.Table:
        """All columns of `SCHEMA`, read into memory."""
        return self._rows.table

    @table.setter
    def table(self, table: pa.Table) -> None:
        self._rows = TableRows(table)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Return a face and its label.

        Args:
            index: from -len to len - 1.
        Returns:
            (112, 112, 3) uint8 RGB, or what `transform` makes of it; and the label.
        Raises:
            IndexError: out of range, as loops over a sequence need it.
            KitError: the image is gone or damaged.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"face {index} of a set of {len(self)}")
        row = int(index) % len(self)
        image = self.image(row)
        return image if self.transform is None else self.transform(image), int(self.codes[row])

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """(N,) int64 0 .. C-1: the people of this selection who have a face, numbered in
        alphabetical order.
        """
        return self.codes.astype(np.int64)

    @functools.cached_property
    def codes(self) -> np.ndarray:
        """(N,) int32, read-only: `labels` in half the memory, or none."""
        present = self._present
        if present.all():
            return self._rows.codes
        return (np.cumsum(present, dtype=np.int32) - 1)[self._rows.codes]

    @property
    def names(self) -> list[str]:
        """(C,) the people of this selection who have a face, in alphabetical order."""
        return self._rows.names.filter(pa.array(self._present)).to_pylist()

    @property
    def identity_count(self) -> int:
        """How many people of this selection have a face."""
        return int(self._present.sum())

    @functools.cached_property
    def _present(self) -> np.ndarray:
        return have_rows(self._rows)

    @property
    def name(self) -> str:
        """The folder's name, for reports."""
        return self.folder.resolve().name

    @functools.cached_property
    def keys(self) -> np.ndarray:
        """(N,) paths of the images inside the set; names only, where the images are records."""
        return self._column("key")

    @functools.cached_property
    def sources(self) -> np.ndarray:
        """(N,) paths of the photographs inside the folder they came from."""
        return self._column("source")

    @functools.cached_property
    def identities(self) -> np.ndarray:
        """(N,) names."""
        return np.array(self._rows.names.to_pylist(), object)[self._rows.codes]

    @functools.cached_property
    def conditions(self) -> np.ndarray:
        """(N,) `NONMASK` or `MASK`."""
        return np.array([NONMASK, MASK], object)[self.masked.view(np.int8)]

    @property
    def masked(self) -> np.ndarray:
        """(N,) bool: the face wears a mask, drawn or real."""
        return self._rows.masked

    @functools.cached_property
    def clean_keys(self) -> np.ndarray:
        """(N,) of a masked twin the key of its clean face, else ""."""
        return self._column("clean_key")

    @property
    def clean_rows(self) -> np.ndarray | None:
        """(N,) int64: a twin's clean face, -2 if that is not here, else -1; None without twins."""
        return self._rows.clean_rows

    @functools.cached_property
    def masks(self) -> np.ndarray:
        """(N,) JSON of the drawn masks' parameters, "" without one."""
        return self._column("mask")

    @functools.cached_property
    def scores(self) -> np.ndarray:
        """(N,) float32 detector confidences."""
        return self._rows.column("score").to_numpy()

    @functools.cached_property
    def similarities(self) -> np.ndarray:
        """(N, 4) float64 a, b, tx, ty of the matrices [[a, -b, tx], [b, a, ty]] from photographs
        to aligned frames.
        """
        return as_matrix(self._rows.column("similarity"), 4)

    @property
    def people(self) -> list[str]:
        """The names in this selection, sorted; with those of whom no face was found."""
        return sorted([*self.names, *self._faceless()])

    def _faceless(self) -> set[str]:
        """The people of whom there are skipped photographs only."""
        skipped = {row["identity"] for row in self.skipped if row["identity"]}
        return skipped - among(self._rows, skipped)

    @property
    def counts(self) -> dict[str, int]:
        """Faces, twins and skipped photographs, as `faceset.json` counts them."""
        return count_rows(self._rows, self.skipped)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names, conditions, masks and image digests of the rows: equal for equal
        faces, wherever the set lies. A replaced image counts as what it is now (see content.py).
        """
        return fingerprint_of(self.folder, self._rows, self.skipped, self.encoded)

    def points(self, index: int) -> np.ndarray:
        """(K, 2) float32 landmarks of a face in its aligned frame."""
        return self._rows.points(int(index))

    def encoded(self, index: int) -> bytes:
        """The image file of a face, as it is stored.

        Raises:
            KitError: it is not there any more, or the .rec is damaged.
        """
        if self._records is not None:
            return self._records.read(*self._rows.place(int(index)))
        return read_named(self.folder, self._rows.key(int(index)), self.folder / ROWS, hint="")

    def image(self, index: int) -> np.ndarray:
        """(112, 112, 3) uint8 RGB pixels of a face."""
        data = self.encoded(index)
        try:
            return decode_rgb(data, "")
        except KitError:  # only then its key is looked up
            return decode_rgb(data, self._where(int(index)))

    def _where(self, index: int) -> str:
        """Name a face's image in errors: its file, or its record."""
        key = self._rows.key(index)
        if self._records is None:
            return str(self.folder / key)
        place = self._rows.place(index)
        return f"{rec_path(self.folder, place.shard)}: key {place.record} ({key})"

    def select(self, rows: Sequence[int] | np.ndarray) -> "FaceSet":
        """Keep some rows, by index or by a boolean per row; the skipped photographs stay listed."""
        rows = np.asarray(rows)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        return self._with(self._rows.take(rows), self.skipped)

    def _with(self, rows: Rows, skipped: list[dict]) -> "FaceSet":
        return FaceSet(
            self.folder, rows, skipped, self.about, self._records, transform=self.transform
        )

    def clean(self) -> "FaceSet":
        """Keep the faces and skipped photographs without a mask: what a bank may hold."""
        skipped = [row for row in self.skipped if row["condition"] != MASK]
        return self._with(self._rows.clean(), skipped)

    def chosen(
        self, path: Path, what: str, allow_unknown: bool = False, may_be_empty: bool = False
    ) -> lists.Choice:
        """Look up whom of this selection a list names; people without a face count as found.

        Raises:
            KitError: see `lists.choose`.
        """
        return lists.choose(
            path,
            self.people,
            what,
            where=str(self.folder),
            root=Path(self.folder) / "faces",
            allow_unknown=allow_unknown,
            may_be_empty=may_be_empty,
        )

    def without_face(self) -> str:
        """Say of how many people of this selection only skipped photographs are known; "" if of
        none.
        """
        count = len(self._faceless())
        return f"; {count:,} of them without a face (skipped photographs only)" if count else ""

    def of_people(self, names: Iterable[str]) -> "FaceSet":
        """Keep some people, among the skipped photographs too."""
        wanted = set(names)
        skipped = [row for row in self.skipped if row["identity"] in wanted]
        return self._with(self._rows.take(rows_of(self._rows, wanted)), skipped)

    def without_people(self, names: Collection[str]) -> "FaceSet":
        """Leave some people out, and skipped photographs that are theirs or nobody's."""
        left_out = set(names)
        skipped = [
            row for row in self.skipped if row["identity"] and row["identity"] not in left_out
        ]
        if not left_out:
            return self._with(self._rows.people(), skipped)
        return self._with(self._rows.take(rows_of(self._rows, left_out, others=True)), skipped)

    def _column(self, name: str) -> np.ndarray:
        return as_objects(self._rows.column(name), distinct=name in ("key", "source"))
