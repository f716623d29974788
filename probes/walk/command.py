"""Walk from sample to sample: do the images change smoothly, or jump?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dcgan_probe.plugins.contract import pass_session
from dcgan_probe.plugins.latent_options import concepts_option, exemplars_option, video_option
from dcgan_probe.probes.walk.ways import WAYS


@click.command()
@click.option("--points", default=9, type=click.IntRange(2), help="How many samples to go through.")
@click.option(
    "--through", help="Names of points in place of samples, with commas: 3:17,smiling,3:20."
)
@click.option("--steps", default=10, type=click.IntRange(2), help="Images from point to point.")
@click.option(
    "--way",
    default="both",
    type=click.Choice(["both", *WAYS]),
    help="A straight line, or at an even angle.",
)
@click.option("--closed", is_flag=True, help="Go back to the first point.")
@concepts_option
@exemplars_option
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="Images, such as those of the training: show the nearest to each of the first way.",
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
    """Walk from sample to sample: do the images change smoothly, or jump?"""
    from dcgan_probe.probes.walk.probe import run

    names = points if through is None else [name.strip() for name in through.split(",")]
    ways = WAYS if way == "both" else (way,)
    concepts = session.read_concepts(path)
    session.save(run(session, names, ways=ways, concepts=concepts, **options))
