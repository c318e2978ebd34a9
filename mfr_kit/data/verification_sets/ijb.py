"""IJB-B and IJB-C: photographs that belong to medias and templates, and pairs of templates.

ROOT/loose_crop/<name>                                the photographs
ROOT/meta/ijbc_face_tid_mid.txt                       `name template media` a line
ROOT/meta/ijbc_name_5pts_score.txt          `name x0 y0 ... x4 y4 score` a line, same order
ROOT/meta/ijbc_template_pair_label.txt                `template template label` a line
ROOT/meta/ijbc_1N_gallery_G1.csv, ijbc_1N_gallery_G2.csv, ijbc_1N_probe_mixed.csv
                                                      (IJB-B: S1 and S2) for 1:N, may be missing:
                                                      a header, then `template,subject,...` a line,
                                                      a line each photograph
"""

import codecs
import csv
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfr_kit.data.named_files import refuse_outside
from mfr_kit.data.text_lines import read_lines
from mfr_kit.data.verification_sets.pair_rows import is_number
from mfr_kit.errors import KitError

MOST = 1 << 31  # templates, medias and subjects are kept as int32


@dataclass(frozen=True)
class TemplateSet:
    """N photographs of T templates, P pairs of templates."""

    root: Path
    names: list[str]  # (N,) below ROOT/loose_crop
    landmarks: np.ndarray  # (N, 5, 2) float32, in the photograph's pixels
    scores: np.ndarray  # (N,) float32 detector confidences
    templates: np.ndarray  # (N,) int32 template of each photograph
    medias: np.ndarray  # (N,) int32 media of each photograph
    left: np.ndarray  # (P,) int32 templates
    right: np.ndarray  # (P,) int32
    same: np.ndarray  # (P,) bool

    def photo(self, index: int) -> Path:
        """Where a photograph lies."""
        return self.root / "loose_crop" / self.names[index]


GALLERIES = {"ijbb": ("S1", "S2"), "ijbc": ("G1", "G2")}


@dataclass(frozen=True)
class Enrolment:
    """Templates that are enrolled, or searched for, and whom they show."""

    templates: np.ndarray  # (n,) int32, ascending, each once
    subjects: np.ndarray  # (n,) int32


def open_searches(
    root: Path, name: str, templates: np.ndarray
) -> tuple[dict[str, Enrolment], Enrolment] | None:
    """Read the lists of 1:N identification.

    Args:
        root: holds `meta`.
        name: "ijbb" or "ijbc".
        templates: (N,) the templates that have photographs.
    Returns:
        the two galleries by name and the probes; None where the set comes without any of the three
        lists.
    Raises:
        KitError: some of the three lists are missing, a line is damaged (named), a template shows
            two subjects or has no photograph, or stands in a gallery and among the probes.
    """
    meta = Path(root) / "meta"
    paths = {gallery: meta / f"{name}_1N_gallery_{gallery}.csv" for gallery in GALLERIES[name]}
    paths |= {"probes": meta / f"{name}_1N_probe_mixed.csv"}
    missing = [path.name for path in paths.values() if not path.is_file()]
    if len(missing) == len(paths):
        return None
    if missing:
        raise KitError(
            f"{meta}: {missing[0]} is not there; 1:N needs all of "
            f"{', '.join(path.name for path in paths.values())}"
        )
    known = np.unique(templates)
    lists = {part: _enrolment(path, known) for part, path in paths.items()}
    probes = lists.pop("probes")
    for gallery, enrolled in lists.items():
        both = np.intersect1d(enrolled.templates, probes.templates)
        if len(both):
            raise KitError(f"{paths[gallery]}: template {both[0]} is among the probes too")
    return lists, probes


