"""Open the page of a painting in a browser, and serve it until Ctrl-C."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from torch import Tensor

from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.checkpoints import fixtures
from dcgan_probe.edits.filters import Selection
from dcgan_probe.errors import InputError, unknown
from dcgan_probe.latents import sampling
from dcgan_probe.pages.opening import serve
from dcgan_probe.pages.server import Page, Server
from dcgan_probe.pages.work_file import lock
from dcgan_probe.paint.brushes import Brushes
from dcgan_probe.paint.desk import Desk
from dcgan_probe.paint.state import State
from dcgan_probe.paint.studio import Studio
from dcgan_probe.paint.work import PaintWork
from dcgan_probe.session import Session

PAGE = Page(
    "dcgan_probe.paint",
    ("index.html", "style.css", "app.js", "canvas.js", "client.js", "palette.js", "sliders.js"),
    ("base.css", "http.js"),
)


def open_page(session: Session, to: Path, port: int = 0, **options: Any) -> PaintWork:
    """Serve the page on which samples are painted, until Ctrl-C; then the edits are active.

    to: the file of edits to write or resume. options: as `prepare` takes them. Raises InputError
    for whatever a file holds that is not of this checkpoint, and for one that somebody paints into.
    """
    with lock(to, "paint") as unwritable:
        desk = prepare(session, to, **options)
        notices = [notice for notice in (unwritable, desk.work.notice) if notice]
        desk.notices += notices
        for notice in notices:
            click.echo(notice, err=True)
        with Server(PAGE, port, {}, desk.answers) as server:
            serve(server, [], "Ctrl-C ends it; everything is saved as you work.")
            desk.close()
        if desk.work.unsaved:
            desk.work.write()
    session.edit(desk.studio.painting(desk.work.history.now))
    return desk.work


def prepare(
    session: Session,
    to: Path,
    sample: str | None = None,
    n: int = 12,
    boxes: Path | None = None,
    concepts: Path | None = None,
    selections: Sequence[Path] = (),
    latents: Sequence[Path] = (),
) -> Desk:
    """What answers the page, for options of the command."""
    named = _named(session, latents)
    studio = Studio(session, session.read_concepts(concepts), named)
    first = sample or next(iter(studio.named), f"{session.seed}:0")
    studio.latent(first)
    work = PaintWork(to, studio, State(first))
    brushes = Brushes(session, _boxes(session, boxes))
    strip = [f"{session.seed}:{i}" for i in range(1, n + 1)]
    sliders = [Selection.read(path) for path in selections]
    layers = session.config.hidden("generator")
    for each in sliders:
        with session.editing(each):
            pass  # InputError for one of another checkpoint
        if each.layer not in layers:
            raise unknown("layer", each.layer, layers, where=each.source)
    return Desk(work, brushes, session.checkpoint.remarks, strip, sliders)


def _boxes(session: Session, path: Path | None) -> Boxes | None:
    if path is None and fixtures.shipped_boxes(session.checkpoint.name) is None:
        return None
    boxes = session.read_boxes(path)
    boxes.check(session.checkpoint.sha256)
    return boxes if boxes.boxes else None


def _named(session: Session, paths: Sequence[Path]) -> dict[str, Tensor]:
    """Every latent of some files by a name: that of the file or its folder, and which."""
    named: dict[str, Tensor] = {}
    for path in paths:
        z = sampling.read(path, session.config, session.checkpoint.sha256)
        stem = path.stem if path.stem != "z" else path.resolve().parent.name
        for i in range(len(z)):
            name = stem if len(z) == 1 else f"{stem} {i}"
            if name in named:
                raise InputError(f"{path}: found latents named {name} twice, expected other names")
            named[name] = z[i : i + 1]
    return named
