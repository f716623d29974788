"""Click options that the probes of latent space share: concepts, exemplars, films, what to keep."""

from __future__ import annotations

from pathlib import Path

import click

concepts_option = click.option(
    "--concepts",
    "path",
    type=click.Path(path_type=Path),
    help="A file of concepts. Default: those that ship with the checkpoint.",
)
video_option = click.option(
    "--video",
    type=click.Choice(["mp4", "png", "gif"]),
    help="Write a film too: mp4, or an animated PNG or GIF.",
)
exemplars_option = click.option(
    "--exemplars",
    default=3,
    type=click.IntRange(1),
    help="How many of a concept's exemplars are averaged; its first.",
)
keep_option = click.option(
    "--keep",
    multiple=True,
    help="A label of the classifier (or all) that should not move along, once or more; without "
    "--classifier, a concept.",
)
