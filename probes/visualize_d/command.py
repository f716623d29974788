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
    help="Images: a folder, zip, tar, LMDB, .npz or .mat. Default: samples of the generator.",
)
@click.option("--n", default=2000, type=click.IntRange(1), help="Number of images to scan.")
@click.option("--layer", help="Layer of the discriminator. Default: its last convolution.")
@click.option(
    "--filters",
    callback=_filters,
    help=f"Filters: all, or numbers and ranges, such as {EXAMPLE}. Default: the first 6.",
)
@click.option(
    "--k", default=5, type=click.IntRange(1), help="Number of responses to show for each filter."
)
@click.option(
    "--rule",
    default="leak",
    type=click.Choice(["leak", "strict"]),
    help="Gradient factor of LeakyReLU for a negative input: its slope (leak), or zero (strict).",
)
@pass_session
def visualize_d(session: Any, **options: Any) -> None:
    """Show what the discriminator's filters respond to, by guided backpropagation.

    For each filter, shows the images with the strongest responses and the pixels that caused them,
    next to the same for an untrained network (section 6.2, figure 5).
    """
    from dcgan_probe.probes.visualize_d.probe import run

    session.save(run(session, **options))
