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
    help="Direction to use instead of --from and --to: direction2 of a command `directions` before "
    "this one, or FILE.safetensors:2.",
)
@click.option("--n", default=8, type=click.IntRange(1), help="Number of samples.")
@click.option("--steps", default=7, type=click.IntRange(2), help="Number of images along the axis.")
@click.option(
    "--reach", default=1.0, type=float, help="Distance to both sides, in lengths of the axis."
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
    """Turn samples along the axis between two concepts, such as left and right."""
    from dcgan_probe.probes.turn.probe import run
    from dcgan_probe.recognition import classifiers

    concepts = session.read_concepts(path)
    judge = classifiers.find(classifier, session) if classifier else None
    session.save(run(session, concepts=concepts, classifier=judge, **options))
