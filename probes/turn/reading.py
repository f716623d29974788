"""How to read a result of turn."""

from __future__ import annotations

from typing import Any

from dcgan_probe.report.plots import at, drawable, say
from dcgan_probe.report.reading import Reading
from dcgan_probe.report.tables import words


def _finding(values: dict[str, Any]) -> str | None:
    """The label that the axis moves most, and the next, from end to end."""
    mean = at(values, "response.mean")
    ends = {
        label: (curve[0], curve[-1])
        for label, curve in (mean.items() if isinstance(mean, dict) else ())
        if isinstance(curve, list) and len(curve) > 1 and all(map(drawable, curve))
    }
    if not ends:
        return say(values, "{axis}: looked at, not measured: no classifier")
    most = sorted(ends, key=lambda label: -abs(ends[label][1] - ends[label][0]))[:2]
    told = [f"{words(label)} {ends[label][0]:.2f} to {ends[label][1]:.2f}" for label in most]
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
