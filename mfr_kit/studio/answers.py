"""What the page asks for, by path: each a function of the studio and the request."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mfr_kit import __version__
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.data.images import encode
from mfr_kit.errors import KitError
from mfr_kit.masks.library import Mask
from mfr_kit.records import check, parse_json
from mfr_kit.seeding import rng_for
from mfr_kit.studio import access, comparison, photographs, runs, set_views, try_mask
from mfr_kit.studio.places import Kind
from mfr_kit.studio.studio import Studio

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_ADVICE = "load the page again"
MASK = {"look": str, "seed?": int, "style?": str, "changes?": {...: (float, str)}}
ANGLES = {name: float for name in try_mask.ANGLES}
TRY = {"photo": str, "mask": MASK, "angles?": (ANGLES, None)}
COMPARE = {"a": str, "b": str, "models": [str], "mask_a?": (MASK, None), "mask_b?": (MASK, None)}
HEAD = {**ANGLES, "person": int, "replaces?": str}
TAKE = {"set": str, "row": int}
MOST_MODELS = 4
MOST_PEOPLE = 1000  # numbers of drawn heads


@dataclass(frozen=True)
class Request:
    """What was asked: the query by name, and the body of a POST."""

    query: dict[str, str]
    body: bytes = b""

    def number(self, name: str) -> int:
        """Read a whole number >= 0 of the query, 0 where it is not there.

        Raises:
            KitError: it is none.
        """
        text = self.query.get(name) or "0"
        if not (text.isascii() and text.isdigit() and len(text) < 12):
            raise KitError(f"{name}={text[:20]}: a whole number from 0 on is wanted")
        return int(text)

    def table(self, shape: Any) -> dict[str, Any]:
        """Read the body as JSON of a shape.

        Raises:
            KitError: it has another.
        """
        where = "the request"
        return check(parse_json(self.body, where, _ADVICE), shape, where, _ADVICE)


@dataclass(frozen=True)
class File:
    """An answer that is a file: its bytes and type, and what it may do."""

    data: bytes
    kind: str
    policy: str = access.POLICY
    headers: dict[str, str] = field(default_factory=dict)


Answer = dict[str, Any] | File


def static(name: str) -> File | None:
    """Give a file of the page itself; None where there is none of this name."""
    known = {path.name: path for path in STATIC.iterdir() if path.suffix in TYPES}
    path = known.get(name)
    if path is None:
        return None
    return File(path.read_bytes(), f"{TYPES[path.suffix]}; charset=utf-8")


def state(studio: Studio, request: Request) -> Answer:
    """All that the page needs at its start; the folders are looked through again."""
    places, note = studio.look()
    listed: dict[str, list[dict[str, str]]] = {"set": [], "run": [], "report": []}
    for place in places:
        if place.kind in listed:
            listed[place.kind].append({"key": place.key, "name": place.name})
    sliders = try_mask.SLIDERS | try_mask.ANGLES
    return {
        "version": __version__,
        "note": note,
        "sets": listed["set"],
        "runs": listed["run"],
        "reports": listed["report"],
        "models": studio.models_offered(),
        "kinds": try_mask.looks_by_kind(),
        "sliders": {
            name: {"low": span.low, "high": span.high, "unit": span.unit}
            for name, span in sliders.items()
        },
        "most_bytes": studio.most_bytes,
    }


def upload(studio: Studio, request: Request) -> Answer:
    """Take a photograph and find its face."""
    upright = request.query.get("upright") == "1"
    with studio.detecting() as detector:
        found = photographs.read_photograph(request.body, detector, upright)
    return _held(studio, found, request.query.get("replaces", ""))


def draw_head(studio: Studio, request: Request) -> Answer:
    """Draw a head."""
    asked = request.table(HEAD)
    for name, span in try_mask.ANGLES.items():
        span.check(asked[name], name)
    if not 0 <= asked["person"] < MOST_PEOPLE:
        raise KitError(f"person: a number from 0 to {MOST_PEOPLE - 1}")
    found = photographs.draw_head(asked["yaw"], asked["pitch"], asked["roll"], asked["person"])
    return _held(studio, found, asked.get("replaces", ""))


def take_face(studio: Studio, request: Request) -> Answer:
    """Take a face of a set, to mask it or to compare it."""
    asked = request.table(TAKE)
    with studio.reading(asked["set"]) as faces:
        row = asked["row"]
        set_views.check_row(faces, row)
        found = photographs.of_face(faces.image(row), faces.points(row))
    return _held(studio, found, "")


def _held(studio: Studio, photograph: photographs.Photograph, replaces: str) -> dict[str, Any]:
    height, width = photograph.image.shape[:2]
    return {
        "photo": studio.photographs.add(photograph, replaces),
        "width": width,
        "height": height,
        "score": round(photograph.face.score, 3),
        "note": photograph.note,
        "angles": try_mask.angles_of(photograph),
        "image": _as_url(photograph.image),
        "face": _as_url(photograph.face.image),
    }


def put_mask(studio: Studio, request: Request) -> Answer:
    """Draw a mask on a photograph; says what was drawn for all that the user left open."""
    asked = request.table(TRY)
    photograph = studio.photographs.get(asked["photo"])
    mask, rng = _mask(asked["mask"])
    whole, face = try_mask.put_on(photograph, mask, rng, asked.get("angles"))
    return {"image": _as_url(whole), "face": _as_url(face), "parameters": mask.parameters}


def compare(studio: Studio, request: Request) -> Answer:
    """Score two photographs under some models, bare and with the masks that were asked for."""
    asked = request.table(COMPARE)
    if not 1 <= len(asked["models"]) <= MOST_MODELS:
        raise KitError(f"models: from 1 to {MOST_MODELS} at once")
    faces: dict[str, np.ndarray] = {}
    for side in ("a", "b"):
        photograph = studio.photographs.get(asked[side])
        faces[side] = photograph.face.image
        chosen = asked.get(f"mask_{side}")
        if chosen is not None:
            faces[f"{side} masked"] = try_mask.put_on(photograph, *_mask(chosen))[1]
    answers = []
    for key in asked["models"]:
        try:
            with studio.embedding(key) as (model, reports):
                answers.append({"key": key, **comparison.compare(model, faces, reports)})
        except KitError as error:
            answers.append({"key": key, "error": str(error)})
    return {"models": answers, "faces": {name: _as_url(face) for name, face in faces.items()}}


def _mask(asked: dict[str, Any]) -> tuple[Mask, np.random.Generator]:
    seed = asked.get("seed", 0)
    if not 0 <= seed < 1 << 31:
        raise KitError("seed: a whole number from 0 to 2147483647")
    rng = rng_for(seed)
    mask = try_mask.choose_mask(asked["look"], rng, asked.get("style", ""), asked.get("changes"))
    return mask, rng


def thumbnail(studio: Studio, request: Request) -> Answer:
    """A look on a small head."""
    kept = {"Cache-Control": "private, max-age=3600"}
    return File(try_mask.thumbnail(request.query.get("look", "")), "image/png", headers=kept)


def _of_set(view: Callable[[FaceSet, Request], Answer]) -> Callable[[Studio, Request], Answer]:
    def answer(studio: Studio, request: Request) -> Answer:
        with studio.reading(request.query.get("key", "")) as faces:
            return view(faces, request)

    return answer


def report(studio: Studio, request: Request) -> Answer:
    """What a report is of."""
    return runs.summarise_report(studio.place("report", request.query.get("key", "")))


def run(studio: Studio, request: Request) -> Answer:
    """A run's curves."""
    return runs.curves_of(studio.place("run", request.query.get("key", "")))


