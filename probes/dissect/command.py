"""Find which filters of a layer match an object, and which cause it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dcgan_probe.plugins import completion
from dcgan_probe.plugins.contract import pass_session
from dcgan_probe.plugins.options import boxes_option


@click.command()
@click.option("--layer", help="Layer of the generator. Default: its second-highest convolution.")
@boxes_option
@click.option(
    "--object", "--label", "label", help="Label of the object. Default: all labels of the boxes."
)
@click.option(
    "--n", default=200, type=click.IntRange(1), help="Number of new samples to measure effects on."
)
@click.option(
    "--judge",
    shell_complete=completion.installed("detector", "boxes"),
    metavar="NAME|FILE.pt2",
    help="Detector of the object: an installed one, or a .pt2. Default: the one that ships.",
)
@click.option("--top", default=8, type=click.IntRange(1), help="Number of filters to draw.")
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
    """Find which filters of a layer match an object, and which cause it.

    For every filter and label: the IoU of its thresholded feature map with the boxes, and the share
    of the object that disappears when the filter is dropped.

    Under torchrun, processes share the filters. Write its -- before dcgan_probe; otherwise torchrun
    reads --n as its own option:

        torchrun --nproc-per-node 2 -m -- dcgan_probe dissect --n 500
    """
    from dcgan_probe import distributed
    from dcgan_probe.probes.dissect.probe import run

    boxes = session.read_boxes(path)
    with distributed.joined(str(session.device)) as own:
        # The session opened on the first GPU: each process continues with its own.
        session.generator.to(own.device)
        result = run(session, boxes, label, layer, n, judge, top, own)
        # All have reserved the folder by now, which is why one of them may fill it.
        if own.first:
            session.save(result)
