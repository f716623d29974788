"""Add, remove, list or suggest concepts."""

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
    help="File of concepts; created if missing.",
)
@click.option(
    "--shows", multiple=True, help='Label that the concept has, or "not LABEL". Repeatable.'
)
@click.option(
    "--classifier",
    shell_complete=completion.installed("classifier"),
    help="Classifier for suggest, as in arithmetic. Default: the one that ships.",
)
@click.option("--n", default=1000, type=click.IntRange(1), help="Number of samples for suggest.")
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
    """Name latents as concepts, list or remove them, or suggest exemplars.

    \b
        dcgan-probe concepts add smiling_woman 3:17 3:42 5:8
        dcgan-probe concepts remove smiling_woman
        dcgan-probe concepts list
        dcgan-probe concepts suggest smiling --shows smile --shows "not hat"

    An exemplar is SEED:INDEX, or a z.safetensors that arithmetic or invert wrote.
    """
    from dcgan_probe.probes.concepts import naming, suggestions
    from dcgan_probe.recognition.classifiers import shipped

    # Not pass_session: only suggest writes results, the others edit a file of the user's.
    session = session_of(context)
    if action != "list" and not arguments:
        raise InputError(f"concepts {action}: found no name, expected one")
    if action == "suggest":
        session.start("concepts")
        chosen = classifier or shipped(session.checkpoint.name)
        if chosen is None:
            raise InputError("concepts suggest: found no classifier, expected --classifier")
        session.save(suggestions.suggest(session, arguments[0], shows, chosen, n))
    elif action == "add":
        naming.add(session, path, arguments[0], arguments[1:], shows)
    elif action == "remove":
        naming.remove(session, path, arguments)
    else:
        naming.show(naming.read(session, path))
