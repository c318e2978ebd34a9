"""What is said of clusters."""

from collections.abc import Iterator

import numpy as np

from mfr_kit.clustering.cluster import Clusters

SIZES = ((1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (21, 50), (51, 100), (101, None))
LARGEST = 5  # clusters that are named by their sizes


def describe(found: Clusters) -> Iterator[str]:
    """Say how many clusters there are, and of which sizes."""
    sizes = np.sort(np.bincount(found.labels))[::-1]
    yield (
        f"{found.faces.folder}: {len(found.labels):,} faces in {len(sizes):,} clusters at a mean "
        f"cosine of {found.threshold:g} ({found.edges:,} pairs of near faces); the largest "
        f"{', '.join(f'{size:,}' for size in sizes[:LARGEST])}"
    )
    yield "  faces each     clusters      faces"
    for low, high in SIZES:
        kept = sizes[(sizes >= low) & (sizes <= (high or sizes[0]))]
        if len(kept):
            name = f"{low}" if low == high else f"{low} to {high}" if high else f"{low} and more"
            yield f"  {name:12} {len(kept):10,} {kept.sum():10,}"


def tabulate(found: Clusters) -> Iterator[str]:
    """Compare with the identities that the set has, a line each threshold; nothing where none was
    measured.
    """
    if not found.agreed:
        return
    people = found.faces.identity_count
    yield f"against the set's own identities, {people:,} people:"
    yield "  threshold  clusters   pairs: precision recall F        BCubed: precision recall F"
    best = max(found.agreed, key=lambda value: found.agreed[value][0].bcubed_f)
    for value, (agreed, count) in found.agreed.items():
        marks = "chosen" if value == found.threshold else ""
        marks += " highest BCubed F" if value == best else ""
        yield (
            f"  {value:9g} {count:9,}{agreed.pair_precision:19.4f}{agreed.pair_recall:8.4f}"
            f"{agreed.pair_f:8.4f}{agreed.bcubed_precision:18.4f}{agreed.bcubed_recall:8.4f}"
            f"{agreed.bcubed_f:8.4f}  {marks}"
        ).rstrip()
