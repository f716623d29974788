"""Turn samples along the axis between two concepts, such as left and right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dcgan_probe.plugins import completion
from dcgan_probe.plugins.contract import pass_session
from dcgan_probe.plugins.latent_options import (
    concepts_option,
    exemplars_option,
    keep_option,
    video_option,
)


@click.command()
@click.option("--from", "start", help="Concept or sample (3:17) at one end.")
@click.option("--to", "end", help="Concept or sample at the other end.")
@click.option(
    "--axis",
    help="Direction to use instead of --from and --to: direction2, if `directions` runs earlier on "
    "the line, or FILE.safetensors:2, the second in a file.",
)
@click.option("--n", default=8, type=click.IntRange(1), help="Number of samples.")
@click.option("--steps", default=7, type=click.IntRange(2), help="Number of images of each sample.")
@click.option(
    "--reach",
    default=1.0,
    type=float,
    help="Distance to move in each direction, as a multiple of the axis's length.",
)
@concepts_option
@exemplars_option
@click.option(
    "--classifier",
    shell_complete=completion.installed("classifier"),
    help="Classifier that measures what changes, as in arithmetic.",
)
@keep_option
@video_option
@pass_session
def turn(session: Any, path: Path | None, classifier: str | None, **options: Any) -> None:
    """Turn samples along the axis between two concepts, such as left and right.

    The axis is the mean latent of --to minus that of --from. Each sample is moved along it in equal
    steps in both directions.
    """
    from dcgan_probe.probes.turn.probe import run

    concepts = session.read_concepts(path)
    session.save(run(session, concepts=concepts, classifier=classifier or None, **options))
