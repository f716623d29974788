"""Open the page of a work file in a browser, and serve it until Ctrl-C."""

from __future__ import annotations

import re
from pathlib import Path

import click

from dcgan_probe.errors import InputError
from dcgan_probe.label import MAX_SAMPLES
from dcgan_probe.label.desk import Desk
from dcgan_probe.label.picks import ConceptWork
from dcgan_probe.label.work import BoxWork
from dcgan_probe.pages.opening import serve
from dcgan_probe.pages.server import Page, Server
from dcgan_probe.pages.work_file import lock
from dcgan_probe.session import Session

PAGE = Page(
    "dcgan_probe.label",
    ("index.html", "style.css", "app.js", "boxes.js", "concepts.js", "drawing.js", "forget.js")
    + ("server.js", "sheet.js", "stage.js"),
    ("base.css", "http.js"),
)


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
    active edits, for a file of another checkpoint, seed or size, and one that is worked on.
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
    """windows.json for window, glasses.json for glasses, boxes.json for several or no labels."""
    words = re.findall(r"\w+", labels[0]) if len(labels) == 1 else []
    if not words:
        return "boxes.json"
    name = "-".join(words)
    return f"{name if name.endswith('s') else f'{name}s'}.json"


def _work(
    session: Session, path: Path, labels: tuple[str, ...], n: int, picking: bool
) -> BoxWork | ConceptWork:
    if session.edits:
        raise InputError(
            "label: found active edits, expected none: boxes are on samples of the checkpoint"
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
    with Server(PAGE, port, {"/samples.png": desk.samples()}, desk.answers) as server:
        serve(server, [f"{work.path}: {work}"], "Ctrl-C ends it; everything is saved as you work.")
