"""Options that `train` and `dedup` share."""

from __future__ import annotations

from pathlib import Path

import click

data_option = click.option(
    "--images",
    "data",
    type=click.Path(path_type=Path),
    required=True,
    help="Training images: a folder, zip, tar, LMDB, .npz or .mat.",
)
max_bad_option = click.option(
    "--max-bad",
    default=0.01,
    type=click.FloatRange(0, 1),
    help="Share of images that may fail to decode.",
)
cache_option = click.option(
    "--cache",
    "cache_folder",
    type=click.Path(path_type=Path),
    help="Folder for decoded images. Default: $DCGAN_PROBE_CACHE, or your cache folder.",
)
