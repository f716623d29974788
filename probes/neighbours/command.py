"""Find the training images nearest to samples, and test whether samples are copies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dcgan_probe.plugins.contract import pass_session

from .options import SPACES

if TYPE_CHECKING:
    from dcgan_probe.session import Session

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--images", required=True, type=_PATH, help="Training images of the generator.")
@click.option("--held-out", type=_PATH, help="Images of the same source, not used in training.")
@click.option(
    "--split",
    is_flag=True,
    help="Hold out a part of --images; only valid if G was not trained on it.",
)
@click.option(
    "--n", default=1000, type=click.IntRange(1), help="Number of samples, and of held-out images."
)
@click.option(
    "--in",
    "spaces",
    multiple=True,
    type=click.Choice(SPACES),
    help="Space to compare in. Repeatable.  [default: pixels and features]",
)
@click.option("--before", type=_PATH, help="Earlier checkpoint, to compare with.")
@click.option("--resize", is_flag=True, help="Resize images to the size of samples.")
@click.option(
    "--cells", type=click.IntRange(1), help="Cells of the three-sample test.  [default: n/100]"
)
@pass_session
def neighbours(session: Session, spaces: tuple[str, ...], **options: Any) -> None:
    """Find the training images nearest to samples, and test whether samples are copies.

    Distances are of pixels and of the discriminator's features. The test compares with held-out
    images (Meehan et al. 2020).
    """
    from .probe import run

    session.save(run(session, spaces=spaces or None, **options))
