"""The command ``dcgan-probe dedup``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from dcgan_probe.cli.options import cache_option, data_option, max_bad_option
from dcgan_probe.terminal import answer


@click.command()
@data_option
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    required=True,
    help="File to write: the names of the images to keep.",
)
@click.option(
    "--within",
    default=0,
    type=click.IntRange(0, 8),
    help="Bits in which the codes of duplicates may differ; 0 is the paper's rule.",
)
@max_bad_option
@cache_option
@click.pass_context
def dedup(context: click.Context, **options: Any) -> None:
    """Find near-duplicates among images, and list the images to keep.

    Images with equal codes of a denoising autoencoder are duplicates (section 4.1 of the paper);
    the first by name is kept. `train --keep` reads the list. OUT/dedup holds the groups, and a
    picture to check them.
    """
    from dcgan_probe.dedup import duplicates
    from dcgan_probe.dedup.autoencoder import Settings

    root = context.find_root().params
    settings = Settings(seed=root["seed"])
    folder = (root["out"] or Path("out")) / "dedup"
    result = duplicates.run(folder, root["device"], root["force"], settings=settings, **options)
    written = ", ".join(sorted(path.name for path in folder.iterdir()))
    values = json.loads((folder / duplicates.FILE).read_text(encoding="utf-8"))
    answer(values, f"{result}\nwrote {options['to']} and {folder}: {written}")
