"""Serve a page on this machine only: a fixed table of routes, and access checks."""

from __future__ import annotations

import io
import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import PurePosixPath
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dcgan_probe.errors import InputError
from dcgan_probe.pages.work_file import NotSaved
from dcgan_probe.storage.json_values import Value

HOST = "127.0.0.1"
MAX_BODY = 64 * 1024
IDLE = 30.0  # seconds until a silent connection is closed
PATIENCE = 10.0  # seconds that a request may take to arrive
WRONG_ADDRESS = (
    "expected the address that dcgan-probe printed, which is good once, or that of the page which "
    "it opened"
)

HEADERS = {
    # Trusted types: a page that took a label for markup would stop, not run it.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript",
    ".png": "image/png",
}

Answer = Callable[[Value], dict[str, Any] | bytes]


@dataclass(frozen=True)
class Page:
    """The static files of a page: names in `static` of a package, and those that pages share."""

    package: str
    names: tuple[str, ...]
    shared: tuple[str, ...] = ()

    def files(self) -> dict[str, bytes]:
        """The content of each by its path, that of index.html by "/"."""
        found = {}
        for package, names in ((self.package, self.names), ("dcgan_probe.pages", self.shared)):
            static = resources.files(package) / "static"
            for name in names:
                path = "/" if name == "index.html" else f"/{name}"
                found[path] = (static / name).read_bytes()
        return found


class Refused(Exception):
    """A request that is answered with a status and one line, and nothing else."""

    def __init__(self, status: HTTPStatus, line: str):
        super().__init__(line)
        self.status = status


class Server(ThreadingHTTPServer):
    """Serves files and answers to clients with the token, on 127.0.0.1.

        >>> server = Server(page, 0, {"/samples.png": png}, {"/join": lambda request: {"n": 150}})
        >>> server.address
        'http://127.0.0.1:43121/?token=...'

    The token is good once, and leads to a secret path, below which all lies: a cookie would reach
    whatever else is served on this machine. files: their bytes by path. answers: what is called
    with the JSON of a POST, by path; it returns JSON values or bytes. Raises InputError for a port
    that is in use.
    """

    daemon_threads = True
    # Elsewhere than on POSIX it would let two servers have one port.
    allow_reuse_address = os.name == "posix"

    def __init__(
        self, page: Page, port: int, files: dict[str, bytes], answers: Mapping[str, Answer]
    ):
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise InputError(
                f"--port {port}: cannot be served on: {error.strerror or error}; "
                "expected a free port, or no --port"
            ) from error
        self.port: int = self.server_address[1]
        self.files = page.files() | files
        self.answers = answers
        self.secret = secrets.token_urlsafe(32)
        self._token: str | None = secrets.token_urlsafe(32)
        self._lock = Lock()
        self.address = f"http://{HOST}:{self.port}/?token={self._token}"

    def redeem(self, token: str) -> bool:
        """Whether this is the token, which is used up by it."""
        with self._lock:
            good = self._token is not None and _same(token, self._token)
            if good:
                self._token = None
            return good

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle of an answer is not an error."""
        import sys

        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Patient(io.RawIOBase):
    """Reads from a connection: waits long for a request, but not for the rest of it."""

    def __init__(self, connection: socket.socket):
        self._connection = connection
        self.begin()

    def begin(self) -> None:
        """A new request may come."""
        self._end: float | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = IDLE if self._end is None else self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        count = self._connection.recv_into(buffer)
        if self._end is None:
            self._end = time.monotonic() + PATIENCE
        self._connection.settimeout(IDLE)  # for what is sent
        return count


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_version, sys_version = "dcgan-probe", ""
    error_content_type, error_message_format = "text/plain; charset=utf-8", "%(message)s\n"

    def setup(self) -> None:
        super().setup()
        self._stream = _Patient(self.connection)
        self.rfile = io.BufferedReader(self._stream)

    def handle_one_request(self) -> None:
        self._stream.begin()
        super().handle_one_request()

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, method: Callable[[], None]) -> None:
        try:
            self._check_host()
            method()
        except Refused as refused:
            # What is left of a body that was not read must not be taken for the next request.
            self.close_connection = True
            self._send_json(refused.status, {"error": str(refused)})

    def _get(self) -> None:
        if "Transfer-Encoding" in self.headers or self.headers.get("Content-Length", "0") != "0":
            raise Refused(HTTPStatus.BAD_REQUEST, "expected a GET without a body")
        try:
            url = urlsplit(self.path)
        except ValueError as error:  # such as http://[
            raise Refused(HTTPStatus.BAD_REQUEST, "expected an address") from error
        if url.path == "/":
            (token,) = parse_qs(url.query).get("token", [""])[:1]
            if not self.server.redeem(token):
                raise Refused(HTTPStatus.FORBIDDEN, WRONG_ADDRESS)
            self._send(HTTPStatus.SEE_OTHER, b"", "", {"Location": f"/{self.server.secret}/"})
            return
        path = self._below_the_secret(url.path)
        if path not in self.server.files:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")
        kind = KINDS[".html" if path == "/" else PurePosixPath(path).suffix]
        self._send(HTTPStatus.OK, self.server.files[path], kind, {})

    def _post(self) -> None:
        answer = self.server.answers.get(self._below_the_secret(self.path))
        if answer is None:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")
        if self.headers.get("Origin") not in {f"http://{host}" for host in self._hosts()}:
            raise Refused(HTTPStatus.FORBIDDEN, "expected a request of the page itself")
        request = self._body()
        try:
            reply = answer(Value(request, "request"))
        except NotSaved as error:
            raise Refused(HTTPStatus.INSUFFICIENT_STORAGE, str(error)) from error
        except InputError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from error
        if isinstance(reply, bytes):
            self._send(HTTPStatus.OK, reply, "application/octet-stream", {})
        else:
            self._send_json(HTTPStatus.OK, reply)

    def _below_the_secret(self, path: str) -> str:
        first, _, rest = path.removeprefix("/").partition("/")
        if not path.startswith("/") or not _same(first, self.server.secret):
            raise Refused(HTTPStatus.FORBIDDEN, WRONG_ADDRESS)
        return f"/{rest}"

    def _body(self) -> Any:
        if self.headers.get_content_type() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/json")
        length = self.headers.get("Content-Length", "")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "expected a Content-Length")
        if len(length) > 9 or int(length) > MAX_BODY:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {MAX_BODY} bytes")
        try:
            return json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "expected JSON") from error

    def _hosts(self) -> set[str]:
        return {f"{name}:{self.server.port}" for name in (HOST, "localhost")}

    def _check_host(self) -> None:
        # A name that somebody else made point here would carry their page's requests to us.
        if self.headers.get("Host") not in self._hosts():
            raise Refused(HTTPStatus.FORBIDDEN, f"expected the host {HOST}:{self.server.port}")

    def _send_json(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        self._send(status, json.dumps(value).encode(), "application/json", {})

    def _send(self, status: HTTPStatus, data: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        own = {"Content-Type": kind} if kind else {}
        own["Content-Length"] = str(len(data))
        for name, value in {**HEADERS, **own, **headers}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)


def _same(token: str, secret: str) -> bool:
    return secrets.compare_digest(token.encode(errors="replace"), secret.encode())
