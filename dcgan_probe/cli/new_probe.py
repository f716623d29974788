"""The command ``dcgan-probe new-probe``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from dcgan_probe.plugins.contract import Last
from dcgan_probe.terminal import answer


@click.command("new-probe", cls=Last)
@click.argument("name")
@click.option(
    "--to", type=click.Path(path_type=Path), help="Folder to write. Default: dcgan-probe-NAME."
)
@click.pass_context
def write_probe(context: click.Context, name: str, to: Path | None) -> None:
    """Create a package with a working probe and its test."""
    from dcgan_probe.plugins import new_probe

    root = context.find_root()
    assert isinstance(root.command, click.Group)
    folder = new_probe.write(name, to, root.command.list_commands(root))
    written = sorted(path.name for path in folder.iterdir())
    install = shlex.join(["pip", "install", "-e", str(folder)])
    answer(
        {"folder": str(folder), "files": written},
        f"wrote {folder}: {', '.join(written)}\nnext: {install}, then dcgan-probe {name}",
    )
