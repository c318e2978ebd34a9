"""TAR of parts of a set: of the probes by mask and pose, at the thresholds of the whole; and of
groups of people among themselves.
"""

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mfr_kit.data import lists
from mfr_kit.data.alignment.align import SIZE as SIDE
from mfr_kit.data.face_set.faceset import ALIGNED, FaceSet
from mfr_kit.errors import KitError
from mfr_kit.evaluation.inputs.faces import Faces
from mfr_kit.evaluation.verification.scores import Scores
from mfr_kit.masks.pose import estimate
from mfr_kit.records import check, parse_json
from mfr_kit.text import read_text, split_lines

COVERAGE_STEP = 0.05  # of the face's area
TURNS = (0, 15, 30, 45)  # degrees to either side at which a range begins
SIZES = (0, 56, 112, 224)  # pixels of the photograph along a side of the crop, likewise
TURN, RESOLUTION = "turn of the head", "resolution of the face"
UNKNOWN, NO_FACE = "not known", "no face found"


def mask_kind(mask: str) -> str:
    """Name the kind of a synthetic mask, or say that it is none."""
    return _parameters(mask).get("look", "synthetic") if mask else "real mask"


def _parameters(mask: str) -> dict:
    where, advice = (
        "column 'mask' of faces.parquet",
        "make the face set again with `kit.py augment`",
    )
    shape = {"look?": str, "coverage?": (float, None)}
    return check(parse_json(mask, where, advice), shape, where, advice)


def coverage(mask: str) -> str:
    """Name the range that a synthetic mask's share of the face lies in."""
    share = _parameters(mask).get("coverage") if mask else None
    if share is None:
        return UNKNOWN
    low = int(share / COVERAGE_STEP + 1e-9) * COVERAGE_STEP
    return f"{100 * low:02.0f} to {100 * (low + COVERAGE_STEP):02.0f} %"


def read_groups(path: Path) -> dict[str, str]:
    """Read a CSV of people's groups, with a first line that names the columns `identity` and
    `group`; others are ignored.

    Returns:
        The group by identity.
    Raises:
        KitError: it cannot be read, a column is missing, a field is empty, or a person is in two
            groups.
    """
    return {name: group for _, name, group in _rows(path)}


def groups_among(path: Path, faces: FaceSet, allow_unknown: bool = False) -> dict[str, str]:
    """Read a CSV of people's groups by the names that a set has; what it did is said on stderr.

    Raises:
        KitError: see `read_groups`; or a person is not in the set (unless `allow_unknown`): the
            first ones are named.
    """
    spelled: dict[str, list[str]] = {}
    for person in faces.people:
        spelled.setdefault(lists.nfc(person), []).append(person)
    groups: dict[str, str] = {}
    unknown = []
    rows = list(_rows(path))
    for line, name, group in rows:
        form = next(
            (form for form in (lists.nfc(name), lists.nfc(name.strip())) if form in spelled), None
        )
        if form is None:
            unknown.append((line, name))
        else:
            groups.update(dict.fromkeys(spelled[form], group))
    choice = lists.settle(
        path,
        list(groups),
        len(rows),
        unknown,
        "--groups",
        str(faces.folder),
        allow_unknown,
        lambda entry: faces.people,
    )
    lists.echo(
        "groups", [choice], f"{len(set(faces.people) - set(groups)):,} people without a group"
    )
    return groups


