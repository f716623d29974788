"""How to read a result of evaluate."""

from __future__ import annotations

from typing import Any

from dcgan_probe.report.plots import as_list, at, drawable
from dcgan_probe.report.reading import Reading


def _finding(values: dict[str, Any]) -> str | None:
    """The mean distance over scales beside its floor."""
    means = []
    for side in ("samples", "held_out"):
        each = as_list(at(values, f"sliced_wasserstein_x1000.mean.{side}"))
        if not each or not all(map(drawable, each)):
            return None
        means.append(sum(each) / len(each))
    distance, floor = means
    return f"sliced Wasserstein distance x 1000: {distance:.3g}, floor {floor:.3g}"


READING = Reading(
    "A distance at the floor, that of held-out images to each other, cannot tell samples from "
    "real images. Far above it at the finest scale only: the layout is right, the detail is "
    "not. MS-SSIM above that of held-out images: samples are too alike.",
    "Compare numbers only of equally many images. Images the generator was trained on are not "
    "held out, and nothing here looks for copies. A flat cast or contrast does not show in "
    "the sliced distance, and low MS-SSIM is also what noise has.",
    {"images on each side": "images_on_each_side"},
    {"evaluate": "Samples beside held-out images, and their distances beside the floor"},
    finding=_finding,
)
