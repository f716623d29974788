"""Make a generator forget an object, given boxes around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dcgan_probe.plugins import completion
from dcgan_probe.plugins.contract import pass_session
from dcgan_probe.plugins.options import boxes_option
from dcgan_probe.probes.forget.settings import FILLS, LEFT, REPLACEMENTS, RULE_NAMES, WAYS


@click.command()
@boxes_option
@click.option(
    "--object", "--label", "label", help="Label of the object. Not needed if there is only one."
)
@click.option(
    "--by",
    default="filters",
    type=click.Choice(WAYS),
    help="filters: drop filters everywhere, as in the paper. places: replace all filters, only "
    "where the object is; this hides it best.",
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    help="Layer of the generator. Repeatable with --select gates and --by places. Default: its "
    "second-highest convolution; with --by places, chosen by trial.",
)
@click.option(
    "--select",
    default="paper",
    type=click.Choice(RULE_NAMES),
    help="How to choose filters: paper (positive weights), top (the --k largest weights), l1 "
    "(sparse regression), causal (measured effect) or gates (learned gains).",
)
@click.option("--k", default=16, type=click.IntRange(1), help="Number of filters for --select top.")
@click.option(
    "--replace",
    type=click.Choice(REPLACEMENTS),
    help="Value of dropped filters: zero, their mean, or their mean outside the boxes. "
    "Default: zero; for causal, outside.",
)
@click.option(
    "--left",
    default=LEFT,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Target for causal, gates and --by places: the largest share of the object that may "
    "remain.",
)
@click.option(
    "--fill",
    type=click.Choice(FILLS),
    help="Replacement, with --by places: a donor's feature maps blended in (mix), brought to the "
    "colours around them first (recolour), or a smooth fill. Default: chosen by trial.",
)
@click.option(
    "--where", metavar="X0,Y0,X1,Y1", help="Erase only inside this region, with --by places."
)
@click.option("--n", default=160, type=click.IntRange(16), help="Number of new samples to judge.")
@click.option(
    "--judge",
    "judges",
    multiple=True,
    shell_complete=completion.installed("detector", "boxes"),
    help="Detector that measures what is left: boxes (trained on half of the boxed images), an "
    "installed detector, or a .pt2 file. Repeatable.",
)
@click.option(
    "--controls",
    type=click.IntRange(1),
    help="Number of random controls. Default: 20 sets of filters; with --by places, 3 edits at "
    "the places of other samples.",
)
@click.option(
    "--resamples",
    default=0,
    type=click.IntRange(0),
    help="Repeat the choice on this many random halves of the images, to measure its stability.",
)
@click.option(
    "--real",
    type=click.Path(path_type=Path),
    help="Real images to measure drift from. Default: other samples.",
)
@pass_session
def forget(
    session: Any,
    path: Path | None,
    label: str | None,
    layers: tuple[str, ...],
    judges: tuple[str, ...],
    real: Path | None,
    where: str | None,
    **options: Any,
) -> None:
    """Make the generator forget an object, given boxes around it.

    By default this is the experiment of section 6.3.1: a logistic regression separates activations
    inside the boxes from those outside, and every filter with a positive weight is dropped. With
    --by places, a regression finds the object in each sample, and the activations there are
    replaced by those of another sample, the donor, or by a smooth fill.

    On new samples, a detector then measures how much of the object is left and how much else
    changed, compared with random controls. The edit applies to later commands on the line.
    """
    from dcgan_probe.edits.regions import read_region
    from dcgan_probe.probes.forget.probe import read_real, run

    boxes = session.read_boxes(path)
    images = None if real is None else read_real(session, real, options["n"])
    options["where"] = None if where is None else read_region(where, "--where")
    layer = layers[0] if len(layers) == 1 else layers or None
    result = run(session, boxes, label, layer, judges=judges or None, real=images, **options)
    session.save(result)
    for edit in result.edits:
        session.edit(edit)
