"""Shell completion of values: files, and installed names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from dcgan_probe.plugins import entry_points

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def installed(
    kind: str, *also: str
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """For click's shell_complete: files, `also`, and what is installed of a kind, not imported.

    >>> option = click.option("--judge", shell_complete=installed("detector", "boxes"))
    """

    def complete(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
        only_ours = context.find_root().params.get("no_plugins", False)
        return names([*also, *entry_points.find(entry_points.GROUPS[kind], only_ours)], typed)

    return complete


def names(known: Iterable[str], typed: str) -> list[CompletionItem]:
    """Files, and those of the names that begin with what was typed."""
    from click.shell_completion import CompletionItem

    # Files first: for them click's script of bash forgets what came before.
    begun = sorted({name for name in known if name.startswith(typed)})
    return [CompletionItem(typed, "file"), *map(CompletionItem, begun)]
