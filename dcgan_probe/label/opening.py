"""Open the page of a work file in a browser, and serve it until Ctrl-C."""

from __future__ import annotations

import getpass
import os
import re
import sys
import webbrowser
from pathlib import Path

import click

from dcgan_probe.errors import InputError
from dcgan_probe.label import MAX_SAMPLES
from dcgan_probe.label.desk import Desk
from dcgan_probe.label.picks import ConceptWork
from dcgan_probe.label.server import Server
from dcgan_probe.label.work import BoxWork
from dcgan_probe.label.work_file import lock
from dcgan_probe.session import Session


def open_page(
    session: Session,
    path: Path | None,
    labels: tuple[str, ...],
    n: int,
    port: int,
    picking: bool = False,
) -> BoxWork | ConceptWork:
    """Serve the page on which boxes are drawn, or samples of concepts picked, until Ctrl-C.

    path: the file to write or resume, named after the labels if not given. Raises InputError for
    edits in force, for a file of another checkpoint, seed or size, and one that is worked on.
    """
    path = path or Path(_file_name(labels))
    with lock(path) as unwritable:
        work = _work(session, path, labels, n, picking)
        notices = [notice for notice in (unwritable, work.notice) if notice]
        for notice in notices:
            click.echo(notice, err=True)
        _serve(session, work, notices, port)
    return work


def _file_name(labels: tuple[str, ...]) -> str:
    """windows.json for windows, boxes.json for several things or none named yet."""
    words = re.findall(r"\w+", labels[0]) if len(labels) == 1 else []
    return f"{'-'.join(words)}s.json" if words else "boxes.json"


def _work(
    session: Session, path: Path, labels: tuple[str, ...], n: int, picking: bool
) -> BoxWork | ConceptWork:
    if session.edits:
        raise InputError(
            "label: found edits in force, expected none: boxes are on samples of the checkpoint"
        )
    sha, size = session.checkpoint.sha256, session.config.size
    if picking:
        return ConceptWork(path, n, session.seed, sha)
    work = BoxWork(path, n, (size, size), session.seed, sha, labels)
    if work.n > MAX_SAMPLES:
        raise InputError(f"{path}: found {work.n} samples, expected at most {MAX_SAMPLES}")
    return work


def _serve(session: Session, work: BoxWork | ConceptWork, notices: list[str], port: int) -> None:
    desk = Desk(session, work, notices)
    with Server(port, {"/samples.png": desk.samples()}, desk.answers) as server:
        lines = [f"{work.path}: {work}"]
        if tunnel := forwarding(server.port, os.environ):
            lines += [f"On your own machine, type:  {tunnel}", "and open there:"]
        lines += [server.address, "Ctrl-C ends it; everything is saved as you work."]
        try:  # from here on the user may end it: the line that says so is about to be read
            click.echo("\n".join(lines), err=True)
            if not tunnel and _has_browser():
                webbrowser.open(server.address)
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            click.echo(err=True)


def forwarding(port: int, environment: os._Environ[str] | dict[str, str]) -> str:
    """The ssh command that brings a port here to the user's machine; "" if this is that machine.

    >>> forwarding(43121, {"SSH_CONNECTION": "10.0.0.2 50022 10.0.0.9 2222", "USER": "ada"})
    'ssh -N -L 43121:127.0.0.1:43121 -p 2222 ada@10.0.0.9'
    """
    parts = environment.get("SSH_CONNECTION", "").split()
    if len(parts) != 4:
        return ""
    host, ssh_port = parts[2:]
    user = environment.get("USER") or getpass.getuser()
    other = "" if ssh_port == "22" else f"-p {ssh_port} "
    return f"ssh -N -L {port}:127.0.0.1:{port} {other}{user}@{host}"


def _has_browser() -> bool:
    """Whether there is one with a window: one in the terminal would take the terminal over."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
