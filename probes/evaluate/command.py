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
    help="Feature extractor, a file of torch.export.save, or the published weights of FID's "
    "Inception network: Fréchet and kernel distance, precision and recall.",
)
@pass_session
def evaluate(session: Any, **options: Any) -> None:
    """Compare samples with held-out images, beside held-out images with each other.

    Sliced Wasserstein distance at every scale and MS-SSIM of pairs for diversity. In the features
    of an extractor also Fréchet and kernel distance (FID and KID, if it is their Inception
    network), precision and recall.
    """
    from dcgan_probe.probes.evaluate.probe import run

    session.save(run(session, **options))
