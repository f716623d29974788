"""How to read a result of evaluate."""

from __future__ import annotations

from dcgan_probe.report.reading import Reading

READING = Reading(
    "A distance at the floor, that of held-out images to each other, cannot tell samples from "
    "real images. Far above it at the finest scale only: the layout is right, the detail is "
    "not. MS-SSIM above that of held-out images: samples are too alike.",
    "Compare numbers only of equally many images. Images the generator was trained on are not "
    "held out, and nothing here looks for copies. A flat cast or contrast does not show in "
    "the sliced distance, and low MS-SSIM is also what noise has.",
    {"images on each side": "images_on_each_side"},
    {"evaluate": "Samples beside held-out images, and their distances beside the floor"},
)
