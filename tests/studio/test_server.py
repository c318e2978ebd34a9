"""Who is let in by the studio, what is served, and what is not."""

import json
import re
import socket

import pytest

import mfr_kit as mk
from mfr_kit.errors import KitError
from mfr_kit.studio import answers
from mfr_kit.studio.options import StudioOptions
from mfr_kit.studio.server import MOST_JSON, Server
from tests.studio.conftest import photograph

HEAD = {"yaw": 5.0, "pitch": 0.0, "roll": 0.0, "person": 0}


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/api/state", "/api/face?key=x&row=0"])
def test_nothing_is_shown_without_the_key(client, path):
    assert client.ask(path, key=False).status == 401
    assert client.ask(path, key=False, headers={"Cookie": client.cookie[:-1] + "?"}).status == 401
    assert client.ask("/api/head", HEAD, key=False).status == 401


def test_the_printed_address_lets_the_browser_in(client):
    before, port, path = client.server.address.partition(str(client.server.server_port))
    assert (before, port) == ("http://127.0.0.1:", str(client.server.server_port))
    answer = client.ask(path, key=False)
    assert answer.status == 303
    assert answer.headers["Location"] == "/"
    assert {"HttpOnly", "SameSite=Strict"} <= set(answer.headers["Set-Cookie"].split("; "))
    assert client.ask("/?key=guess", key=False).status == 401
    page = client.ask("/", key=False, headers={"Cookie": answer.headers["Set-Cookie"]})
    assert page.status == 200
    assert b"MFR Kit studio" in page.body


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:8112"}, 403),
        ({"Host": "192.0.2.7"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": "localhost:9000"}, 200),  # through a tunnel
        ({"Host": "[::1]:8112"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:9000", "Origin": "http://localhost:8112"}, 403),
        ({"Host": "localhost:9000", "Origin": "http://localhost:9000"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_only_the_own_page_may_ask(client, headers, status):
    assert client.ask("/api/state", headers=headers).status == status
    assert client.ask("/api/head", HEAD, headers=headers).status == status


def test_every_answer_has_a_policy(client):
    for answer in (
        client.ask("/"),
        client.ask("/static/app.js"),
        client.ask("/api/state"),
        client.ask("/nothing"),
        client.ask("/api/head", b"x"),
    ):
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "mfr-kit" in answer.headers["Server"]
        assert "Python" not in answer.headers["Server"]


def test_the_page_names_no_other_server_and_needs_no_inline_code():
    for path in answers.STATIC.iterdir():
        text = path.read_text(encoding="utf-8")
        named = set(re.findall(r"(?:https?:)//[\w.-]+\.\w+[^'\"\s]*", text))
        assert named <= {"http://www.w3.org/2000/svg"}, path.name
        assert "innerHTML" not in text
        assert "insertAdjacentHTML" not in text
        if path.suffix == ".html":
            assert not re.search(r"\s(on\w+|style)=|<script>|<style>", text)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../answers.py",
        "/static/%2e%2e/answers.py",
        "/static//etc/passwd",
        "/static/",
        "/secret.txt",
        "/page?kind=report&name=report.html",
        "/page?kind=report&key={report}&name=../secret.txt",
        "/page?kind=report&key={report}&name=/etc/passwd",
        "/page?kind=run&key={report}&name=report.html",
        "/api/run?key={report}",
        "/api/set?key={report}",
        "/api/set?key=../set",
        "/api/face?key={set}&row=99999",
        "/api/face?key={set}&row=-1",
        "/api/face?key={set}&row=%00",
        "/api/person?key={set}&code=77",
        "/api/thumbnail?look=../../masks/surgical",
    ],
)
def test_nothing_else_is_served(client, path):
    named = {
        "report": client.key_of("reports", "shown/report"),
        "set": client.key_of("sets", "shown/set"),
    }
    answer = client.ask(path.format(**named))
    assert answer.status in (400, 404)
    assert set(answer.table) == {"error"}


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    faces = mk.draw_face_set(tmp_path / "elsewhere" / "set", people=2, photos=1)
    inside = tmp_path / "inside"
    own = mk.draw_face_set(inside / "own", people=2, photos=1)
    (inside / "linked").symlink_to(faces.folder, target_is_directory=True)
    picture = own.folder / own.keys[0]
    picture.unlink()
    picture.symlink_to(faces.folder / faces.keys[0])
    with Server(StudioOptions(folders=[inside], port=0)) as server:
        places, _ = server.studio.look()
        assert [place.name for place in places] == ["inside/own"]
        query = {"key": places[0].key, "row": "0"}
        with pytest.raises(KitError, match="link out of the set's folder"):
            answers.GET["/api/face"](server.studio, answers.Request(query))
        query["row"] = "1"
        assert answers.GET["/api/face"](server.studio, answers.Request(query)).data


def test_what_a_form_of_another_page_could_send_is_refused(client):
    plain = {"Content-Type": "text/plain"}
    assert client.ask("/api/head", json.dumps(HEAD).encode(), headers=plain).status == 415
    assert client.ask("/api/photo", photograph(), headers=plain).status == 415
    assert client.ask("/api/photo", photograph(), headers={"Content-Length": "x"}).status == 411


def test_what_is_too_large_is_not_read(client):
    claimed = {"Content-Length": str(MOST_JSON + 1), "Content-Type": "application/json"}
    assert client.ask("/api/head", b"", headers=claimed).status == 413
    claimed = {"Content-Length": str(client.server.studio.most_bytes + 1)}
    answer = client.ask("/api/photo", b"", headers=claimed)
    assert answer.status == 413
    assert "--max-upload-mib" in answer.table["error"]


def test_a_request_in_the_body_of_a_refused_one_is_not_answered(client):
    inner = f"GET /api/state HTTP/1.1\r\nHost: localhost\r\nCookie: {client.cookie}\r\n\r\n"
    outer = f"POST /api/head HTTP/1.1\r\nHost: evil.example\r\nContent-Length: {len(inner)}\r\n\r\n"
    said = b""
    with socket.create_connection(("127.0.0.1", client.server.server_port), timeout=60) as raw:
        raw.sendall((outer + inner).encode())
        try:
            while more := raw.recv(65536):
                said += more
        except ConnectionResetError:  # it hung up before it had read all
            pass
    assert b"version" not in said
    assert said.count(b"HTTP/1.1 ") <= 1
    assert b"HTTP/1.1 200" not in said


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/api/head", b"{", "not whole JSON"),
        ("/api/head", b"[]", "is expected"),
        ("/api/head", json.dumps(HEAD | {"yaw": 1e9}).encode(), "yaw"),
        ("/api/head", json.dumps(HEAD | {"person": -1}).encode(), "person"),
        ("/api/mask", b'{"photo": "gone", "mask": {"look": "surgical-blue"}}', "not held any more"),
    ],
)
def test_a_wrong_request_says_what_is_wrong(client, path, body, says):
    answer = client.ask(path, body, headers={"Content-Type": "application/json"})
    assert answer.status == 400
    assert says in answer.table["error"]


def test_a_report_opens_in_a_sandbox(client):
    key = client.key_of("reports", "shown/report")
    about = client.ask(f"/api/report?key={key}").table
    assert (about["models"], about["set"]) == (["pixels"], "set")
    assert about["pages"] == ["report.html", "report.json"]
    page = client.ask(f"/page?kind=report&key={key}&name=report.html")
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox ")
    assert "allow-same-origin" not in policy
    assert "default-src 'none'" in policy


def test_a_page_of_a_run_may_renew_itself_and_run_nothing(client):
    key = client.key_of("runs", "shown/run")
    page = client.ask(f"/page?kind=run&key={key}&name=config.toml")
    assert page.headers["Content-Type"] == "text/plain; charset=utf-8"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert "sandbox" not in policy


def test_head_asks_for_no_body(client):
    answer = client.ask("/", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 100


def test_an_error_of_the_kit_is_an_answer_too(client, monkeypatch):
    def fail(studio, request):
        raise ZeroDivisionError("private text")

    monkeypatch.setitem(answers.GET, "/api/fail", fail)
    answer = client.ask("/api/fail")
    assert answer.status == 500
    assert "ZeroDivisionError" in answer.table["error"]
    assert b"private text" not in answer.body


def test_folders_and_addresses_that_cannot_be_used(client, tmp_path):
    with pytest.raises(KitError, match="does not exist"):
        Server(StudioOptions(folders=[tmp_path / "none"], port=0))
    with pytest.raises(KitError, match="--port 0"):
        Server(StudioOptions(port=client.server.server_port))
