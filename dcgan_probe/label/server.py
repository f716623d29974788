"""Serve the page on this machine alone: a fixed table of routes, and who may ask for them."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dcgan_probe.errors import InputError
from dcgan_probe.label.work_file import NotSaved
from dcgan_probe.storage.json_values import Value

HOST = "127.0.0.1"
MAX_BODY = 64 * 1024
PATIENCE = 30  # seconds until a silent connection is closed

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
HTML, CSS, JS = "text/html; charset=utf-8", "text/css; charset=utf-8", "text/javascript"
STATIC = {
    "/": ("index.html", HTML),
    "/style.css": ("style.css", CSS),
    **{f"/{name}.js": (f"{name}.js", JS) for name in (
        "app", "boxes", "concepts", "drawing", "forget", "server", "sheet", "stage")},
}  # fmt: skip

Answer = Callable[[Value], dict[str, Any]]


class Refused(Exception):
    """A request that is answered with a status and one line, and nothing else."""

    def __init__(self, status: HTTPStatus, line: str):
        super().__init__(line)
        self.status = status


class Server(ThreadingHTTPServer):
    """Serves files and answers to whoever has the token, on 127.0.0.1.

        >>> server = Server(0, {"/samples.png": png}, {"/join": lambda request: {"n": 150}})
        >>> server.address
        'http://127.0.0.1:43121/?token=...'

    The token is good once, for a cookie. files: PNG bytes by path. answers: what is called with
    the JSON of a POST, by path, and returns JSON. Raises InputError for a port that is in use.
    """

    daemon_threads = True
    # Elsewhere than on POSIX it would let two servers have one port.
    allow_reuse_address = os.name == "posix"

    def __init__(self, port: int, files: dict[str, bytes], answers: dict[str, Answer]):
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise InputError(
                f"--port {port}: cannot be served on: {error.strerror or error}; "
                "expected a free port, or no --port"
            ) from error
        self.port: int = self.server_address[1]
        static = resources.files("dcgan_probe.label") / "static"
        self.files = {
            path: ((static / name).read_bytes(), kind) for path, (name, kind) in STATIC.items()
        } | {path: (data, "image/png") for path, data in files.items()}
        self.answers = answers
        self.cookie = f"dcgan-probe-{self.port}"  # cookies of one host are shared by its ports
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
        """A browser that goes away in the middle of an answer is no news."""
        import sys

        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    server_version, sys_version = "dcgan-probe", ""
    error_content_type, error_message_format = "text/plain; charset=utf-8", "%(message)s\n"

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
        url = urlsplit(self.path)
        if url.path not in self.server.files:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")
        headers = {}
        if not self._known():
            (token,) = parse_qs(url.query).get("token", [""])[:1]
            if url.path != "/" or not self.server.redeem(token):
                raise Refused(
                    HTTPStatus.FORBIDDEN,
                    "expected the address that dcgan-probe label printed, in the browser that "
                    "opened it first",
                )
            # Not a redirect: after one, a cookie that is strict stays out if a link led here.
            headers["Set-Cookie"] = (
                f"{self.server.cookie}={self.server.secret}; HttpOnly; SameSite=Strict; Path=/"
            )
        data, kind = self.server.files[url.path]
        self._send(HTTPStatus.OK, data, kind, headers)

    def _post(self) -> None:
        answer = self.server.answers.get(self.path)
        if answer is None:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")
        if not self._known():
            raise Refused(HTTPStatus.FORBIDDEN, "expected the cookie of this run")
        if self.headers.get("Origin") not in {f"http://{host}" for host in self._hosts()}:
            raise Refused(HTTPStatus.FORBIDDEN, "expected a request of the page itself")
        request = self._body()
        try:
            reply = answer(Value(request, "request"))
        except NotSaved as error:
            raise Refused(HTTPStatus.INSUFFICIENT_STORAGE, str(error)) from error
        except InputError as error:
            raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from error
        self._send_json(HTTPStatus.OK, reply)

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

    def _known(self) -> bool:
        try:
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(self.server.cookie)
        except CookieError:
            return False
        return cookie is not None and _same(cookie.value, self.server.secret)

    def _send_json(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        self._send(status, json.dumps(value).encode(), "application/json", {})

    def _send(self, status: HTTPStatus, data: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        own = {"Content-Type": kind, "Content-Length": str(len(data))}
        for name, value in {**HEADERS, **own, **headers}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)


def _same(token: str, secret: str) -> bool:
    return secrets.compare_digest(token.encode(), secret.encode())
