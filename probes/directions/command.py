"""Find directions in latent space, and name each by what it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dcgan_probe.plugins import completion
from dcgan_probe.plugins.contract import pass_session
from dcgan_probe.plugins.latent_options import concepts_option
from dcgan_probe.probes.directions.ways import WAYS


@click.command()
@click.option(
    "--by",
    default="pca",
    type=click.Choice(WAYS),
    help="Method: principal components of a layer (pca), singular vectors of the first layer's "
    "weights (sefa), or a regression of a classifier's labels.",
)
@click.option("--layer", help="Layer of the generator for pca. Default: its first.")
@click.option(
    "--n",
    type=click.IntRange(1),
    help="Number of latents. Default: 1000 for pca, 4000 for regression.",
)
@click.option("--components", default=6, type=click.IntRange(1), help="Number of directions.")
@click.option(
    "--reach", default=3.0, type=float, help="Distance to both sides, in standard deviations."
)
@concepts_option
@click.option(
    "--classifier",
    shell_complete=completion.installed("classifier"),
    help="Classifier that names the directions, as in arithmetic. Default: concepts name them.",
)
@pass_session
def directions(session: Any, path: Path | None, classifier: str | None, **options: Any) -> None:
    """Find directions in latent space, and name each by what it changes."""
    from dcgan_probe.probes.directions.probe import run

    concepts = session.read_concepts(path)
    session.save(run(session, concepts=concepts, classifier=classifier or None, **options))
