"""A face set with a second view of every bare face: what an unlabelled set can be measured by."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.formats import face_set
from mfr_kit.data.images import encode
from mfr_kit.data.training_set import TrainingSet, showing_progress
from mfr_kit.errors import KitError
from mfr_kit.seeding import key_of, rng_for
from mfr_kit.training.views.view import ViewRecipe, Views

MARK = ".view.jpg"  # ends the name of a second view


def write_second_views(
    path: Path, faces: FaceSet, recipe: ViewRecipe, seed: int, in_records: bool = False
) -> int:
    """Write the bare faces of a set, unchanged, and beside each a view of it: drifted, in other
    light, degraded, as the student's bare views are drawn.

    The view is a photograph of its own, not a twin: the protocols compare it with the face it was
    made of. A view follows from seed and key, whatever else the set holds. Its landmarks are the
    face's, which is what an alignment that drifted took them for.

    Args:
        path: of the new set.
        faces: what to view; its masked faces are left out.
        recipe: how; its `mask_ratio` is to be 0, and of drifts `drift_clean` counts.
        seed: of the views.
        in_records: images in `.rec` files.
    Returns:
        The number of faces that were viewed.
    Raises:
        KitError: no bare face, or `path` exists.
    """
    clean = faces.clean()
    if not len(clean):
        raise KitError(f"{faces.folder} holds no bare face: there is nothing to view")
    pairs = _Pairs(clean, clean.table, Views(recipe, None), seed)
    count = len(clean)
    names = [key.removeprefix("faces/") for key in clean.keys]
    labels = clean.codes.astype(np.int32)
    both = TrainingSet(
        path=clean.folder,
        people=clean.names,
        labels=np.concatenate([labels, labels]),
        names=[*names, *map(_name_of_view, names)],
        encoded=pairs.encoded,
        facts=pairs.facts,
    )
    how = {"views": {**vars(recipe), "seed": seed}}
    with showing_progress(both) as counted:
        face_set.write_set(path, counted, in_records, how)
    return count


@dataclass(frozen=True)
class _Pairs:
    """Faces, and after them a view of each."""

    faces: FaceSet
    table: pa.Table  # of the faces, read once
    views: Views
    seed: int

    def encoded(self, index: int) -> bytes:
        """The stored face, or its view as JPEG."""
        count = len(self.faces)
        if index < count:
            return self.faces.encoded(index)
        row = index - count
        rng = rng_for(self.seed, key_of(str(self.faces.keys[row])))
        return encode(self.views.draw(self.faces.image(row), self.faces.points(row), rng).image)

    def facts(self, index: int) -> dict:
        """The row of a face, its view's with another source."""
        count = len(self.faces)
        known = self.table.slice(index % count, 1).to_pylist()[0]
        return known if index < count else known | {"source": _name_of_view(known["source"])}


def _name_of_view(name: str) -> str:
    return f"{name.rpartition('.')[0] or name}{MARK}"
