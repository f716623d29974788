"""Find directions in latent space, and name each by what it moves."""

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
    help="Principal components of a layer; the first layer's weights; or a classifier's labels.",
)
@click.option("--layer", help="For pca: a layer of the generator. Default: its first.")
@click.option("--n", type=click.IntRange(1), help="Latents, for pca (1000) and regression (4000).")
@click.option("--components", default=6, type=click.IntRange(1), help="How many directions.")
@click.option(
    "--reach", default=3.0, type=float, help="How far to both sides, in standard deviations."
)
@concepts_option
@click.option(
    "--classifier",
    shell_complete=completion.installed("classifier"),
    help="Name directions by what this sees change; else concepts do. See arithmetic.",
)
@pass_session
def directions(session: Any, path: Path | None, classifier: str | None, **options: Any) -> None:
    """Find directions in latent space, and name each by what it moves."""
    from dcgan_probe.probes.directions.probe import run
    from dcgan_probe.recognition import classifiers

    concepts = session.read_concepts(path)
    judge = classifiers.find(classifier, session) if classifier else None
    session.save(run(session, concepts=concepts, classifier=judge, **options))
