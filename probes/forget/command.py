"""Make a generator forget an object: find the filters that draw it from boxes, and drop them."""

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
@click.option("--object", "label", help="Which label; not needed where the boxes have only one.")
@click.option(
    "--by",
    default="filters",
    type=click.Choice(WAYS),
    help="Drop filters, as the paper does, or erase the object at its places, which hides it best.",
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    help="Layer of the generator; its second-highest convolution if not given, or chosen by --by "
    "places. With --select gates and --by places it may be given again.",
)
@click.option(
    "--select",
    default="paper",
    type=click.Choice(RULE_NAMES),
    help="Weights above zero, the --k largest, a sparse regression's, by effect, or learnt gains.",
)
@click.option(
    "--fill",
    type=click.Choice(FILLS),
    help="What takes the object's place, for --by places; chosen if not given.",
)
@click.option(
    "--where", metavar="X0,Y0,X1,Y1", help="Erase inside this region only, for --by places."
)
@click.option("--k", default=16, type=click.IntRange(1), help="How many, for --select top.")
@click.option(
    "--replace",
    type=click.Choice(REPLACEMENTS),
    help="By what dropped filters are replaced: zero, their mean, or that outside of the boxes. "
    "Zero if not given; for causal the mean outside.",
)
@click.option(
    "--left",
    default=LEFT,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of the evidence for the object that causal and gates leave.",
)
@click.option(
    "--judge",
    "judges",
    multiple=True,
    shell_complete=completion.installed("detector", "boxes"),
    help="Detector that says what is left: boxes, an installed one, or a .pt2; may be given again.",
)
@click.option("--n", default=160, type=click.IntRange(16), help="Fresh samples to judge.")
@click.option(
    "--controls",
    type=click.IntRange(1),
    help="Random controls: filter sets, 20 if not given, or the edit at other samples' places, 3.",
)
@click.option(
    "--resamples",
    default=0,
    type=click.IntRange(0),
    help="Times to choose again from resampled boxes, to see how stable the choice is.",
)
@click.option(
    "--real",
    type=click.Path(path_type=Path),
    help="Real images that edited ones drift from; other samples if not given.",
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
    """Make the generator forget an object that boxes were drawn on.

    A logistic regression on the layer's activations tells inside from outside the boxes; every
    filter with a weight above zero is dropped (section 6.3.1), in the commands after this too. On
    fresh samples a detector says what is left, beside random filters and those it chooses last.

    With --by places the object is erased where a regression sees it, by what another sample has
    there or by what is around; layers and fill are chosen on held-out boxed samples.
    """
    from dcgan_probe.probes.forget.places import read_where
    from dcgan_probe.probes.forget.probe import read_real, run

    boxes = session.read_boxes(path)
    images = None if real is None else read_real(session, real, options["n"])
    options["where"] = None if where is None else read_where(where)
    layer = layers[0] if len(layers) == 1 else layers or None
    result = run(session, boxes, label, layer, judges=judges or None, real=images, **options)
    session.save(result)
    for edit in result.edits:
        session.edit(edit)
