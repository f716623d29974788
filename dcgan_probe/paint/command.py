"""The command ``dcgan-probe paint``: open the page, and say where it is."""

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
    help="File of edits to write, or to resume; pictures and films go beside it.",
)
@click.option("--sample", help="The sample to begin with, as 3:17 (seed and index).")
@click.option("--n", default=12, type=click.IntRange(1, 24), help="How many others in the strip.")
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
    help="A selection.json whose filters get a slider; may be given again.",
)
@click.option(
    "--latents",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A z.safetensors, as invert finds it for a photograph; may be given again.",
)
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Any free one if 0.")
@click.pass_context
def paint(context: click.Context, path: Path | None, **options: Any) -> None:
    """Brush objects away and stamp them elsewhere, in a browser.

    Writes after every change; the same line resumes the work. Ctrl-C ends it.

        dcgan-probe --model rooms paint
        dcgan-probe --model rooms --edit painting.json sample --n 64
    """
    from dcgan_probe.paint.opening import open_page

    work = open_page(session_of(context), concepts=path, **options)
    answer({"file": str(work.path), "summary": str(work)}, f"{work.path}: {work}")
