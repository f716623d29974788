"""Interpolate between samples, and measure whether images change smoothly or jump."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dcgan_probe.plugins.contract import pass_session
from dcgan_probe.plugins.latent_options import concepts_option, exemplars_option, video_option
from dcgan_probe.probes.walk.ways import WAYS


@click.command()
@click.option("--points", default=9, type=click.IntRange(2), help="Number of samples to visit.")
@click.option("--through", help="Samples and concepts to visit instead: 3:17,smiling,3:20.")
@click.option(
    "--steps",
    default=10,
    type=click.IntRange(2),
    help="Number of images from one point to the next.",
)
@click.option(
    "--way",
    default="both",
    type=click.Choice(["both", *WAYS]),
    help="Interpolation: linear, spherical (slerp) or both.",
)
@click.option("--closed", is_flag=True, help="Return to the first point.")
@concepts_option
@exemplars_option
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Images, such as the training set. The nearest one to each step of the first path is "
    "shown.",
)
@video_option
@pass_session
def walk(
    session: Any,
    points: int,
    through: str | None,
    way: str,
    path: Path | None,
    **options: Any,
) -> None:
    """Interpolate between samples, and measure whether images change smoothly or jump."""
    from dcgan_probe.probes.walk.probe import run

    names = points if through is None else [name.strip() for name in through.split(",")]
    ways = WAYS if way == "both" else (way,)
    concepts = session.read_concepts(path)
    session.save(run(session, names, ways=ways, concepts=concepts, **options))
