"""Dissect a layer: which filters look like an object, and which of them cause it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dcgan_probe.plugins import completion
from dcgan_probe.plugins.contract import pass_session
from dcgan_probe.plugins.options import boxes_option


@click.command()
@click.option("--layer", help="Layer of the generator. Default: that of forget.")
@boxes_option
@click.option("--object", "label", help="One label of the boxes. Default: all of them.")
@click.option("--n", default=200, type=click.IntRange(1), help="New samples to measure effects on.")
@click.option(
    "--judge",
    shell_complete=completion.installed("detector", "boxes"),
    metavar="NAME|FILE.pt2",
    help="Detector of the object. Default: the one that ships.",
)
@click.option("--top", default=8, type=click.IntRange(1), help="How many filters to draw.")
@pass_session
def dissect(
    session: Any,
    layer: str | None,
    path: Path | None,
    label: str | None,
    n: int,
    judge: str | None,
    top: int,
) -> None:
    """Find which filters of a layer look like an object, and which cause it.

    Every filter against every labelled object: how well its map matches the boxes, and what is
    left of the object without it. Under torchrun, all its processes share the filters (its -- keeps
    it from taking --n for an option of its own):

        torchrun --nproc-per-node 2 -m -- dcgan_probe dissect --n 500
    """
    from dcgan_probe import distributed
    from dcgan_probe.probes.dissect.probe import run

    boxes = session.read_boxes(path)
    with distributed.joined(session.device.type) as own:
        # The session opened on the first GPU: each process continues with its own.
        session.generator.to(own.device)
        result = run(session, boxes, layer, label, n, judge, top, own)
        # All have reserved the folder by now, which is why one of them may fill it.
        if own.first:
            session.save(result)
