"""Compare samples with held-out images, beside held-out images with each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dcgan_probe.plugins.contract import pass_session


@click.command()
@click.option(
    "--images",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder, zip, tar, LMDB, .npz or .mat of images that the generator was not trained on.",
)
@click.option(
    "--n", default=2000, type=click.IntRange(4), help="At most so many of them; half at a time."
)
@click.option(
    "--features",
    type=click.Path(path_type=Path),
    help="Feature extractor, a file of torch.export.save, for a Fréchet distance.",
)
@pass_session
def evaluate(session: Any, **options: Any) -> None:
    """Compare samples with held-out images, beside held-out images with each other.

    Sliced Wasserstein distance at every scale, MS-SSIM of pairs for diversity, and a Fréchet
    distance in the features of an extractor of yours.
    """
    from dcgan_probe.probes.evaluate.probe import run

    session.save(run(session, **options))
