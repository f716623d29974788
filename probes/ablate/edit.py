"""Build the edit that the options describe: which filters, which values, where."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.edits.filters import Selection
from dcgan_probe.edits.levels import PERCENT, levels, means
from dcgan_probe.edits.regions import read_region
from dcgan_probe.errors import InputError
from dcgan_probe.plugins.options import parse_filters
from dcgan_probe.session import Session

SAMPLES = 256
INSERTED = "--insert"  # no value of --replace
MEASURES = {"mean": (means, "mean"), INSERTED: (levels, f"{PERCENT}th percentile")}


def read_selection(
    session: Session, layer: str | None, filters: str | None, path: Path | None
) -> Selection:
    """The filters that a command line names, and what a file says becomes of them."""
    if (filters is None) == (path is None):
        options = "neither --filters nor" if path is None else "both --filters and"
        raise InputError(f"ablate: found {options} --selection, expected one of them")
    if path is not None:
        if layer is not None:
            raise InputError("--layer: found it beside --selection, which names the layer")
        selection = Selection.read(path)
        if not selection.filters:
            raise InputError(f"{path}: found no filters, expected at least one")
        return selection
    if layer is None:
        known = ", ".join(session.config.layers("generator"))
        raise InputError(f"--filters: found no --layer, expected one of: {known}")
    assert filters is not None
    numbers = tuple(sorted(parse_filters(filters)))
    return Selection(layer, numbers, session.checkpoint.sha256, {"chosen": "by hand"})


def replace_maps(session: Session, selection: Selection, how: str) -> Selection:
    """A selection whose maps are replaced by zero, their mean, their level or a number."""
    count = len(selection.filters)
    about = {k: v for k, v in selection.about.items() if k not in ("replaced_by", "measured_on")}
    if how == "zero":
        return replace(selection, values=(), about=about)
    if how not in MEASURES:
        try:
            value = float(how)
        except ValueError:
            raise InputError(f"--replace: found {how!r}, expected zero, mean or a number") from None
        return replace(selection, values=(value,) * count, about=about)
    measure, name = MEASURES[how]
    z = session.latents(SAMPLES)
    values = measure(session.generator, selection.layer, selection.filters, z)
    if how == INSERTED and not any(values):
        raise InputError(
            f"--insert: found {selection.layer} filters that output nothing on {SAMPLES} samples, "
            "expected some that do; an active edit may drop them"
        )
    edits = [edit.change() for edit in session.edits]
    measured = {"samples": SAMPLES, "seed": session.seed, "edits": edits}
    about |= {"replaced_by": f"their {name}", "measured_on": measured}
    return replace(selection, values=values, about=about)


def read_place(session: Session, text: str) -> tuple[float, float, float, float] | Boxes:
    """What --where names: the edges of a region, or a file of boxes."""
    try:
        float(text.split(",")[0])
    except ValueError:
        size = (session.config.size, session.config.size)
        return Boxes.read(text, image_size=size)
    return read_region(text, "--where")
