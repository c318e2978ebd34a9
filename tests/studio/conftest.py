"""A studio that answers on a free port of this machine, and a browser's side of it."""

import http.client
import json
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from torch import nn

import mfr_kit as mk
from mfr_kit import assets
from mfr_kit.data.images import encode
from mfr_kit.errors import KitError
from mfr_kit.masks import drawn_heads
from mfr_kit.models.operating_points import META_POINTS
from mfr_kit.studio.options import StudioOptions
from mfr_kit.studio.server import Server
from tests.conftest import write_faceset

THRESHOLDS = {"nonmask-nonmask": 0.5, "mask-nonmask": -0.9, "mask-mask": 0.999999}


class Answer(NamedTuple):
    """What the server said."""

    status: int
    headers: Any
    body: bytes

    @property
    def table(self) -> dict:
        return json.loads(self.body)


class Client:
    """Asks one server as its own page does, unless told otherwise."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cookie = server.gate.cookie(server.server_port).split(";")[0]

    def ask(
        self,
        path: str,
        body: bytes | dict | None = None,
        headers: dict[str, str] | None = None,
        key: bool = True,
        method: str = "",
    ) -> Answer:
        sent = {"Cookie": self.cookie} if key else {}
        if isinstance(body, dict):
            body, sent = json.dumps(body).encode(), {**sent, "Content-Type": "application/json"}
        elif body is not None:
            sent["Content-Type"] = "application/octet-stream"
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=60)
        method = method or ("GET" if body is None else "POST")
        connection.request(method, path, body, sent | (headers or {}))
        answer = connection.getresponse()
        found = Answer(answer.status, answer.headers, answer.read())
        connection.close()
        return found

    def key_of(self, kind: str, name: str) -> str:
        """The key of something that the page lists."""
        listed = self.ask("/api/state").table[kind]
        return next(item["key"] for item in listed if item["name"] == name)


def need(asset: str) -> None:
    """Skip, saying so, without an asset."""
    try:
        assets.path(asset)
    except KitError as error:
        pytest.skip(f"the asset {asset} is not here: {error}")


def photograph(person: int = 0, yaw: float = 5.0) -> bytes:
    """A JPEG of a drawn head."""
    return encode(drawn_heads.draw(320, yaw, 0, 0, person)[0])


def flat_picture() -> bytes:
    """A PNG without a face."""
    return encode(np.full((200, 300, 3), 120, np.uint8), ".png")


def write_model(path: Path, mirrored: bool = False) -> Path:
    """Write an ONNX recogniser that carries thresholds."""
    network = nn.Sequential(nn.Conv2d(3, 8, 28, stride=28), nn.Flatten())
    mk.export_onnx(network, path)
    proto = onnx.load(path)
    usual = {"tar": 0.9, "low": None, "high": None, "false_accepts": 40}
    usual |= {"genuine": 100, "impostor": 40_000}
    points = [
        {"protocol": protocol, "far": 1e-3, "threshold": threshold, **usual}
        for protocol, threshold in THRESHOLDS.items()
    ]
    about = {"name": "made-up", "fingerprint": "0", "faces": 10, "people": 5}
    table = {"set": about, "mirrored": mirrored, "points": points}
    proto.metadata_props.add(key=META_POINTS, value=json.dumps(table))
    onnx.save(proto, path)
    return path


@pytest.fixture(scope="session")
def shown(tmp_path_factory) -> Path:
    """A folder with a face set, a run, a report and a model."""
    folder = tmp_path_factory.mktemp("studio") / "shown"
    write_faceset(folder / "set", people=6, takes=2)
    write_model(folder / "model.onnx")
    report = folder / "report"
    report.mkdir()
    results = {"models": {"pixels": {"tar_at_far": []}}}
    table = {"models": [{"name": "pixels"}], "set": {"name": "set", "people": 6}}
    table |= {"protocols": {"nonmask-nonmask": results}}
    (report / "report.json").write_text(json.dumps(table))
    (report / "report.html").write_text("<!doctype html><title>r</title><script>1</script>")
    run = folder / "run"
    run.mkdir()
    (run / "config.toml").write_text('student = "mobilefacenet"\n')
    lines = [{"step": step, "loss": 9 / step, "terms": {"fcd": 1 / step}} for step in range(1, 9)]
    lines.append({"step": 8, "validation": {"masked": 0.5, "clean": 0.75}})
    lines.append({"step": 9, "validation": {"masked": 0.6, "clean": 0.8}})
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "secret.txt").write_text("hidden words")
    return folder


@pytest.fixture(scope="session")
def client(shown: Path):
    """A running studio of that folder."""
    options = StudioOptions(folders=[shown], port=0, model=[str(shown / "model.onnx")])
    with Server(options) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Client(server)
        server.shutdown()
        thread.join()
