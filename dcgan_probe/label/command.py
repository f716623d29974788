"""The command ``dcgan-probe label``: open the page, and say where it is."""

from __future__ import annotations

import getpass
import os
import re
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dcgan_probe import terminal
from dcgan_probe.errors import InputError
from dcgan_probe.plugins.contract import session_of

if TYPE_CHECKING:
    from dcgan_probe.label.picks import ConceptWork
    from dcgan_probe.label.work import BoxWork
    from dcgan_probe.session import Session

MAX_SAMPLES = 1000  # on one page, and on one picture of a size that browsers draw


@click.command()
@click.option("--object", "labels", multiple=True, help="What to draw boxes on; may be repeated.")
@click.option("--n", default=150, type=click.IntRange(1, MAX_SAMPLES), help="How many samples.")
@click.option(
    "--boxes",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write, or to go on with; of the object's name if not given.",
)
@click.option(
    "--concepts",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Pick samples of concepts into this file instead.",
)
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Any free one if 0.")
@click.pass_context
def label(
    context: click.Context,
    labels: tuple[str, ...],
    n: int,
    boxes: Path | None,
    concepts: Path | None,
    port: int,
) -> None:
    """Draw boxes on samples, or pick samples of concepts, in a browser.

    Writes after every change; the same line goes on where it was left. Ctrl-C ends it.

        dcgan-probe --model rooms label --object window forget --boxes windows.json
    """
    if concepts is not None and (labels or boxes):
        raise InputError("label: found --concepts with --object or --boxes, expected one of them")
    session = session_of(context)
    from dcgan_probe.label.resuming import alone

    path = concepts or boxes or Path(_file_name(labels))
    with alone(path) as unwritable:
        work = _work(session, path, labels, n, concepts is not None)
        notices = [notice for notice in (unwritable, work.notice) if notice]
        for notice in notices:
            click.echo(notice, err=True)
        _serve(session, work, notices, port)
    terminal.answer({"file": str(path), "summary": str(work)}, f"{path}: {work}")


def _file_name(labels: tuple[str, ...]) -> str:
    """windows.json for windows, boxes.json for several things or none named yet."""
    words = re.findall(r"\w+", labels[0]) if len(labels) == 1 else []
    return f"{'-'.join(words)}s.json" if words else "boxes.json"


def _work(
    session: Session, path: Path, labels: tuple[str, ...], n: int, picking: bool
) -> BoxWork | ConceptWork:
    from dcgan_probe.label.picks import ConceptWork
    from dcgan_probe.label.work import BoxWork

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
    from dcgan_probe.label.desk import Desk
    from dcgan_probe.label.server import Server

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
    """Whether there is one with a window: one in the terminal would take it from us."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
