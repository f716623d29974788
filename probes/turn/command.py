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
@click.option("--from", "start", help="A concept, or a sample, as 3:17.")
@click.option("--to", "end", help="The same, for the other end.")
@click.option(
    "--axis",
    help="In place of both ends: the name of a direction of this line, as direction2, or "
    "FILE.safetensors:2, the second of a file.",
)
@click.option("--n", default=8, type=click.IntRange(1), help="How many samples to turn.")
@click.option("--steps", default=7, type=click.IntRange(2), help="Places along the axis.")
@click.option("--reach", default=1.0, type=float, help="How far to both sides, in its lengths.")
@concepts_option
@exemplars_option
@click.option(
    "--classifier",
    shell_complete=completion.installed("classifier"),
    help="Measure what changes, as this sees it; see arithmetic.",
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
