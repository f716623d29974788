"""The command ``dcgan-probe plugins``."""

from __future__ import annotations

import click

from dcgan_probe.terminal import answer, current


@click.command("plugins")
@click.pass_context
def list_plugins(context: click.Context) -> None:
    """List every probe, detector and classifier, and whether it works.

    Each package is imported in a separate process. Broken: the import failed. Slow: it took longer
    than 30 seconds. Taken: another package uses the same name.
    """
    from dcgan_probe.plugins import trial

    group = context.find_root().command
    assert isinstance(group, click.Group)
    plugins = trial.check(current().only_ours, sorted(group.commands))
    answer({"plugins": [each.to_dict() for each in plugins]}, trial.table(plugins))
