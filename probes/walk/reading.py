"""How to read a result of walk."""

from __future__ import annotations

from typing import Any

from dcgan_probe.report.plots import at, say
from dcgan_probe.report.reading import Reading


def _mean_of_spherical_alone(values: dict[str, Any]) -> Any:
    """The mean step of the spherical way, where no linear way was walked beside it."""
    return None if at(values, "ways.linear") else at(values, "ways.spherical.mean")


def _largest_of_first(values: dict[str, Any]) -> Any:
    """The largest step of the first way that was walked."""
    ways = values.get("ways")
    return at(next(iter(ways.values())), "largest") if isinstance(ways, dict) and ways else None


def _finding(values: dict[str, Any]) -> str | None:
    known = {
        "largest": _largest_of_first(values),
        "far": values.get("distance_of_unrelated_samples"),
    }
    return say(
        known, "the largest step changes the image by {largest}, unrelated samples differ by {far}"
    )


READING = Reading(
    "Between two samples, images should change a little at every step. Distances are in the "
    "discriminator's features (in pixels without a discriminator), compared with that of "
    "unrelated samples. The largest step is repeated in 8 parts: for an even change, the "
    "largest part is near 0.12 of the step; for a jump, 1.",
    "Smoothness shows that the generator did not store single images. It does not show that the "
    "images in between are good. The discriminator that measures was trained against this "
    "generator.",
    {
        "mean step, linear": "ways.linear.mean",
        "mean step, spherical": _mean_of_spherical_alone,
        "largest": _largest_of_first,
        "unrelated samples": "distance_of_unrelated_samples",
    },
    {"walk": "Images along the walk, from point to point"},
    finding=_finding,
)
