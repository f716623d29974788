"""Find training images nearest to samples, and say whether they are copies."""

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
@click.option("--images", required=True, type=_PATH, help="What the generator was trained on.")
@click.option("--held-out", type=_PATH, help="Images of the same source that it never saw.")
@click.option(
    "--split",
    is_flag=True,
    help="Take held-out images out of --images; honest only if G was not trained on them.",
)
@click.option("--n", default=1000, type=click.IntRange(1), help="Samples, and held-out images.")
@click.option(
    "--in",
    "spaces",
    multiple=True,
    type=click.Choice(SPACES),
    help="Where to compare; several may be given.  [default: pixels and features]",
)
@click.option("--before", type=_PATH, help="An earlier checkpoint of the same training.")
@click.option("--resize", is_flag=True, help="Bring images of another size to that of G.")
@click.option("--cells", type=click.IntRange(1), help="Of the three-sample test.  [default: n/100]")
@pass_session
def neighbours(session: Session, spaces: tuple[str, ...], **options: Any) -> None:
    """Find training images nearest to samples, and say whether they are copies.

    By pixels or by the discriminator's features. The verdict compares with images that were held
    out (Meehan et al. 2020).
    """
    from .probe import run

    session.save(run(session, spaces=spaces or None, **options))