def _enrolment(path: Path, known: np.ndarray) -> Enrolment:
    subjects: dict[int, int] = {}
    try:
        for number, fields in enumerate(csv.reader(read_lines(path, "the list of templates")), 1):
            if number == 1 or not fields:
                continue
            if len(fields) < 2 or not all(is_number(field.strip()) for field in fields[:2]):
                raise KitError(
                    f"{path}: line {number}: `template,subject,...` expected, found "
                    f"{','.join(fields)[:60]!r}"
                )
            template, subject = int(fields[0]), int(fields[1])
            if subjects.setdefault(template, subject) != subject:
                raise KitError(
                    f"{path}: line {number}: template {template} shows subject "
                    f"{subjects[template]} further up"
                )
    except csv.Error as error:
        raise KitError(f"cannot read {path}: {error}") from None
    templates = np.array(sorted(subjects), np.int32)
    if not len(templates):
        raise KitError(f"{path}: no template in it")
    unknown = templates[~np.isin(templates, known)]
    if len(unknown):
        raise KitError(f"{path}: no photograph belongs to template {unknown[0]}")
    return Enrolment(
        templates, np.array([subjects[template] for template in templates.tolist()], np.int32)
    )


def open_layout(root: Path, name: str = "ijbc") -> TemplateSet:
    """Read the three files (IJB-C: 469,375 photographs, 15,658,489 pairs).

    Args:
        root: holds `meta` and `loose_crop`.
        name: "ijbb" or "ijbc".
    Raises:
        KitError: a file is missing or damaged (the line is named), files that contradict each
            other, or a pair of an unknown template.
    """
    meta = Path(root) / "meta"
    members, points = meta / f"{name}_face_tid_mid.txt", meta / f"{name}_name_5pts_score.txt"
    names, numbers = _rows(members, 2)
    same_names, coordinates = _rows(points, 11)
    if names != same_names:
        row = next(
            (
                row
                for row, pair in enumerate(zip(names, same_names, strict=False))
                if pair[0] != pair[1]
            ),
            min(len(names), len(same_names)),
        )
        raise KitError(
            f"{points}: line {row + 1} and line {row + 1} of {members.name} are not of the same "
            "photograph"
        )
    pairs = meta / f"{name}_template_pair_label.txt"
    left, right, same = _triples(pairs)
    unknown = np.flatnonzero(~np.isin(left, numbers[:, 0]) | ~np.isin(right, numbers[:, 0]))
    if len(unknown):
        raise KitError(
            f"{pairs}: line {unknown[0] + 1}: a template that no photograph of {members.name} "
            "belongs to"
        )
    landmarks, scores = (
        coordinates[:, :10].reshape(-1, 5, 2).astype(np.float32),
        coordinates[:, 10].astype(np.float32),
    )
    templates, medias = numbers.astype(np.int32).T
    return TemplateSet(Path(root), names, landmarks, scores, templates, medias, left, right, same)


def _rows(path: Path, count: int) -> tuple[list[str], np.ndarray]:
    """Read lines of a name and `count` numbers."""
    lines = read_lines(path, "the photographs of templates")
    names, numbers = [], np.empty((len(lines), count))
    for row, line in enumerate(lines):
        name, *fields = line.split() or [""]
        try:
            if len(fields) != count:
                raise ValueError
            numbers[row] = [float(field) for field in fields]
            if not (np.abs(numbers[row]) < MOST).all():
                raise ValueError
        except ValueError:
            raise KitError(
                f"{path}: line {row + 1}: a name and {count} numbers expected, found {line[:60]!r}"
            ) from None
        names.append(name)
    refuse_outside(enumerate(names, 1), path.parent, path, "")
    return names, numbers


def _triples(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read millions of lines `int int 0|1` at once."""
    try:
        with warnings.catch_warnings():
            # what numpy says of text that is no number
            warnings.simplefilter("error", DeprecationWarning)
            with path.open("rb") as file:
                if file.read(3) != codecs.BOM_UTF8:
                    file.seek(0)
                values = np.fromfile(file, np.int64, sep=" ")
    except (OSError, DeprecationWarning, ValueError) as error:
        raise KitError(f"cannot read {path} as lines `template template label`: {error}") from None
    rows = values[: len(values) // 3 * 3].reshape(-1, 3)
    sound = 3 * len(rows) == len(values) and np.isin(rows[:, 2], (0, 1)).all()
    if not sound or (len(values) and (values.min() < 0 or values.max() >= MOST)):
        raise KitError(
            f"{path}: lines `template template label` expected, the label 0 or 1; it was cut "
            "short or is another file"
        )
    return rows[:, 0].astype(np.int32), rows[:, 1].astype(np.int32), rows[:, 2] == 1
