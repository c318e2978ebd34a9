"""What is wrong with a training set: the same photograph twice, one person under two names,
photographs under a wrong name.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from mfr_kit.audit import inverted_file, neighbours
from mfr_kit.audit.neighbours import Nearest, likeness_to_own, twins_within
from mfr_kit.audit.scan import Scan
from mfr_kit.data import lists
from mfr_kit.files import write_text
from mfr_kit.spreadsheet import table_text


@dataclass(frozen=True)
class Thresholds:
    """Cosines between embeddings of the model that is used; the defaults are for SFace.

    Measured on LFW's held-out people (1,585 photographs, 600 people): the nearest stranger is at
    0.37 in the median and 0.54 at most, the mean of a person's own photographs at 0.66 in the
    median and above 0.43 for 99 %; the two photographs below 0.2 bear wrong names.
    """

    same_photo: float = 0.95
    same_person: float = 0.65
    label_error: float = 0.2


@dataclass(frozen=True)
class Search:
    """How neighbours are found: all compared with all, or, with a `folder` for faiss's lists, about
    the nearest.
    """

    folder: Path | None = None
    probed: int = inverted_file.PROBED  # cells that each looks into

    def nearest(self, queries: np.ndarray, others: np.ndarray) -> Nearest:
        """See `neighbours.nearest`."""
        if self.folder is None:
            return neighbours.nearest(queries, others)
        return inverted_file.nearest(queries, others, self.folder, self.probed)

    def nearest_stranger(self, embeddings: np.ndarray, labels: np.ndarray) -> Nearest:
        """See `neighbours.nearest_stranger`."""
        if self.folder is None:
            return neighbours.nearest_stranger(embeddings, labels)
        return inverted_file.nearest_stranger(embeddings, labels, self.folder, self.probed)


EXACT = Search()


@dataclass(frozen=True)
class Finding:
    """One row of findings.csv. `exclude`: the photograph is in exclude.txt."""

    kind: str
    person: str
    photo: str
    other_person: str = ""
    other_photo: str = ""
    likeness: float = float("nan")  # cosine
    exclude: bool = False


def inspect_set(scanned: Scan, limits: Thresholds, search: Search = EXACT) -> Iterator[Finding]:
    """Find what is wrong inside a set, the certain before the likely."""
    yield from _single(scanned)
    copies: set[int] = set()
    for kind, hashes in (("same file", scanned.files), ("same pixels", scanned.pixels)):
        for first, row in _repeats(hashes):
            if row not in copies:
                copies.add(row)
                yield from _duplicate(scanned, kind, first, row)
    if scanned.embeddings is not None:
        for first, row, likeness in twins_within(
            scanned.embeddings, scanned.source.labels, limits.same_photo
        ):
            if row not in copies:
                copies.add(row)
                yield Finding(
                    "near duplicate", *scanned.of(row), *scanned.of(first), likeness, True
                )
        found = search.nearest_stranger(scanned.embeddings, scanned.source.labels)
        yield from _names(scanned, scanned.embeddings, found, limits, copies)
    _, rows, counts = np.unique(scanned.source.labels, return_index=True, return_counts=True)
    for row in rows[counts == 1]:
        yield Finding("one photo", *scanned.of(int(row)))


def compare_sets(
    scanned: Scan, other: Scan, limits: Thresholds, search: Search = EXACT
) -> Iterator[Finding]:
    """Find the photographs of the first set whose photograph or person is in the second too."""
    twins = _last_equal(scanned.pixels, other.pixels)
    people = {other.source.person(row): row for row in range(len(other.source) - 1, -1, -1)}
    best = (
        search.nearest(scanned.embeddings, other.embeddings)
        if scanned.embeddings is not None and other.embeddings is not None
        else None
    )
    for row in range(len(scanned.source)):
        person = scanned.source.person(row)
        if twins[row] >= 0:
            yield Finding("photo in both", *scanned.of(row), *other.of(int(twins[row])), 1.0, True)
        elif person in people:
            yield Finding("name in both", *scanned.of(row), *other.of(people[person]), exclude=True)
        elif best is not None and best[1][row] >= limits.same_person:
            yield Finding(
                "person in both",
                *scanned.of(row),
                *other.of(int(best[0][row])),
                float(best[1][row]),
                True,
            )


def save(findings: list[Finding], folder: Path) -> int:
    """Write findings.csv and exclude.txt (one photograph a line, for `augment --exclude`);
    return how many are to be excluded.
    """
    rows = []
    for item in findings:
        near = "" if np.isnan(item.likeness) else f"{item.likeness:.3f}"
        rows.append({**asdict(item), "likeness": near, "exclude": int(item.exclude)})
    columns = [field.name for field in fields(Finding)]
    write_text(folder / "findings.csv", table_text(columns, rows))
    excluded = sorted({item.photo for item in findings if item.exclude})
    lists.write_names(folder / "exclude.txt", excluded)
    return len(excluded)


def _single(scanned: Scan) -> Iterator[Finding]:
    """Find what concerns a photograph alone."""
    for person, photo in scanned.unreadable:
        yield Finding("unreadable", person, photo, exclude=True)
    for item in scanned.source.skipped:
        yield Finding(f"left out ({item['reason']})", item["identity"], item["source"])
    for row, turns in scanned.turned:
        yield Finding(f"turned by {90 * turns} degrees", *scanned.of(row))


def _names(
    scanned: Scan, embeddings: np.ndarray, near: Nearest, limits: Thresholds, copies: set[int]
) -> Iterator[Finding]:
    """Find people under two names (the one with fewer photographs is to be excluded) and
    photographs unlike the rest of their person's.
    """
    labels, count = scanned.source.labels, np.bincount(scanned.source.labels)
    stranger, likeness = near
    by_person = np.argsort(labels, kind="stable")
    starts = np.append(0, np.cumsum(count))
    pairs: dict[tuple[int, int], tuple[int, int, float]] = {}
    for row in np.flatnonzero(likeness >= limits.same_person).tolist():
        other = int(stranger[row])
        own, theirs = int(labels[row]), int(labels[other])
        # the name with fewer photographs first
        if (count[own], -own) < (count[theirs], -theirs):
            pair, rows = (own, theirs), (row, other)
        else:
            pair, rows = (theirs, own), (other, row)
        if pair not in pairs or likeness[row] > pairs[pair][2]:
            pairs[pair] = (*rows, float(likeness[row]))
    for pair, (first, second, value) in sorted(pairs.items(), key=lambda item: -item[1][2]):
        for row in by_person[starts[pair[0]] : starts[pair[0] + 1]].tolist():
            yield Finding(
                "two names",
                *scanned.of(row),
                *scanned.of(second),
                value if row == first else float("nan"),
                True,
            )
    to_own = likeness_to_own(embeddings, labels)
    for row in np.flatnonzero((to_own < limits.label_error) & (likeness > to_own)).tolist():
        if row not in copies:
            yield Finding(
                "likely label error",
                *scanned.of(row),
                *scanned.of(int(stranger[row])),
                float(to_own[row]),
                True,
            )


def _duplicate(scanned: Scan, kind: str, first: int, row: int) -> Iterator[Finding]:
    """One person's second copy goes; of a photograph under two names every copy goes, for nobody
    knows whose it is.
    """
    torn = scanned.source.labels[first] != scanned.source.labels[row]
    yield Finding(
        f"{kind}, two names" if torn else kind, *scanned.of(row), *scanned.of(first), 1.0, True
    )
    if torn:
        yield Finding(f"{kind}, two names", *scanned.of(first), *scanned.of(row), 1.0, True)


def _last_equal(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N,) the last row of `others` with the same hash, -1 for none."""
    order = np.argsort(others, kind="stable")
    last = np.searchsorted(others, hashes, side="right", sorter=order) - 1
    found = order[np.maximum(last, 0)]
    return np.where((last >= 0) & (others[found] == hashes), found, -1)


def _repeats(hashes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield (first, later) rows of equal hashes."""
    order = np.argsort(hashes, kind="stable")
    same = hashes[order][1:] == hashes[order][:-1]
    first = 0
    for position, repeated in enumerate(same, 1):
        if repeated:
            yield int(order[first]), int(order[position])
        else:
            first = position
