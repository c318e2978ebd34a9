"""TAR of parts of a set: of the probes by mask and pose, at the thresholds of the whole; and of groups of people among themselves."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mfr_kit.data.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation.faces import Faces
from mfr_kit.evaluation.scores import Scores
from mfr_kit.masks.pose import estimate

COVERAGE_STEP = 0.05  # of the face's area
TURNS = (0, 15, 30, 45)  # degrees to either side at which a range begins


def mask_kind(mask: str) -> str:
    """Name the kind of a synthetic mask, or say that it is none."""
    return str(json.loads(mask).get("look", "synthetic")) if mask else "real mask"


def coverage(mask: str) -> str:
    """Name the range that a synthetic mask's share of the face lies in."""
    share = json.loads(mask).get("coverage") if mask else None
    if share is None:
        return "not known"
    low = int(share / COVERAGE_STEP + 1e-9) * COVERAGE_STEP
    return f"{100 * low:02.0f} to {100 * (low + COVERAGE_STEP):02.0f} %"


def read_groups(path: Path) -> dict[str, str]:
    """Read a CSV of people's groups, with a first line that names the columns `identity` and `group`; others are ignored.

    Returns:
        The group by identity.
    Raises:
        KitError: it cannot be read, a column is missing, a field is empty, or a person is in two groups.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = sorted({"identity", "group"} - set(reader.fieldnames or ()))
            if missing:
                raise KitError(
                    f"{path}: no column '{missing[0]}': the first line must be `identity,group`"
                )
            groups: dict[str, str] = {}
            for row in reader:
                name, group = row["identity"], row["group"]
                if not (name and group):
                    raise KitError(
                        f"{path} line {reader.line_num}: an empty field: every line needs an identity and a group"
                    )
                if groups.setdefault(name, group) != group:
                    raise KitError(
                        f"{path} line {reader.line_num}: {name} is in '{groups[name]}' and in '{group}': one group a person"
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise KitError(f"cannot read the groups {path}: {error}") from None
    return groups


def by_person(faces: Faces, groups: dict[str, str]) -> Iterator[tuple[str, Faces]]:
    """Split a table by the group of the person; people without one come last, as the group "(none named)".

    Raises:
        KitError: nobody of the table is in a group.
    """
    names = np.array([groups.get(str(person), "") for person in faces.people], object)
    if not any(names):
        raise KitError(
            f"--groups names none of the people of this set ({faces.people[0]}, ...): its identities are the set's"
        )
    for name in sorted(set(names), key=lambda name: (not name, name)):
        yield name or "(none named)", faces.select(names == name)


def turn(yaw: float | None) -> str:
    """Name the range that a head's turn to either side lies in; `yaw` in degrees, None where it is not known."""
    if yaw is None:
        return "not known"
    low = max(limit for limit in TURNS if limit <= abs(yaw))
    following = [limit for limit in TURNS if limit > low]
    return (
        f"{low:02d} to {following[0]:02d} degrees" if following else f"{low:02d} degrees and more"
    )


def head_turns(faceset: FaceSet) -> dict[str, float]:
    """Estimate the yaw of every face of a set, in degrees, by key; faces whose landmarks allow none are left out."""
    yaws = {}
    for row, key in enumerate(faceset.keys):
        try:
            yaws[str(key)] = estimate(faceset.points(row)).yaw
        except KitError:
            continue
    return yaws


def by_probe(scores: Scores, rows: list[dict], yaws: dict[str, float] | None = None) -> list[dict]:
    """Split the genuine comparisons of a probe x gallery protocol by the probe's mask and, where it is known, by its pose.

    Args:
        scores: of the protocol; not of a symmetric one, whose comparisons have two masks.
        rows: its `tar_at_far`, whose thresholds are used.
        yaws: from `head_turns`; None for no rows by pose.
    Returns:
        A row each group: `by`, `group`, how many `genuine` comparisons, and `tar` at each FAR (None where the whole makes no claim).
    """
    namers: dict[str, Callable[[str, str], str]] = {
        "mask kind": lambda _, mask: mask_kind(mask),
        "coverage": lambda _, mask: coverage(mask),
    }
    if yaws is not None:
        namers["turn of the head"] = lambda key, _: turn(yaws.get(key))
    probe = scores.pairs.given[0]
    possible = _genuine_of_each(*scores.pairs.given)
    groups = []
    for by, name in namers.items():
        asked, seen = (_names(faces, name) for faces in (probe, scores.pairs.probe))
        answered = seen[scores.genuine_rows]
        for group in np.unique(asked[possible > 0]):
            total = int(possible[asked == group].sum())
            inside = scores.genuine[answered == group]
            rates = [
                None
                if row["tar"] is None
                else float((inside >= np.float32(row["threshold"])).sum() / total)
                for row in rows
            ]
            groups.append({"by": by, "group": str(group), "genuine": total, "tar": rates})
    return groups


def _names(faces: Faces, name: Callable[[str, str], str]) -> np.ndarray:
    columns = zip(faces.keys, faces.masks, faces.found, strict=True)
    return np.array(
        [name(key, mask) if found else "no face found" for key, mask, found in columns], str
    )


def _genuine_of_each(probe: Faces, gallery: Faces) -> np.ndarray:
    """Count the genuine comparisons of each probe, with those of faces not found."""
    counts = []
    for by in ("people", "photos"):
        names, numbers = np.unique(getattr(gallery, by).astype(str), return_counts=True)
        number_of = dict(zip(names.tolist(), numbers.tolist(), strict=True))
        counts.append(np.array([number_of.get(str(name), 0) for name in getattr(probe, by)]))
    return counts[0] - counts[1]
