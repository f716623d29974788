"""Drop, scale, replace or insert filters of the generator, everywhere or in a region."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from dcgan_probe.errors import InputError
from dcgan_probe.plugins.contract import pass_session
from dcgan_probe.plugins.options import EXAMPLE


@click.command()
@click.option("--layer", help="Layer of the generator.")
@click.option("--filters", help=f"Filters of the layer: numbers and ranges, such as {EXAMPLE}.")
@click.option(
    "--selection",
    "path",
    type=click.Path(path_type=Path),
    help="selection.json to use instead of --layer and --filters.",
)
@click.option(
    "--gain", type=float, help="Factor for the feature maps. Default: 0, which drops them."
)
@click.option(
    "--replace",
    "value",
    metavar="zero|mean|FLOAT",
    help="Value to insert: zero, each filter's mean, or a number. Default: zero.",
)
@click.option("--insert", is_flag=True, help="Insert each filter's 99th percentile.")
@click.option(
    "--where",
    metavar="X0,Y0,X1,Y1|BOXES",
    help="Edit only this region, in pixels; or only inside the boxes of a file, on their samples.",
)
@click.option("--undo", is_flag=True, help="Only remove the last active edit.")
@pass_session
def ablate(
    session: Any,
    layer: str | None,
    filters: str | None,
    path: Path | None,
    gain: float | None,
    value: str | None,
    insert: bool,
    where: str | None,
    undo: bool,
) -> None:
    """Drop, scale, replace or insert filters of the generator, everywhere or in a region.

    A feature map becomes gain * map + (1 - gain) * value. Later commands of the line see the edit.
    """
    if undo:
        if any((layer, filters, path, value, insert, where)) or gain is not None:
            raise InputError("--undo: found other options beside it, expected it alone")
        lifted = session.undo()
        session.report({"lifted": str(lifted)})
        return
    from dcgan_probe.boxes.boxes import Boxes
    from dcgan_probe.probes.ablate.edit import INSERTED, read_place, read_selection, replace_maps
    from dcgan_probe.probes.ablate.probe import run

    if value == INSERTED or (insert and value is not None):
        raise InputError("ablate: found both --insert and --replace, expected one of them")
    selection = read_selection(session, layer, filters, path)
    boxes = None
    if where is not None:
        place = read_place(session, where)
        boxes = place if isinstance(place, Boxes) else None
        selection = replace(selection, where=None if isinstance(place, Boxes) else place)
    if gain is not None or insert:
        gains = (gain,) * len(selection.filters) if gain else ()
        selection = replace(selection, gains=gains)
    how = INSERTED if insert else value
    if how is not None:
        selection = replace_maps(session, selection, how)
    result = run(session, selection, boxes)
    session.save(result)
    if boxes is None:
        session.edit(selection)
