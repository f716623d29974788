"""How to read a result of turn."""

from __future__ import annotations

from typing import Any

from dcgan_probe.probes.turn.curves import describe, rank
from dcgan_probe.report.plots import at, drawable, say
from dcgan_probe.report.reading import Reading
from dcgan_probe.report.tables import words


def _finding(values: dict[str, Any]) -> str | None:
    """The label that the axis changes most, and the next, anywhere along it."""
    mean = at(values, "response.mean")
    curves = {
        label: curve
        for label, curve in (mean.items() if isinstance(mean, dict) else ())
        if isinstance(curve, list) and len(curve) > 1 and all(map(drawable, curve))
    }
    if not curves:
        return say(values, "{axis}: looked at, not measured: no classifier")
    told = [f"{words(label)} {describe(curves[label])}" for label in rank(curves)[:2]]
    return "; next most ".join(told)


READING = Reading(
    "Each row is one sample, with the axis between two concepts subtracted on one side and "
    "added on the other. A good axis changes only what it is named after.",
    "An axis of few exemplars also contains whatever else they have in common. Far along it, "
    "latents are outside the distribution that the generator was trained on.",
    {"from": "from", "to": "to", "length of the axis": "length_of_axis"},
    {"turn": "Samples along the axis between two concepts"},
    finding=_finding,
)
