"""A face set as the page shows it: counts, people a page at a time, one person's faces with their
twins, and what was skipped.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.face_set.row_file import GONE, NO_TWIN
from mfr_kit.data.image_headers import kind_of
from mfr_kit.data.images import encode
from mfr_kit.errors import KitError
from mfr_kit.evaluation.verification.groups import mask_kind

PAGE = 60  # people a page
MOST_FACES = 200  # of a person that are shown
MOST_SKIPPED = 100  # rows a page
_TYPES = {"jpeg": "image/jpeg", "png": "image/png"}


def summarise(faces: FaceSet) -> dict[str, Any]:
    """Count people, faces, twins, masks and reasons of skipped photographs."""
    per_person = np.bincount(faces.codes) if len(faces) else np.zeros(1, int)
    kinds = Counter(mask_kind(text) for text in faces.masks if text)
    return {
        "name": faces.name,
        "people": faces.identity_count,
        **faces.counts,
        "masked": int(faces.masked.sum()) - faces.counts["twins"],
        "without_face": len(faces.people) - faces.identity_count,
        "photographs_a_person": {
            "least": int(per_person.min()),
            "median": float(np.median(per_person)),
            "most": int(per_person.max()),
        },
        "kinds": kinds.most_common(),
        "reasons": Counter(row["reason"] for row in faces.skipped).most_common(),
    }


def list_people(faces: FaceSet, search: str = "", start: int = 0) -> dict[str, Any]:
    """Give a page of people by name: faces, twins, and a row to show of each."""
    names = faces.names
    wanted = [at for at, name in enumerate(names) if search.casefold() in name.casefold()]
    shown = wanted[start : start + PAGE]
    twin = _is_twin(faces)
    order = np.argsort(faces.codes, kind="stable")
    ends = np.searchsorted(faces.codes[order], np.arange(len(names) + 1))
    people = []
    for at in shown:
        rows = order[ends[at] : ends[at + 1]]
        bare = rows[~faces.masked[rows]]
        people.append(
            {
                "name": names[at],
                "code": at,
                "faces": int((~twin[rows]).sum()),
                "twins": int(twin[rows].sum()),
                "row": int(bare[0] if len(bare) else rows[0]),
            }
        )
    return {"people": people, "found": len(wanted), "start": start, "page": PAGE}


def show_person(faces: FaceSet, code: int) -> dict[str, Any]:
    """Give one person's faces, each with its twins beside it.

    Raises:
        KitError: there is no such person.
    """
    if not 0 <= code < faces.identity_count:
        raise KitError(f"{faces.folder} has no person number {code}")
    rows = np.flatnonzero(faces.codes == code)
    clean = faces.clean_rows
    clean_of = np.full(len(faces), NO_TWIN) if clean is None else clean
    groups: dict[int, list[int]] = {}
    for row in rows.tolist():
        own = int(clean_of[row])
        groups.setdefault(row if own in (NO_TWIN, GONE) else own, [])
    for row in rows.tolist():
        own = int(clean_of[row])
        groups[row if own in (NO_TWIN, GONE) else own].append(row)
    shown = [
        [_describe(faces, row, int(clean_of[row]) != NO_TWIN) for row in sorted(group)]
        for group in list(groups.values())[:MOST_FACES]
    ]
    return {"name": faces.names[code], "faces": shown, "left_out": len(groups) - len(shown)}


def _describe(faces: FaceSet, row: int, is_twin: bool) -> dict[str, Any]:
    mask = faces.masks[row]
    return {
        "row": row,
        "source": faces.sources[row],
        "score": round(float(faces.scores[row]), 3),
        "masked": bool(faces.masked[row]),
        "twin": is_twin,
        "kind": mask_kind(mask) if mask else "",
    }


def list_skipped(faces: FaceSet, reason: str = "", start: int = 0) -> dict[str, Any]:
    """Give a page of the photographs that gave no face."""
    rows = [row for row in faces.skipped if reason in ("", row["reason"])]
    shown = rows[start : start + MOST_SKIPPED]
    return {"rows": shown, "found": len(rows), "start": start, "page": MOST_SKIPPED}


def read_face(faces: FaceSet, row: int) -> tuple[bytes, str]:
    """Give a face's picture, as it is stored, and its type.

    Raises:
        KitError: no such row, a picture that cannot be read, or one that a link of the set's folder
            leads out of it.
    """
    check_row(faces, row)
    data = faces.encoded(row)
    kind = _TYPES.get(kind_of(data[:32]) or "")
    return (data, kind) if kind else (encode(faces.image(row), ".png"), "image/png")


def check_row(faces: FaceSet, row: int) -> None:
    """Refuse a face that there is not, or whose file lies outside of the set's folder by a link.

    Raises:
        KitError: it does.
    """
    if not 0 <= row < len(faces):
        raise KitError(f"{faces.folder} has no face number {row}")
    path = Path(faces.folder) / faces.keys[row]
    if path.exists() and not path.resolve().is_relative_to(Path(faces.folder).resolve()):
        raise KitError(f"{path} is a link out of the set's folder: it is not shown")


def _is_twin(faces: FaceSet) -> np.ndarray:
    clean = faces.clean_rows
    return np.zeros(len(faces), bool) if clean is None else clean != NO_TWIN
