"""Measure how far samples are from held-out images."""

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
    help="Images that the generator was not trained on: a folder, zip, tar, LMDB, .npz or .mat.",
)
@click.option(
    "--n",
    default=2000,
    type=click.IntRange(4),
    help="Maximum number of images. Each comparison uses one half.",
)
@click.option(
    "--features",
    type=click.Path(path_type=Path),
    help="Feature extractor: a file of torch.export.save, or the published weights of FID's "
    "Inception network.",
)
@pass_session
def evaluate(session: Any, **options: Any) -> None:
    """Measure how far samples are from held-out images.

    Reports the sliced Wasserstein distance by scale, and the MS-SSIM of pairs for diversity.
    Samples are compared with one half of the held-out images; for reference, so is the other half.

    With --features, also reports the Fréchet and kernel distances, precision and recall. The
    distances are FID and KID if the features are those of FID's Inception network.
    """
    from dcgan_probe.probes.evaluate.probe import run

    session.save(run(session, **options))
