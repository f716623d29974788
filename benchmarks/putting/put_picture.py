"""The picture of docs/probes/put.md: windows and white cells put where there were none.

    python benchmarks/putting/put_picture.py          # writes docs/pictures/put.png

A rule chooses everything: the place is the first of those of put.py, the samples are the first that
show no such object there, and the corners are of the last of them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from put import OBJECTS, asked_for

import dcgan_probe as dp
from dcgan_probe import figures
from dcgan_probe.probes import put
from dcgan_probe.probes.put.baselines import paste
from dcgan_probe.probes.put.evaluation import PASTED, PUT
from dcgan_probe.recognition.judges import halves
from dcgan_probe.recognition.samples import latents_of

OUT = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "put.png"
SHOWN, SAMPLES = 3, 48
ZOOM, CLOSE = 3, 2  # of samples; times that close-ups are larger


def rows(model: str) -> tuple[np.ndarray, list[str], str]:
    """Three rows of images, their names, and what was put: as they are, put and pasted.

    In each row the donor (the first only), samples, and a close-up of the last one.
    """
    label = OBJECTS[model]
    session = dp.Session.open(model, device="cpu")
    boxes = session.read_boxes().only(label)
    place = asked_for(list(halves(boxes)[1].boxes), session.config.size)[0]
    at = place.edges
    boxes = boxes.only_images([image for image in boxes.images if image != place.image])
    result = put.run(session, boxes, label, at, n=SAMPLES)
    print(result, flush=True)

    (judged,) = result.judged.values()
    z = session.latents(SAMPLES, start=boxes.n)[judged.free[:SHOWN]]
    placed = result.donor.placed
    source = session.generate(latents_of(session, boxes.only_images([placed.box.image])))
    before = session.generate(z)
    with session.editing(*result.edits):
        after = session.generate(z)
    three = [
        figures.pixels(each) for each in (before, after, paste(before, source[0], placed, at)[0])
    ]
    own = placed.box
    donor = figures.outlined(figures.pixels(source)[0], [own.edges], ZOOM)
    drawn = [
        [donor if not i else np.full_like(donor, 255)]
        + [figures.outlined(image, [at], ZOOM) for image in images]
        + [close_up(images[-1], at)]
        for i, images in enumerate(three)
    ]
    rims = {name: judged.outcomes[name].rim for name in (PUT, PASTED)}
    names = ["as they are"] + [
        f"{name}\nrim {rim.value:.2f}\n({rim.low:.2f} to {rim.high:.2f})"
        for name, rim in rims.items()
    ]
    said = (
        f"{model} ({session.checkpoint.sha256[:8]}): the {label} of sample 0:{own.image}, by "
        f"{result.way}; rims of {len(judged.free)} samples"
    )
    return np.array(drawn), names, said


def close_up(image: np.ndarray, at: tuple[float, ...]) -> np.ndarray:
    """The lower right corner of a box and what is around, as large as the image is drawn."""
    side = len(image) // CLOSE
    x, y = (min(max(round(edge) - side // 2, 0), len(image) - side) for edge in at[2:])
    return image[y : y + side, x : x + side].repeat(CLOSE * ZOOM, 0).repeat(CLOSE * ZOOM, 1)


if __name__ == "__main__":
    torch.set_num_threads(1)
    found, names, said = zip(*(rows(model) for model in OBJECTS), strict=True)
    images = np.concatenate(found)
    figures.draw(
        OUT,
        "An object of one sample, put into others",
        [
            figures.Block("donor", images[:, :1]),
            figures.Block(f"the first {SHOWN} samples without it there", images[:, 1:-1]),
            figures.Block(f"corner of column {SHOWN}", images[:, -1:]),
        ],
        [name for three in names for name in three],
        "The same latents in three rows. Put: feature maps of the donor, from which the network "
        "draws the object. Pixels pasted: their straight edge shows at the corner of the box. Rim: "
        "the share of the generator's own objects whose edge jumps less, with its 95% interval; "
        f"0.5 is usual, 1 is more than all. {'; '.join(said)}.",
        zoom=1,
    )
