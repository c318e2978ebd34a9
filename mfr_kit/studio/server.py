"""The studio's HTTP server: Python's own, on loopback; photographs stay in memory."""

import json
import socket
import sys
import webbrowser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from mfr_kit import __version__, system_errors
from mfr_kit.errors import KitError
from mfr_kit.studio import access, answers
from mfr_kit.studio.answers import File, Request
from mfr_kit.studio.options import StudioOptions
from mfr_kit.studio.studio import Studio

MOST_JSON = 1 << 16  # bytes of a request that is no photograph
PATIENCE_S = 60  # a connection on which nothing comes is closed
_LOCKED = "Open the address with ?key=... that `kit.py studio` printed."


class Server(ThreadingHTTPServer):
    """Listens from when it is made; `serve_forever` answers.

    Args:
        options: see there.
    Raises:
        KitError: a folder that there is not, or an address that cannot be listened on.
    """

    daemon_threads = True

    def __init__(self, options: StudioOptions) -> None:
        self.studio, self.gate = Studio(options), access.Gate(options.host)
        if ":" in options.host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((options.host.strip("[]"), options.port), Handler)
        except OSError as error:
            raise KitError(
                f"cannot listen on {options.host}, port {options.port} ({error.strerror}): "
                "another --port, or --port 0 for one that is free"
            ) from None

    @property
    def address(self) -> str:
        """What to open in a browser."""
        host = str(self.server_address[0])
        host = "127.0.0.1" if host == "0.0.0.0" else "::1" if host == "::" else host
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self.server_port}/?key={self.gate.key}"

    def server_bind(self) -> None:
        """Bind without looking up the machine's name, which may take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that hung up."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = f"mfr-kit/{__version__}", ""
    timeout = PATIENCE_S

    def do_GET(self) -> None:
        if not self._is_allowed():
            return
        path, query = self._target()
        if path == "/" and "key" in query:
            self._let_in(query["key"])
        elif not self.server.gate.has_key(self.headers, self.server.server_port):
            self._refuse(HTTPStatus.UNAUTHORIZED, _LOCKED)
        elif path == "/" or path.startswith("/static/"):
            found = answers.static(path.removeprefix("/static/") if path != "/" else "index.html")
            if found is None:
                self._refuse(HTTPStatus.NOT_FOUND, "no such file")
            else:
                self._send_file(found)
        else:
            self._answer(answers.GET, path, Request(query))

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.close_connection = True  # until the body was read, it must not be taken for a request
        if not self._is_allowed():
            return
        if not self.server.gate.has_key(self.headers, self.server.server_port):
            self._refuse(HTTPStatus.UNAUTHORIZED, _LOCKED)
            return
        path, query = self._target()
        is_photo = path == "/api/photo"
        # Neither is what a form of another page can send without asking.
        wanted = "application/octet-stream" if is_photo else "application/json"
        if self.headers.get_content_type() != wanted:
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"{wanted} is wanted")
            return
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "a request of unknown length")
            return
        most = self.server.studio.most_bytes if is_photo else MOST_JSON
        if int(length) > most:
            self._refuse(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"{int(length):,} bytes: the most that is taken is {most:,} (--max-upload-mib)",
            )
            return
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return  # the browser hung up
        self.close_connection = self.headers.get("Connection", "").lower() == "close"
        self._answer(answers.POST, path, Request(query, body))

    def _is_allowed(self) -> bool:
        why = self.server.gate.why_not(self.headers)
        if why:
            self._refuse(HTTPStatus.FORBIDDEN, why)
        return not why

    def _target(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        return parts.path, dict(parse_qsl(parts.query, keep_blank_values=True))

    def _let_in(self, key: str) -> None:
        if not self.server.gate.is_key(key):
            self._refuse(HTTPStatus.UNAUTHORIZED, _LOCKED)
            return
        cookie = self.server.gate.cookie(self.server.server_port)
        self._send(HTTPStatus.SEE_OTHER, b"", {"Location": "/", "Set-Cookie": cookie})

    def _answer(self, routes: dict, path: str, request: Request) -> None:
        route = routes.get(path)
        if route is None:
            self._refuse(HTTPStatus.NOT_FOUND, "no such address")
            return
        try:
            found = route(self.server.studio, request)
        except KitError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
            return
        except Exception as error:
            line = system_errors.explain(error)
            self._refuse(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                line or f"an error of the kit ({type(error).__name__}); the terminal shows it",
            )
            if line is None:  # a bug of ours: its traceback says most
                raise
            return
        if isinstance(found, File):
            self._send_file(found)
        else:
            self._send_json(HTTPStatus.OK, found)

    def _send_file(self, file: File) -> None:
        own = {"Content-Type": file.kind, "Content-Security-Policy": file.policy}
        self._send(HTTPStatus.OK, file.data, own | file.headers)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._send_json(status, {"error": why})

    def _send_json(self, status: HTTPStatus, table: dict[str, Any]) -> None:
        # names that are no UTF-8 stay readable, and stay one answer
        data = json.dumps(table, allow_nan=False).encode("ascii")
        self._send(status, data, {"Content-Type": "application/json"})

    def _send(self, status: HTTPStatus, data: bytes, own: dict[str, str]) -> None:
        self.send_response(status)
        usual = {**access.HEADERS, "Content-Security-Policy": access.POLICY}
        for name, value in (usual | own | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Print no line a request."""


def serve(options: StudioOptions) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    Raises:
        KitError: see `Server`.
    """
    with Server(options) as server:
        print(f"studio: {server.address}", flush=True)
        print("Photographs stay in memory. Ctrl-C stops it.", flush=True)
        if options.open:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("\nstopped")
