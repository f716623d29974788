"""The command ``dcgan-probe label``: open the page and print its address."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from dcgan_probe.errors import InputError
from dcgan_probe.label import MAX_SAMPLES
from dcgan_probe.plugins.contract import session_of
from dcgan_probe.terminal import answer


@click.command()
@click.option("--object", "labels", multiple=True, help="Object to draw boxes on. Repeatable.")
@click.option("--n", default=150, type=click.IntRange(1, MAX_SAMPLES), help="Number of samples.")
@click.option(
    "--boxes",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of boxes to write, or to resume. Default: named after the object.",
)
@click.option(
    "--concepts",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Pick exemplars of concepts instead, into this file.",
)
@click.option(
    "--port", default=0, type=click.IntRange(0, 65535), help="Port of the page; 0 takes a free one."
)
@click.pass_context
def label(
    context: click.Context,
    labels: tuple[str, ...],
    n: int,
    boxes: Path | None,
    concepts: Path | None,
    port: int,
) -> None:
    """Draw boxes on samples, or pick exemplars of concepts, in the browser.

    Every change is saved. Ctrl-C stops the server; rerun the command to continue.

        dcgan-probe --model rooms label --object window forget --boxes windows.json
    """
    if concepts is not None and (labels or boxes):
        raise InputError("label: found --concepts with --object or --boxes, expected one of them")
    from dcgan_probe.label.opening import open_page

    session = session_of(context)
    work = open_page(session, concepts or boxes, labels, n, port, picking=concepts is not None)
    text = f"{work.path}: {work}"
    if following := _next_line(context, work.path, labels, concepts is not None):
        text += f"\nnext: {shlex.join(following)}"
    answer({"file": str(work.path), "summary": str(work)}, text)


def _next_line(
    context: click.Context, path: Path, labels: tuple[str, ...], picking: bool
) -> list[str]:
    """The command to run next on what was drawn; none without a file."""
    if not path.exists():
        return []
    line = ["dcgan-probe", "--model", context.find_root().params["model"]]
    if picking:
        return [*line, "concepts", "list", "--concepts", str(path)]
    named = ["--object", labels[0]] if len(labels) == 1 else []
    return [*line, "forget", "--by", "places", "--boxes", str(path), *named]
