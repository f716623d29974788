"""Find the latent whose image is nearest to a photograph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dcgan_probe.plugins.contract import pass_session


@click.command()
@click.argument("photo", type=click.Path(path_type=Path))
@click.option(
    "--starts", default=8, type=click.IntRange(1), help="Number of random latents to start from."
)
@click.option(
    "--steps", default=200, type=click.IntRange(1), help="Optimiser steps from each start."
)
@click.option("--resize", is_flag=True, help="Crop and resize the photograph.")
@click.option("--name", help="Name of the latent. Default: the name of the file.")
@pass_session
def invert(session: Any, photo: Path, **options: Any) -> None:
    """Find the latent whose image is nearest to a photograph.

    Measures how far that image is from the photograph. Later commands use the latent by its name:

        dcgan-probe invert me.png arithmetic "me + smiling - neutral"
    """
    from dcgan_probe.probes.invert.probe import run

    session.save(run(session, photo, **options))
