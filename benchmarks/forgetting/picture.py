"""The first picture of README: windows and white cells erased by place.

python benchmarks/forgetting/picture.py          # writes docs/pictures/forget_places.png
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import dcgan_probe as dp
from dcgan_probe import figures
from dcgan_probe.recognition import detectors
from dcgan_probe.recognition.erasing import choose_erasing

OBJECTS = {"rooms": ("bedrooms", "window"), "cells": ("blood cells", "white cell")}
OUT = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "forget_places.png"
SHOWN, START = 3, 150


def block(session: dp.Session, title: str, label: str) -> figures.Block:
    """The first fresh samples that hold the object, before and after."""
    z = session.latents(8 * SHOWN, start=START)
    marks = detectors.soft(detectors.find(session.checkpoint.name, label), session.generate(z))
    z = z[((marks > 0.5).flatten(1).float().mean(1) > 0.01).nonzero()[:SHOWN, 0]]
    found = choose_erasing(session, session.read_boxes().only(label), label)
    assert found.edit is not None
    before = figures.pixels(session.generate(z))
    with session.editing(found.edit):
        return figures.Block(title, np.stack([before, figures.pixels(session.generate(z))]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    sessions = {name: dp.Session.open(name, device="cpu") for name in OBJECTS}
    figures.draw(
        OUT,
        "Windows and white cells, erased by place",
        [block(session, *OBJECTS[name]) for name, session in sessions.items()],
        ["as they are", "forgotten"],
        "Above samples of two DCGANs, below the same latents after “forget --by places”: the first "
        f"{SHOWN} fresh samples of seed 0, from number {START} on, that hold the object. Layers, "
        "fill and width were chosen on held-out boxed samples. "
        + ", ".join(f"{n} ({s.checkpoint.sha256[:8]})" for n, s in sessions.items())
        + ", seed 0.",
        zoom=2,
    )
