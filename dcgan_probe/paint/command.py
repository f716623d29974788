"""The command ``dcgan-probe paint``: open the page and print its address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dcgan_probe.plugins.contract import session_of
from dcgan_probe.plugins.latent_options import concepts_option
from dcgan_probe.terminal import answer


@click.command()
@click.option(
    "--to",
    default="painting.json",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of edits to write, or to resume. Pictures and films are saved next to it.",
)
@click.option("--sample", help="Sample to start with, as SEED:INDEX, such as 3:17.")
@click.option(
    "--n", default=12, type=click.IntRange(1, 24), help="Number of other samples to show."
)
@click.option(
    "--boxes",
    type=click.Path(path_type=Path),
    help="Boxes on samples of this checkpoint. Default: those that ship with it.",
)
@concepts_option
@click.option(
    "--selection",
    "selections",
    multiple=True,
    type=click.Path(path_type=Path),
    help="selection.json whose filters get a slider. Repeatable.",
)
@click.option(
    "--latents",
    multiple=True,
    type=click.Path(path_type=Path),
    help="z.safetensors to paint on, such as the one that invert writes. Repeatable.",
)
@click.option(
    "--port", default=0, type=click.IntRange(0, 65535), help="Port of the page; 0 takes a free one."
)
@click.pass_context
def paint(context: click.Context, path: Path | None, **options: Any) -> None:
    """Erase objects with a brush and stamp them elsewhere, in the browser.

    Every change is saved. Ctrl-C stops the server; rerun the command to continue.

    \b
        dcgan-probe --model rooms paint
        dcgan-probe --model rooms --edit painting.json sample --n 64
    """
    from dcgan_probe.paint.opening import open_page

    work = open_page(session_of(context), concepts=path, **options)
    answer({"file": str(work.path), "summary": str(work)}, f"{work.path}: {work}")
