"""Click options that the probes of latent space share."""

from __future__ import annotations

from pathlib import Path

import click

concepts_option = click.option(
    "--concepts",
    "path",
    type=click.Path(path_type=Path),
    help="File of concepts. Default: those that ship, and concepts.json in the current folder.",
)
video_option = click.option(
    "--video",
    type=click.Choice(["mp4", "png", "gif"]),
    help="Also write a film: mp4, or an animated PNG or GIF.",
)
exemplars_option = click.option(
    "--exemplars",
    default=3,
    type=click.IntRange(1),
    help="Average the first N exemplars of each concept.",
)
keep_option = click.option(
    "--keep",
    multiple=True,
    help="Label of the classifier that should not change, by a linear fit, or all; without "
    "--classifier, a concept. Repeatable.",
)
