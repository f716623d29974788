"""Put a boxed object of one sample into any other, by a transplant of feature maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dcgan_probe.plugins import completion
from dcgan_probe.plugins.contract import pass_session
from dcgan_probe.plugins.options import boxes_option
from dcgan_probe.probes.put.ways import FILLS


@click.command()
@boxes_option
@click.option("--object", "label", help="Which label; not needed where the boxes have only one.")
@click.option("--at", metavar="X0,Y0,X1,Y1", required=True, help="Where to put it, in pixels.")
@click.option(
    "--from",
    "donor",
    metavar="SEED:INDEX",
    help="The boxed sample to take it from. Default: the best of all.",
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    help="Layer of the generator. Default: may be given again. Chosen.",
)
@click.option(
    "--fill",
    type=click.Choice(FILLS),
    help="Copy the donor's maps, or clone them: its texture at the level of what is around. "
    "Default: chosen by trial.",
)
@click.option(
    "--judge",
    "judges",
    multiple=True,
    shell_complete=completion.installed("detector", "boxes"),
    help="Detector that says whether it is there: boxes, an installed one, or a .pt2; may be "
    "given again.",
)
@click.option("--n", default=160, type=click.IntRange(16), help="Fresh samples to judge.")
@pass_session
def put(
    session: Any,
    path: Path | None,
    label: str | None,
    at: str,
    donor: str | None,
    layers: tuple[str, ...],
    judges: tuple[str, ...],
    **options: Any,
) -> None:
    """Put a boxed object into all samples, at a place that you name.

    The feature maps under the box of one sample, the donor, are copied to the place, moved by
    whole locations of the layer. Layers, fill and donor are chosen on held-out boxed samples; on
    fresh samples a detector says whether the object is there, beside pixels that are pasted and
    filters that are turned up. The edit acts in the commands after this too.
    """
    from dcgan_probe.probes.put.options import read_at, read_sample
    from dcgan_probe.probes.put.probe import run

    boxes = session.read_boxes(path)
    named = None if donor is None else read_sample(donor)
    place = read_at(at)
    layer = layers or None
    result = run(session, boxes, label, place, named, layer, judges=judges or None, **options)
    session.save(result)
    for edit in result.edits:
        session.edit(edit)