def page(studio: Studio, request: Request) -> Answer:
    """A file of a run or a report, which may be somebody else's: shut in."""
    kind: Kind = "run" if request.query.get("kind") == "run" else "report"
    place = studio.place(kind, request.query.get("key", ""))
    policy = access.STILL_POLICY if kind == "run" else access.PAGE_POLICY
    return File(*runs.read_page(place, request.query.get("name", "")), policy)


def _face(faces: FaceSet, request: Request) -> File:
    return File(*set_views.read_face(faces, request.number("row")))


GET: dict[str, Callable[[Studio, Request], Answer]] = {
    "/api/state": state,
    "/api/thumbnail": thumbnail,
    "/api/set": _of_set(lambda faces, request: set_views.summarise(faces)),
    "/api/people": _of_set(
        lambda faces, request: set_views.list_people(
            faces, request.query.get("search", ""), request.number("start")
        )
    ),
    "/api/person": _of_set(
        lambda faces, request: set_views.show_person(faces, request.number("code"))
    ),
    "/api/skipped": _of_set(
        lambda faces, request: set_views.list_skipped(
            faces, request.query.get("reason", ""), request.number("start")
        )
    ),
    "/api/face": _of_set(_face),
    "/api/report": report,
    "/api/run": run,
    "/page": page,
}
POST: dict[str, Callable[[Studio, Request], Answer]] = {
    "/api/photo": upload,
    "/api/head": draw_head,
    "/api/take": take_face,
    "/api/mask": put_mask,
    "/api/compare": compare,
}


def _as_url(image: np.ndarray) -> str:
    """Small pictures as PNG: they are looked at pixel by pixel."""
    small = max(image.shape[:2]) <= 160
    data = base64.b64encode(encode(image, ".png" if small else ".jpg")).decode()
    return f"data:image/{'png' if small else 'jpeg'};base64,{data}"
