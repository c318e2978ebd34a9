"""A face set under other names: its clusters for people."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from mfr_kit import files
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.face_set.row_file import NO_TWIN
from mfr_kit.data.formats import face_set
from mfr_kit.data.training_set import TrainingSet
from mfr_kit.spreadsheet import write_rows

COLUMNS = ("photo", "identity", "cluster", "likeness")


def name_of(cluster: int) -> str:
    """Name a cluster as a person."""
    return f"cluster-{cluster:07}"


def relabel(path: Path, labels: np.ndarray) -> TrainingSet:
    """Open a face set with other people.

    Args:
        path: of the set.
        labels: (N,) clusters of its clean faces, in its order. A masked twin goes with its clean
            face, and is left out where that is not in the set; so are the notes of photographs
            without a face, which are nobody's.
    """
    source = face_set.open_set(path)
    clean = np.full(len(source), NO_TWIN) if source.clean is None else source.clean
    clusters = np.full(len(source), -1, np.int32)
    clusters[clean == NO_TWIN] = labels
    twins = np.flatnonzero(clean >= 0)
    clusters[twins] = clusters[clean[twins]]
    names = [name_of(cluster) for cluster in range(int(labels.max()) + 1)]
    renamed = replace(source, people=names, labels=clusters, skipped=())
    return renamed.select(np.flatnonzero(clusters >= 0))


def write_list(path: Path, faces: FaceSet, labels: np.ndarray, likeness: np.ndarray) -> None:
    """Write which photograph is in which cluster: a row each face, in the set's order, with the
    identity it had and its mean cosine to the others of its cluster, "" for a cluster of one.
    """
    with (
        files.replacing(path) as part,
        part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        file.write(",".join(COLUMNS) + "\n")
        write_rows(file, COLUMNS, _rows(faces, labels, likeness))


def _rows(faces: FaceSet, labels: np.ndarray, likeness: np.ndarray) -> Iterator[dict]:
    for row, (photo, code) in enumerate(zip(faces.sources, faces.codes, strict=True)):
        near = f"{likeness[row]:.3f}" if np.isfinite(likeness[row]) else ""
        cells = (photo, faces.names[code], name_of(labels[row]), near)
        yield dict(zip(COLUMNS, cells, strict=True))
