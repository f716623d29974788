"""Name exemplars, list or remove names, or suggest exemplars."""

from __future__ import annotations

from pathlib import Path

import click

from dcgan_probe.errors import InputError
from dcgan_probe.plugins import completion
from dcgan_probe.plugins.contract import Last, session_of


@click.command(cls=Last)
@click.argument("action", type=click.Choice(["add", "remove", "list", "suggest"]))
@click.argument("arguments", nargs=-1)
@click.option(
    "--concepts",
    "path",
    default="concepts.json",
    type=click.Path(path_type=Path),
    help="The file; a new one is made.",
)
@click.option("--shows", multiple=True, help='A label of the classifier, or "not" and one.')
@click.option(
    "--classifier",
    shell_complete=completion.installed("classifier"),
    help="For suggest: see arithmetic. Default: the one that ships.",
)
@click.option("--n", default=1000, type=click.IntRange(1), help="For suggest: how many samples.")
@click.pass_context
def concepts(
    context: click.Context,
    action: str,
    arguments: tuple[str, ...],
    path: Path,
    shows: tuple[str, ...],
    classifier: str | None,
    n: int,
) -> None:
    """Name exemplars, list or remove names, or suggest exemplars.

    \b
    dcgan-probe concepts add smiling_woman 3:17 3:42 5:8     seed and index, or a z.safetensors
    dcgan-probe concepts remove smiling_woman
    dcgan-probe concepts list
    dcgan-probe concepts suggest smiling --shows smile --shows "not hat"

    An exemplar of add may also be a z.safetensors, as arithmetic and invert write it.
    """
    from dcgan_probe.probes.concepts import naming, suggestions
    from dcgan_probe.recognition import classifiers

    # Not pass_session: only suggest writes results, the others edit a file of the user's.
    session = session_of(context)
    if action != "list" and not arguments:
        raise InputError(f"concepts {action}: found no name, expected one")
    if action == "suggest":
        session.start("concepts")
        chosen = classifier or classifiers.shipped(session.checkpoint.name)
        if chosen is None:
            raise InputError("concepts suggest: found no classifier, expected --classifier")
        judge = classifiers.find(chosen, session)
        session.save(suggestions.suggest(session, arguments[0], shows, judge, n))
    elif action == "add":
        naming.add(session, path, arguments[0], arguments[1:], shows)
    elif action == "remove":
        naming.remove(session, path, arguments)
    else:
        naming.show(naming.read(session, path))
