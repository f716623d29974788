"""The server of `dcgan-probe label`: who may ask it for what, without a browser."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time

import numpy as np
import pytest

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.label.desk import Desk
from dcgan_probe.label.opening import PAGE
from dcgan_probe.label.work import BoxWork
from dcgan_probe.pages.server import MAX_BODY, Server
from dcgan_probe.storage import files

BOX = {"label": "window", "x0": 1, "y0": 2, "x1": 8, "y1": 9.5}


@pytest.fixture
def desk(session, tmp_path):
    sha = session.checkpoint.sha256
    return Desk(session, BoxWork(tmp_path / "windows.json", 6, (32, 32), 0, sha), [])


@pytest.fixture
def server(desk):
    with Server(PAGE, 0, {"/samples.png": desk.samples()}, desk.answers) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def asked(server, method, path, body=None, secret=None, **headers):
    """Status, headers and body of an answer; a header that is None is left out.

    secret: below which path; that of the server if not given, and "" for none.
    """
    path = f"/{secret or server.secret}{path}" if secret != "" else path
    own = {
        "Host": f"127.0.0.1:{server.port}",
        "Origin": f"http://127.0.0.1:{server.port}",
        "Content-Type": "application/json",
    }
    own |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    data = json.dumps(body).encode() if body is not None else b""
    if method == "POST" and "Content_Length" not in headers:
        own["Content-Length"] = str(len(data))
    for name, value in own.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(data)
    response = connection.getresponse()
    found = response.status, response.headers, response.read()
    connection.close()
    return found


def test_the_token_is_good_once_and_leads_to_a_secret_path(server):
    path = server.address.partition(str(server.port))[2]
    assert asked(server, "GET", "/?token=wrong", secret="")[0] == 403
    status, headers, page = asked(server, "GET", path, secret="")
    assert (status, page) == (303, b"")
    assert asked(server, "GET", path, secret="")[0] == 403
    assert headers["Location"] == f"/{server.secret}/"
    status, headers, page = asked(server, "GET", headers["Location"], secret="")
    assert (status, page[:15]) == (200, b"<!doctype html>")
    assert "Set-Cookie" not in headers  # it would reach whatever else this machine serves
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy


@pytest.mark.parametrize("path", ["/", "/app.js", "/style.css", "/samples.png"])
@pytest.mark.parametrize("secret", ["", "wrong", "%2e%2e"])
def test_nothing_is_given_to_who_does_not_know_the_path(server, path, secret):
    assert asked(server, "GET", path, secret=secret)[0] in (400, 403)
    assert asked(server, "POST", "/join", {"tab": "a"}, secret=secret)[0] in (400, 403)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "", None])
def test_another_host_is_refused(server, host):
    assert asked(server, "GET", "/", Host=host)[0] in (400, 403)
    assert asked(server, "POST", "/join", {"tab": "a"}, Host=host)[0] in (400, 403)


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1:1"])
def test_another_origin_is_refused(server, origin):
    assert asked(server, "POST", "/join", {"tab": "a"}, Origin=origin)[0] == 403


def test_the_way_through_a_tunnel_is_as_good(server):
    name = f"localhost:{server.port}"
    found = asked(server, "POST", "/join", {"tab": "a"}, Host=name, Origin=f"http://{name}")
    assert found[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../work.py",
        "/static/app.js",
        "/%2e%2e/work.py",
        "//etc/passwd",
        "/index.html",
        "/" + "x" * 5000,
    ],
)
def test_a_path_is_one_of_the_table_or_nothing(server, path):
    assert asked(server, "GET", path)[0] == 404
    assert asked(server, "POST", path + "x", {"tab": "a"})[0] == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Length": str(MAX_BODY + 1)}, 413),
        ({"Content_Length": "9" * 5000}, 413),
        ({"Content_Length": "-1"}, 411),
        ({"Content_Length": None}, 411),
        ({"Content_Length": None, "Transfer_Encoding": "chunked"}, 411),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": None}, 415),
    ],
)
def test_a_body_is_json_and_bounded(server, headers, status):
    found = asked(server, "POST", "/join", {"tab": "a"}, **headers)
    assert found[0] == status
    assert found[1]["Connection"] == "close"  # the body was not read


@pytest.mark.parametrize("text", [b"{", b"\xff", b"[" * 20_000, b"1" * 5000, b'{"tab": 5}'])
def test_a_body_that_makes_no_sense_is_one_line(server, text):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    host = f"127.0.0.1:{server.port}"
    connection.request("POST", f"/{server.secret}/join", text, {
        "Host": host, "Origin": f"http://{host}", "Content-Type": "application/json",
    })  # fmt: skip
    response = connection.getresponse()
    assert response.status == 400
    assert list(json.loads(response.read())) == ["error"]
    connection.close()


def test_other_methods_are_not_answered(server):
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE"):
        assert asked(server, method, "/")[0] == 501


def spoken(server, data, wait=5.0):
    """All that comes back for bytes on a connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=wait) as connection:
        connection.sendall(data)
        found = b""
        with contextlib.suppress(TimeoutError):
            while part := connection.recv(65536):
                found += part
    return found


