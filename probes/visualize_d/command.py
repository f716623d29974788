"""Show what the discriminator's filters respond to, by guided backpropagation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dcgan_probe.plugins.contract import pass_session
from dcgan_probe.plugins.options import EXAMPLE, parse_filters


def _filters(_context: click.Context, _option: click.Parameter, text: str | None) -> Any:
    return text if text is None or text == "all" else parse_filters(text, also="all, or ")


@click.command()
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Folder, zip, tar, LMDB, .npz or .mat. Default: samples of the generator.",
)
@click.option("--n", default=2000, type=click.IntRange(1), help="How many images to scan.")
@click.option("--layer", help="Layer of the discriminator. Default: its last convolution.")
@click.option(
    "--filters",
    callback=_filters,
    help=f"all, or numbers and ranges, such as {EXAMPLE}. Default: the first 6.",
)
@click.option("--k", default=5, type=click.IntRange(1), help="Responses to show of each filter.")
@click.option(
    "--rule",
    default="leak",
    type=click.Choice(["leak", "strict"]),
    help="What LeakyReLU passes back where its input is negative: its slope, or nothing.",
)
@pass_session
def visualize_d(session: Any, **options: Any) -> None:
    """Show what the discriminator's filters respond to, by guided backpropagation.

    For each filter the strongest responses over a set of images, what in the image raised them,
    and the same for a network of random weights (section 6.2, figure 5).
    """
    from dcgan_probe.probes.visualize_d.probe import run

    session.save(run(session, **options))
