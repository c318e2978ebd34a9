"""Divide the faces of a set into people, whatever its labels say."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfr_kit import assets, files
from mfr_kit.audit.inverted_file import load_faiss
from mfr_kit.audit.neighbours import likeness_to_own
from mfr_kit.audit.scan import open_faces
from mfr_kit.audit.unit_rows import UnitRows, nearest_folder
from mfr_kit.clustering import agreement, graph, linkage
from mfr_kit.clustering.options import ClusterOptions, parse_threshold
from mfr_kit.clustering.relabelled import relabel, write_list
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.formats import face_set
from mfr_kit.errors import KitError
from mfr_kit.models.embedders import Embedder, load_embedder
from mfr_kit.training.teacher import bank

# the mean cosine with the highest BCubed F on LFW's people that are neither in val.txt nor in
# holdout.txt, which `kit.py cluster SET --against-labels` prints
THRESHOLDS = {"sface": 0.47}
AROUND = (0.01, 0.02, 0.04, 0.08)  # to either side of the threshold, what else is measured
BLOCK = 8192  # rows read from a bank at a time


@dataclass(frozen=True)
class Clusters:
    """What was found.

    Attributes:
        faces: the N clean faces.
        rows: (N, D) float32 unit embeddings, a memory map.
        labels: (N,) int32 clusters 0 .. C-1, in the order of their first faces.
        threshold: of their mean cosine.
        edges: pairs of faces at the least threshold asked for.
        agreed: of each threshold measured, its `Agreement` with the set's own identities and how
            many clusters there were.
    """

    faces: FaceSet
    rows: np.ndarray
    labels: np.ndarray
    threshold: float
    edges: int
    agreed: dict[float, tuple[agreement.Agreement, int]]


def cluster(options: ClusterOptions) -> Clusters:
    """Cluster a face set, and write the set of the clusters where the options say so.

    Raises:
        KitError: no face set, a threshold that is not known, or an output that exists.
    """
    if options.out is not None:
        files.refuse_existing(options.out)
    if options.search == "faiss":
        load_faiss()
    faces = open_faces(options.src)
    embedder = load_embedder(
        options.model,
        normalisation=options.normalisation,
        threads=options.threads,
        output=options.output,
        device=options.device,
        precision=options.precision,
    )
    threshold = choose_threshold(options.threshold, embedder)
    root = options.bank or assets.home() / "banks"
    disk = nearest_folder(options.out or root)
    rows = embed(root, faces, embedder, disk)
    folder = disk if options.search == "faiss" else None
    found = divide(faces, rows, threshold, options.neighbours, options.against_labels, folder, disk)
    if options.out is not None:
        how = {"model": options.model, "threshold": threshold, "neighbours": options.neighbours}
        likeness = likeness_to_own(rows, found.labels)
        people = relabel(options.src, found.labels)
        face_set.write_proved(options.out, people, options.format == "rec", how)
        write_list(list_beside(options.out), faces, found.labels, likeness)
    return found


def list_beside(out: Path) -> Path:
    """Name the list of which photograph is in which cluster."""
    return out.with_name(f"{out.name}.clusters.csv")


def choose_threshold(text: str, embedder: Embedder) -> float:
    """Read `--threshold`.

    Raises:
        KitError: it is auto, and the kit knows none for this model.
    """
    given = parse_threshold(text)
    if given is not None:
        return given
    if embedder.name not in THRESHOLDS:
        raise KitError(
            f"--threshold auto is known for {', '.join(THRESHOLDS)} and not for {embedder.name}: "
            "choose one on people you know by `kit.py cluster SET --against-labels --threshold 0.4`"
        )
    return THRESHOLDS[embedder.name]


def embed(root: Path, faces: FaceSet, embedder: Embedder, disk: Path | None) -> np.ndarray:
    """Map the (N, D) sums of each face's and its mirror image's unit embeddings, made unit, from a
    bank under `root`.
    """
    stored = bank.store(root, faces, embedder)
    rows = UnitRows(disk)
    for start in range(0, len(faces), BLOCK):
        rows.add(stored.sums(np.arange(start, min(start + BLOCK, len(faces)))))
    return rows.finish()


def divide(
    faces: FaceSet,
    rows: np.ndarray,
    threshold: float,
    neighbours: int,
    against_labels: bool,
    folder: Path | None,
    disk: Path | None,
) -> Clusters:
    """Find the clusters at a threshold, and measure them at others.

    Args:
        faces: the set.
        rows: (N, D) unit embeddings.
        threshold: of the mean cosine.
        neighbours: that a face asks for.
        against_labels: compare with the identities of the set.
        folder: for faiss's lists; None for exact search.
        disk: a folder on the disk that takes what memory does not.
    """
    measured = sorted({threshold, *_around(threshold)}) if against_labels else [threshold]
    if folder is None:
        edges = graph.find_edges(rows, measured[0], neighbours)
    else:
        edges = graph.find_edges_by_faiss(rows, measured[0], neighbours, folder)
    labels = {value: linkage.merge(rows, edges, value, disk) for value in measured}
    agreed = {
        value: (agreement.measure(found, faces.labels), int(found.max()) + 1)
        for value, found in labels.items()
        if against_labels
    }
    return Clusters(faces, rows, labels[threshold], threshold, len(edges.first), agreed)


def _around(threshold: float) -> Iterator[float]:
    for step in AROUND:
        for value in (round(threshold - step, 6), round(threshold + step, 6)):
            if 0 < value < 1:
                yield value