@pytest.mark.parametrize("target", ["http://[", "http://[::1", "*", "x", "//", "/\x00", "/é/"])
def test_an_address_that_is_none_is_one_answer(server, target, capfd):
    host = f"Host: 127.0.0.1:{server.port}\r\nConnection: close\r\n"
    for method in ("GET", "POST"):
        found = spoken(server, f"{method} {target} HTTP/1.1\r\n{host}\r\n".encode())
        assert found.startswith((b"HTTP/1.1 400", b"HTTP/1.1 403"))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("length", ["Content-Length: 38", "Transfer-Encoding: chunked"])
def test_a_get_with_a_body_is_one_answer(server, length):
    host = f"Host: 127.0.0.1:{server.port}\r\n"
    body = f"GET /{server.secret}/ HTTP/1.1\r\n{host}\r\n"
    found = spoken(
        server, f"GET /{server.secret}/ HTTP/1.1\r\n{host}{length}\r\n\r\n{body}".encode()
    )
    assert found.count(b"HTTP/1.1") == 1 and found.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("part", ["headers", "body"])
def test_what_drips_in_is_cut_off(server, monkeypatch, part):
    monkeypatch.setattr("dcgan_probe.pages.server.PATIENCE", 0.3)
    head = f"POST /{server.secret}/join HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
    if part == "body":
        origin = f"Origin: http://127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
        head += f"{origin}Content-Length: 1000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(head.encode())
        began, sent = time.monotonic(), 0
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 3:
                connection.sendall(b"x")
                sent += 1
                time.sleep(0.02)
        assert sent < 60


def test_one_tab_writes_and_another_may_take_over(server, desk):
    def post(path, tab, **body):
        return json.loads(asked(server, "POST", path, {"tab": tab, **body})[2])

    mine = {"image": 0, "looked": True, "boxes": [BOX]}
    assert post("/join", "a")["writes"] is True
    assert post("/join", "b")["writes"] is False
    assert post("/change", "b", **mine) == {"writes": False}
    assert desk.work.boxes is None
    assert post("/take", "b")["writes"] is True
    assert post("/change", "a", **mine) == {"writes": False}
    assert post("/change", "b", **mine) == {"writes": True}
    assert post("/leave", "a") == {} and post("/alive", "a") == {"writes": False}
    assert post("/leave", "b") == {} and post("/alive", "a") == {"writes": True}
    assert post("/join", "a")["images"] == {"0": [BOX]}


def test_a_full_disk_is_said_with_a_status_of_its_own(server, monkeypatch):
    def full(path, text):
        raise InputError(f"{path}: cannot be written: No space left on device")

    monkeypatch.setattr(files, "write_text", full)
    body = {"tab": "a", "image": 0, "looked": True, "boxes": []}
    status, _, said = asked(server, "POST", "/change", body)
    assert status == 507 and "No space left on device" in json.loads(said)["error"]


def test_it_listens_on_this_machine_alone(server):
    assert server.server_address[0] == "127.0.0.1"


def test_samples_are_one_picture_of_the_samples(server, session):
    import cv2

    data = np.frombuffer(asked(server, "GET", "/samples.png")[2], np.uint8)
    sheet = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    pixels = dp.figures.pixels(session.sample(6))
    np.testing.assert_array_equal(sheet[:32, 5 * 32 : 6 * 32], pixels[5])
