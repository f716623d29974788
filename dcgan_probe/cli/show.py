"""The command ``dcgan-probe show``."""

from __future__ import annotations

from pathlib import Path

import click

from dcgan_probe.terminal import answer


@click.command()
@click.argument("path", metavar="RESULT.json|FOLDER", type=click.Path(path_type=Path))
def show(path: Path) -> None:
    """Print a saved result: what it found, and how it was made."""
    from dcgan_probe.results.loading import load_result

    result = load_result(path)
    answer(result.to_dict(), str(result))
