"""The command ``dcgan-probe diff``."""

from __future__ import annotations

from pathlib import Path

import click

from dcgan_probe.terminal import answer


@click.command()
@click.argument("a", metavar="A", type=click.Path(path_type=Path))
@click.argument("b", metavar="B", type=click.Path(path_type=Path))
@click.pass_context
def diff(context: click.Context, a: Path, b: Path) -> None:
    """Compare two saved results: how they were made, and what they found.

    A and B are each a result.json or its folder. Exit code 0: equal; 1: different.
    """
    from dcgan_probe.results.differences import describe, differences
    from dcgan_probe.results.loading import load_result

    changes = differences(load_result(a), load_result(b))
    values = {"a": str(a), "b": str(b), "differences": [each.to_dict() for each in changes]}
    answer(values, describe(changes))
    if changes:
        context.exit(1)
