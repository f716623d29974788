"""Add and subtract concepts: "smiling_woman - neutral_woman + neutral_man"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dcgan_probe.plugins import completion
from dcgan_probe.plugins.contract import pass_session
from dcgan_probe.plugins.latent_options import concepts_option, exemplars_option, keep_option


@click.command()
@click.argument("expression")
@concepts_option
@exemplars_option
@click.option("--name", default="result", help="Name of the sum, for later commands on the line.")
@click.option(
    "--classifier",
    shell_complete=completion.installed("classifier"),
    help="Classifier that counts how often the result shows what it should: an installed one "
    "(faces), a .pt2 file, or a folder of images with one sub-folder for each label.",
)
@keep_option
@click.option(
    "--draws", default=100, type=click.IntRange(2), help="Number of random draws of exemplars."
)
@pass_session
def arithmetic(session: Any, path: Path | None, classifier: str | None, **options: Any) -> None:
    """Add and subtract concepts: "smiling_woman - neutral_woman + neutral_man"."""
    from dcgan_probe.probes.arithmetic.probe import run

    concepts = session.read_concepts(path)
    session.save(run(session, concepts=concepts, classifier=classifier or None, **options))
