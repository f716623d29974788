"""Mean activation of each filter of a layer: a whole probe of dcgan-probe.

docs/comparison.md has how to run it.
"""

import click

from dcgan_probe import Session
from dcgan_probe.plugins.contract import pass_session


@click.command()
@click.option("--layer", required=True, help="Layer of the generator.")
@click.option("--n", default=64, show_default=True, help="How many samples.")
@pass_session
def command(session: Session, layer: str, n: int) -> None:
    """Find the mean activation of each filter of a layer over n samples."""
    from dcgan_probe import hooks

    maps = hooks.activations(session.generator, layer, session.latents(n).to(session.device))
    session.report({"layer": layer, "mean": maps.mean((0, 2, 3)).tolist()})
