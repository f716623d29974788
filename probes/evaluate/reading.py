"""How to read a result of evaluate."""

from __future__ import annotations

from typing import Any

from dcgan_probe.report.plots import as_list, at, drawable
from dcgan_probe.report.reading import Reading
from dcgan_probe.results.numbers import align_decimals


def _finding(values: dict[str, Any]) -> str | None:
    """The mean distance over scales beside its floor."""
    means = []
    for side in ("samples", "held_out"):
        each = as_list(at(values, f"sliced_wasserstein_x1000.mean.{side}"))
        if not each or not all(map(drawable, each)):
            return None
        means.append(sum(each) / len(each))
    distance, floor = align_decimals(means)
    return f"sliced Wasserstein distance x 1000: {distance}, floor {floor}"


READING = Reading(
    "The floor is the distance of held-out images from each other. A distance at the floor does "
    "not distinguish samples from real images. If it is far above the floor only at the finest "
    "scale, the layout is right and the detail is not. If MS-SSIM is above that of held-out "
    "images, samples are too much alike.",
    "Compare only numbers for equal numbers of images. Images that the generator was trained on "
    "are not held out, and copies are not detected here. The sliced distance ignores a colour "
    "cast or flat contrast of all samples. Noise also has a low MS-SSIM.",
    {"images on each side": "images_on_each_side"},
    {"evaluate": "Samples beside held-out images, and their distances beside the floor"},
    finding=_finding,
)
