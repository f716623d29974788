"""Forgetting an object that is always at one place: glasses of the faces that ship.

    python benchmarks/forgetting/glasses.py      # writes docs/pictures/forget_glasses.png

Faces are aligned, so one box around the eyes fits every sample that wears glasses by the classifier
that ships, of the first 150 of seed 0. The classifier then says how many fresh samples wear them.

Hair is above the box and may be replaced, too: the same classifier says whose keeps its colour. The
picture shows the automatic choice; the other fills are measured as well.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import dcgan_probe as dp
from dcgan_probe import figures
from dcgan_probe.recognition import classifiers
from dcgan_probe.recognition.erasing import choose_erasing

OUT = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "forget_glasses.png"
EYES = (12, 22, 52, 38)  # x0, y0, x1, y1 in pixels of 64
BOXED, FRESH, SHOWN = 150, 160, 6
FILLS = (None, "recolour", "smooth")
HAIR = ("black", "brown", "blond", "red", "grey")


def main() -> None:
    session = dp.Session.open("faces", device="cpu")
    classifier = classifiers.find("faces", session)
    labels = list(classifier.labels)
    column = labels.index("glasses")
    hair = [labels.index(f"{colour} hair") for colour in HAIR]

    def worn(images: Tensor) -> Tensor:
        return classifiers.classify(classifier, images)[:, column] > 0.5

    def colour(images: Tensor) -> Tensor:
        return classifiers.classify(classifier, images)[:, hair].argmax(1)

    size = (session.config.size, session.config.size)
    wearing = torch.where(worn(session.sample(BOXED)))[0].tolist()
    boxes = tuple(dp.Box(i, "glasses", *EYES) for i in wearing)
    sha = session.checkpoint.sha256
    drawn = dp.Boxes(boxes, tuple(range(BOXED)), size, seed=session.seed, checkpoint=sha)
    z = session.latents(FRESH, start=BOXED)
    before = session.generate(z)
    wore = worn(before)
    print(f"{len(boxes)} boxes; {int(wore.sum())} of {FRESH} fresh samples wear glasses")
    found = {fill: choose_erasing(session, drawn, "glasses", fill=fill) for fill in FILLS}
    edited = {}
    for fill, erasing in found.items():
        assert erasing.edit is not None
        with session.editing(erasing.edit):
            edited[fill] = session.generate(z)
        still = int(worn(edited[fill])[wore].sum())
        same = int((colour(edited[fill]) == colour(before))[wore].sum())
        print(f"{fill or 'automatic choice'}: {erasing.edit}: {erasing.chosen}")
        print(f"  {still} wear them, {same} keep the colour of their hair", *erasing.doubts)
    rows = torch.where(wore)[0][:SHOWN]
    figures.draw(
        OUT,
        "Glasses erased by place",
        [figures.Block("", np.stack([figures.pixels(x[rows]) for x in (before, edited[None])]))],
        ["as they are", "edited"],
        f"The first {SHOWN} fresh samples of seed {session.seed}, from number {BOXED} on, that wear"
        f" glasses. Edited: {found[None].edit}. {session.caption()}.",
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
