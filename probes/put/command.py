"""Copy a boxed object into other samples by transplanting feature maps."""

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
@click.option(
    "--object",
    "--label",
    "label",
    help="Label of the object. Not needed if the boxes have only one.",
)
@click.option("--at", metavar="X0,Y0,X1,Y1", required=True, help="Target box, in pixels.")
@click.option(
    "--from",
    "donor",
    metavar="SEED:INDEX",
    help="Boxed sample to copy the object from. Default: chosen by trial.",
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    help="Layer of the generator. Repeatable. Default: chosen by trial.",
)
@click.option(
    "--fill",
    type=click.Choice(FILLS),
    help="Copy the donor's feature maps (mix), or adapt them to their surroundings by Poisson "
    "image editing (clone). Default: chosen by trial.",
)
@click.option(
    "--judge",
    "judges",
    multiple=True,
    shell_complete=completion.installed("detector", "boxes"),
    help="Detector that finds the object: boxes (trained on half of the boxed images), an "
    "installed detector, or a .pt2 file. Repeatable.",
)
@click.option("--n", default=160, type=click.IntRange(16), help="Number of new samples to judge.")
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
    """Put a boxed object into all samples, at a place that you choose.

    The feature maps under the box of one sample, the donor, are copied to the target box. They move
    by whole grid cells of the layer. Trials on boxed samples choose the layers, fill and donor.

    On new samples, a detector then measures whether the object is there. Pasted pixels and
    amplified filters are measured for comparison. The edit applies to later commands on the line.
    """
    from dcgan_probe.edits.regions import read_region
    from dcgan_probe.probes.put.options import read_sample
    from dcgan_probe.probes.put.probe import run

    boxes = session.read_boxes(path)
    named = None if donor is None else read_sample(donor)
    place = read_region(at, "--at")
    layer = layers or None
    result = run(session, boxes, label, place, named, layer, judges=judges or None, **options)
    session.save(result)
    for edit in result.edits:
        session.edit(edit)
