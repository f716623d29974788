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
    help="Hold out a part of --images; valid only if G was not trained on that part.",
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
@click.option(
    "--before", type=_PATH, help="Earlier checkpoint of the same training, to compare with."
)
@click.option("--resize", is_flag=True, help="Resize images to the size of samples.")
@click.option(
    "--cells",
    type=click.IntRange(1),
    help="Number of cells that the test divides images into.  [default: n/100]",
)
@pass_session
def neighbours(session: Session, spaces: tuple[str, ...], **options: Any) -> None:
    """Find the training images nearest to samples, and test whether samples are copies.

    Distances are between pixels and between the discriminator's features. The test asks whether
    samples are nearer to the training images than held-out images are (Meehan et al. 2020).
    """
    from .probe import run

    session.save(run(session, spaces=spaces or None, **options))
