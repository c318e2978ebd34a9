"""What a browser may ask the studio for, and the same damaged."""

import functools
import json
import random
import tempfile
from pathlib import Path

from tests import damage
from tests.side_files import make_run, make_set

MASK = {
    "look": "surgical-pink",
    "seed": 3,
    "style": "",
    "changes": {"top": 30.0, "hue": 0.01, "base": "#aabbcc"},
}
ANGLES = {"yaw": 10.0, "pitch": 0.0, "roll": 0.0}
HEAD = {**ANGLES, "person": 3}
PAIR = {"a": "PHOTO", "b": "PHOTO", "models": ["RUN"], "mask_b": MASK}
ASKED = {
    "state": ("/api/state", {}, None),
    "thumbnail": ("/api/thumbnail", {"look": "surgical-pink"}, None),
    "set": ("/api/set", {"key": "SET"}, None),
    "people": ("/api/people", {"key": "SET", "search": "p0", "start": "0"}, None),
    "person": ("/api/person", {"key": "SET", "code": "1"}, None),
    "skipped": ("/api/skipped", {"key": "SET", "reason": "no_face", "start": "0"}, None),
    "face": ("/api/face", {"key": "SET", "row": "1"}, None),
    "run": ("/api/run", {"key": "RUN"}, None),
    "page": ("/page", {"kind": "run", "key": "RUN", "name": "progress.html"}, None),
    "head": ("/api/head", {}, HEAD),
    "take": ("/api/take", {}, {"set": "SET", "row": 2}),
    "mask": ("/api/mask", {}, {"photo": "PHOTO", "mask": MASK, "angles": ANGLES}),
    "compare": ("/api/compare", {}, PAIR),
}


def make(folder: Path) -> dict[str, bytes]:
    """Compose a request of each kind."""
    return {f"{name}.json": json.dumps(asked).encode() for name, asked in ASKED.items()}


def damage_of(data: bytes, rng: random.Random) -> bytes:
    """Damage what is asked, as JSON or as bytes."""
    if rng.random() < 0.2:
        return damage.bytes_of(data, rng)
    return damage.json_of(data.decode(), rng).encode("utf-8", "surrogatepass")


def ask(path: Path, _: int) -> None:
    """Answer a request as the server does; what is no request cannot be asked."""
    from mfr_kit.studio import answers

    opened, names = studio()
    try:
        address, query, asked = json.loads(path.read_bytes())
        query = {str(name): str(value) for name, value in query.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        address, query, asked = "/api/mask", {}, None
    body = path.read_bytes() if asked is None else json.dumps(asked).encode()
    for name, key in names.items():
        body = body.replace(name.encode(), key.encode())
        query = {word: value.replace(name, key) for word, value in query.items()}
    address = address if isinstance(address, str) else ""
    route = answers.GET.get(address) or answers.POST.get(address)
    if route is not None:
        found = route(opened, answers.Request(query, body))
        if not isinstance(found, answers.File):
            json.dumps(found, allow_nan=False)


@functools.cache
def studio():
    """Return this process's studio, and what stands in a request for its keys."""
    from mfr_kit.studio import answers
    from mfr_kit.studio.options import StudioOptions
    from mfr_kit.studio.studio import Studio
    from mfr_kit.training import run_page

    folder = Path(tempfile.mkdtemp(dir=Path.cwd()))
    for name, make in (("set", make_set), ("run", make_run)):
        (folder / name).mkdir()
        make(folder / name)
    run_page.write_page(folder / "run", [], 4)
    opened = Studio(StudioOptions(folders=[folder], threads=1))
    names = {place.kind.upper(): key for key, place in opened._places.items()}
    photo = answers.draw_head(opened, answers.Request({}, json.dumps(HEAD).encode()))["photo"]
    return opened, {**names, "PHOTO": photo}
