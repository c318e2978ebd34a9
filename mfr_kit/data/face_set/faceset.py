"""The face set: aligned faces, one row each in `faces.parquet`, that `augment` writes and
everything else reads.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
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
    count_rows,
    read_set,
)
from mfr_kit.data.face_set.fingerprint import fingerprint_of
from mfr_kit.data.face_set.storage import Records, rec_path
from mfr_kit.data.images import decode_rgb
from mfr_kit.errors import KitError

__all__ = [
    "ABOUT",
    "ALIGNED",
    "MASK",
    "NONMASK",
    "NO_FACE",
    "ROWS",
    "SKIPPED",
    "SKIPPED_COLUMNS",
    "FaceSet",
]


class FaceSet:
    """The faces of a set, or a selection of them; images are read when asked for.

    A map-style dataset: `torch.utils.data.DataLoader(FaceSet(folder), batch_size=64)` gives
    batches of (B, 112, 112, 3) uint8 images and (B,) labels, with any number of workers.

    Args:
        folder: of the set, as `augment` writes it; path or text.
        table: rows in `SCHEMA`; None to read the set's own, with all that lies beside them.
        skipped: rows in `SKIPPED_COLUMNS` of the photographs that gave no face.
        about: what `faceset.json` says.
        records: of a set of records, what reads them; shared by the selections of a set.
        transform: is given each (112, 112, 3) uint8 RGB face that is indexed; what it returns
            stands in the item's place of the image.
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
        table: pa.Table | None = None,
        skipped: list[dict] | None = None,
        about: dict | None = None,
        records: Records | None = None,
        *,
        transform: Callable[[np.ndarray], Any] | None = None,
    ) -> None:
        self.folder, self.transform = Path(folder), transform
        if table is None:
            table, skipped, about, records = read_set(self.folder)
        self.table, self.skipped, self.about = table, skipped or [], about or {}
        self._records = records

    @classmethod
    def open(cls, folder: str | Path) -> "FaceSet":
        """Open a face set; the same as `FaceSet(folder)`."""
        return cls(folder)

    def __len__(self) -> int:
        return self.table.num_rows

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
        return image if self.transform is None else self.transform(image), int(self.labels[row])

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """(N,) int64 0 .. C-1: the people of this selection who have a face, numbered in
        alphabetical order.
        """
        _, labels = np.unique(self.identities.astype(str), return_inverse=True)
        return labels.astype(np.int64)

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
        return self._column("identity")

    @functools.cached_property
    def conditions(self) -> np.ndarray:
        """(N,) `NONMASK` or `MASK`."""
        return self._column("condition")

    @functools.cached_property
    def clean_keys(self) -> np.ndarray:
        """(N,) of a masked twin the key of its clean face, else ""."""
        return self._column("clean_key")

    @functools.cached_property
    def masks(self) -> np.ndarray:
        """(N,) JSON of the drawn masks' parameters, "" without one."""
        return self._column("mask")

    @functools.cached_property
    def scores(self) -> np.ndarray:
        """(N,) float32 detector confidences."""
        return self.table["score"].to_numpy()

    @functools.cached_property
    def similarities(self) -> np.ndarray:
        """(N, 4) float64 a, b, tx, ty of the matrices [[a, -b, tx], [b, a, ty]] from photographs
        to aligned frames.
        """
        return (
            self.table["similarity"]
            .combine_chunks()
            .flatten()
            .to_numpy(zero_copy_only=False)
            .reshape(-1, 4)
            .astype(np.float64)
        )

    @functools.cached_property
    def people(self) -> list[str]:
        """The names in this selection, sorted; with those of whom no face was found."""
        return sorted(
            set(self.table["identity"].unique().to_pylist())
            | {row["identity"] for row in self.skipped if row["identity"]}
        )

    @property
    def counts(self) -> dict[str, int]:
        """How many faces, twins and skipped photographs there are, as `faceset.json` counts
        them.
        """
        return count_rows(self.table, self.skipped)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names, conditions, masks and image digests of the rows: equal for equal
        faces, wherever the set lies.

        An image that was replaced since the set was made counts as what it is now (see
        content.py).
        """
        return fingerprint_of(self.folder, self.table, self.skipped, self.encoded)

    def points(self, index: int) -> np.ndarray:
        """(K, 2) float32 landmarks of a face in its aligned frame."""
        return self.table["landmarks"][int(index)].values.to_numpy().reshape(-1, 2)

    def encoded(self, index: int) -> bytes:
        """The image file of a face, as it is stored.

        Raises:
            KitError: it is not there any more, or the .rec is damaged.
        """
        if self._records is not None:
            return self._records.read(
                self.table["shard"][int(index)].as_py(), self.table["record"][int(index)].as_py()
            )
        path = self.folder / self.table["key"][int(index)].as_py()
        try:
            return path.read_bytes()
        except OSError as error:
            raise KitError(
                f"{path}: named in {self.folder / ROWS} but cannot be read ({error.strerror})"
            ) from None

    def image(self, index: int) -> np.ndarray:
        """(112, 112, 3) uint8 RGB pixels of a face."""
        return decode_rgb(self.encoded(index), self._where(int(index)))

    def _where(self, index: int) -> str:
        """Name a face's image in errors: its file, or its record."""
        key = self.table["key"][index].as_py()
        if self._records is None:
            return str(self.folder / key)
        rec = rec_path(self.folder, self.table["shard"][index].as_py())
        return f"{rec}: key {self.table['record'][index].as_py()} ({key})"

    def select(self, rows: Sequence[int] | np.ndarray) -> "FaceSet":
        """Keep some rows, by index or by a boolean per row; the skipped photographs stay listed."""
        rows = np.asarray(rows)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        return FaceSet(
            self.folder,
            self.table.take(pa.array(rows, pa.int64())),
            self.skipped,
            self.about,
            self._records,
            transform=self.transform,
        )

    def clean(self) -> "FaceSet":
        """Keep the faces, and the skipped photographs, without a mask: what a teacher's bank may
        hold.
        """
        kept = self.select(self.conditions == NONMASK)
        kept.skipped = [row for row in self.skipped if row["condition"] != MASK]
        return kept

    def chosen(
        self, path: Path, what: str, allow_unknown: bool = False, may_be_empty: bool = False
    ) -> lists.Choice:
        """Look up whom of this selection a list names; people without a face, whose photographs
        were skipped, count as found.

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
        faceless = len(set(self.people) - set(self.identities))
        if not faceless:
            return ""
        return f"; {faceless:,} of them without a face (skipped photographs only)"

    def of_people(self, names: Iterable[str]) -> "FaceSet":
        """Keep some people, among the skipped photographs too."""
        wanted = set(names)
        kept = self.select(
            np.fromiter((name in wanted for name in self.identities), bool, len(self))
        )
        kept.skipped = [row for row in self.skipped if row["identity"] in wanted]
        return kept

    def _column(self, name: str) -> np.ndarray:
        # Dictionary encoding lets equal texts share one Python string: eight bytes a row however
        # long the names.
        column = self.table[name].combine_chunks()
        if name in ("key", "source"):
            return column.to_numpy(zero_copy_only=False)
        encoded = column.dictionary_encode()
        return (
            encoded.dictionary.to_numpy(zero_copy_only=False)[encoded.indices.to_numpy()]
            if len(column)
            else np.empty(0, object)
        )
