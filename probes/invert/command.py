"""Find the z whose image is nearest to a photograph, and say how far it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dcgan_probe.plugins.contract import pass_session


@click.command()
@click.argument("photo", type=click.Path(path_type=Path))
@click.option("--starts", default=8, type=click.IntRange(1), help="Random z to search from.")
@click.option("--steps", default=200, type=click.IntRange(1), help="Of the search, from each.")
@click.option("--resize", is_flag=True, help="Crop and resize a photograph of another size.")
@click.option("--name", help="Name of the z for later commands. Default: the file's.")
@pass_session
def invert(session: Any, photo: Path, **options: Any) -> None:
    """Find the z whose image is nearest to a photograph, and say how far it is.

    Later commands take it by its name: invert me.png arithmetic "me + smiling - neutral".
    """
    from dcgan_probe.probes.invert.probe import run

    session.save(run(session, photo, **options))