def _rows(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line, identity, group), a person once."""
    text = read_text(path, "the groups")
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
        reader.fieldnames = [str(name).strip().lower() for name in reader.fieldnames or ()]
        missing = sorted({"identity", "group"} - set(reader.fieldnames))
        if missing:
            raise KitError(
                f"{path}: no column '{missing[0]}': the first line must be `identity,group`"
            )
        groups: dict[str, str] = {}
        for row in reader:
            name, group = row["identity"], (row["group"] or "").strip()
            if not (name and name.strip() and group):
                raise KitError(
                    f"{path} line {reader.line_num}: an empty field: every line needs an "
                    "identity and a group"
                )
            if name in groups and groups[name] != group:
                raise KitError(
                    f"{path} line {reader.line_num}: {name} is in '{groups[name]}' and in "
                    f"'{group}': one group a person"
                )
            if name not in groups:
                groups[name] = group
                yield reader.line_num, name, group
    except csv.Error as error:
        raise KitError(f"cannot read the groups {path}: {error}") from None


def _delimiter(text: str) -> str:
    """Spreadsheets of many countries write `;` into a CSV, and some a tab."""
    first = split_lines(text)[0]
    return max(",;\t", key=first.count)


def by_person(faces: Faces, groups: dict[str, str]) -> Iterator[tuple[str, Faces]]:
    """Split a table by the group of the person; people without one come last, as the group "(none
    named)".

    Raises:
        KitError: nobody of the table is in a group.
    """
    names = np.array([groups.get(str(person), "") for person in faces.people], object)
    if not any(names):
        raise KitError(
            f"--groups names none of the people of this set ({faces.people[0]}, ...): its "
            "identities are the set's"
        )
    for name in sorted(set(names), key=lambda name: (not name, name)):
        yield name or "(none named)", faces.select(names == name)


def turn(yaw: float | None) -> str:
    """Name the range that a head's turn to either side lies in; `yaw` in degrees, None where it
    is not known.
    """
    return _range(None if yaw is None else abs(yaw), TURNS, "degrees", 2)


def resolution(size: float | None) -> str:
    """Name the range that a face's resolution lies in; `size` as of `face_sizes`, None where it is
    not known.
    """
    return _range(size, SIZES, "pixels", 3)


def _range(value: float | None, limits: tuple[int, ...], unit: str, digits: int) -> str:
    if value is None:
        return UNKNOWN
    low = max(limit for limit in limits if limit <= value)
    higher = [limit for limit in limits if limit > low]
    if not higher:
        return f"{low:0{digits}d} {unit} and more"
    return f"{low:0{digits}d} to {higher[0]:0{digits}d} {unit}"


def face_sizes(faceset: FaceSet) -> dict[str, float]:
    """Tell how many pixels of its photograph a face's crop is wide, by key; faces that were
    aligned already, whose photograph is not known, are left out.
    """
    similarities = np.asarray(faceset.similarities, np.float64)
    scales = np.hypot(similarities[:, 0], similarities[:, 1])
    known = ~(similarities == np.array(ALIGNED)).all(axis=1)
    return {
        str(faceset.keys[row]): float(SIDE / scales[row]) for row in np.flatnonzero(known).tolist()
    }


def head_turns(faceset: FaceSet) -> dict[str, float]:
    """Estimate the yaw of every face of a set, in degrees, by key; faces whose landmarks allow
    none are left out.
    """
    yaws = {}
    for row, key in enumerate(faceset.keys):
        try:
            yaws[str(key)] = estimate(faceset.points(row)).yaw
        except KitError:
            continue
    return yaws


def by_probe(
    scores: Scores,
    rows: list[dict],
    yaws: dict[str, float] | None = None,
    sizes: dict[str, float] | None = None,
) -> list[dict]:
    """Split the genuine comparisons of a probe x gallery protocol by the probe's mask and, where
    they are known, by its pose and its resolution.

    Args:
        scores: of the protocol; not of a symmetric one, whose comparisons have two masks.
        rows: its `tar_at_far`, whose thresholds are used.
        yaws: from `head_turns`; None for no rows by pose.
        sizes: from `face_sizes`; None, or of nobody, for no rows by resolution.
    Returns:
        A row each group: `by`, `group`, how many `genuine` comparisons, and `tar` at each FAR (None
        where the whole makes no claim).
    """
    namers: dict[str, Callable[[str, str], str]] = {
        "mask kind": lambda _, mask: mask_kind(mask),
        "coverage": lambda _, mask: coverage(mask),
    }
    if yaws is not None:
        namers[TURN] = lambda key, _: turn(yaws.get(key))
    if sizes:
        namers[RESOLUTION] = lambda key, _: resolution(sizes.get(key))
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
    return np.array([name(key, mask) if found else NO_FACE for key, mask, found in columns], str)


def _genuine_of_each(probe: Faces, gallery: Faces) -> np.ndarray:
    """Count the genuine comparisons of each probe, with those of faces not found."""
    counts = []
    for by in ("people", "photos"):
        names, numbers = np.unique(getattr(gallery, by).astype(str), return_counts=True)
        number_of = dict(zip(names.tolist(), numbers.tolist(), strict=True))
        counts.append(np.array([number_of.get(str(name), 0) for name in getattr(probe, by)]))
    return counts[0] - counts[1]
