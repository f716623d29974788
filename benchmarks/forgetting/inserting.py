"""Filters of windows turned up in a region of the rooms, beside random ones: docs/probes/ablate.md.

    python benchmarks/forgetting/inserting.py      # writes docs/pictures/ablate_insert.png

Prints a row for each set of filters: how much the region and the rest change, and the share of
samples in which the segmenter that ships marks at least half of the region.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import dcgan_probe as dp
from dcgan_probe import figures
from dcgan_probe.edits.levels import levels
from dcgan_probe.probes import ablate
from dcgan_probe.recognition import detectors
from dcgan_probe.recognition.rule import positive, rank_by_weight
from dcgan_probe.recognition.samples import BoxedSamples

OUT = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "ablate_insert.png"
REGION = (40, 8, 56, 32)  # x0, y0, x1, y1 in pixels of 64
SAMPLES, RANDOM_SETS = 256, 10
# Layer, filters (None: those of the paper's rule), gain.
SETS = (("16x16", None, 1.0), ("8x8", None, 1.0), ("8x8", 48, 1.0), ("8x8", 48, 0.5))
SHOWN, ZOOM, DRAWN = 4, 3, 2  # samples of the picture, of whole-number zoom; which of SETS


def main() -> None:
    torch.set_num_threads(1)
    boxed = dp.Session.open("rooms", device="cpu")
    session = dp.Session.open("rooms", seed=1, device="cpu")
    draw(boxed, session)

    def measure(layer: str, filters: list[int], gain: float) -> tuple[float, float, float]:
        edit = insert(session, layer, filters, gain)
        change = ablate.run(session, edit, n=SAMPLES).change
        with session.editing(edit):
            return change["inside"], change["outside"], marked(session)

    print("| filters | gain | change inside | outside | marked |\n|---|---|---|---|---|")
    print(f"| none | | 0 | 0 | {marked(session):.2f} |")
    for layer, k, gain in SETS:
        chosen, sets = choose(boxed, layer, k)
        inside, outside, share = measure(layer, chosen, gain)
        named = f"{'top ' if k else ''}{len(chosen)} of {layer}"
        print(f"| {named} | {gain:g} | {inside:.3f} | {outside:.3f} | {share:.2f} |", flush=True)
        if gain != 1:
            continue
        random = np.array([measure(layer, each, gain) for each in sets])
        ends = zip(random.min(0), random.max(0), strict=True)
        ranges = [f"{low:.3f} to {high:.3f}" for low, high in ends]
        print(f"| {RANDOM_SETS} random sets | 1 | {' | '.join(ranges)} |", flush=True)


def choose(boxed: dp.Session, layer: str, k: int | None) -> tuple[list[int], list[list[int]]]:
    """Filters of largest weight for windows, k or all above zero, and random sets of as many."""
    samples = BoxedSamples.draw(boxed, boxed.read_boxes(), layer)
    chosen = rank_by_weight(samples, k or positive(samples)).chosen.filters
    rng, width = np.random.default_rng(0), samples.maps.shape[1]
    sets = [rng.choice(width, len(chosen), replace=False) for _ in range(RANDOM_SETS)]
    return list(chosen), [sorted(map(int, each)) for each in sets]


def insert(session: dp.Session, layer: str, filters: list[int], gain: float) -> dp.Selection:
    """Turn filters up in the region, as `ablate --insert` does."""
    return dp.Selection(
        layer,
        tuple(filters),
        session.checkpoint.sha256,
        values=levels(session.generator, layer, filters, session.latents(SAMPLES)),
        gains=() if gain == 1 else (gain,) * len(filters),
        where=REGION,
    )


def marked(session: dp.Session) -> float:
    """Share of samples in which the segmenter marks at least half of the region."""
    x0, y0, x1, y1 = REGION
    images = session.generate(session.latents(SAMPLES))
    inside = detectors.soft(detectors.find("rooms", "window"), images)[:, y0:y1, x0:x1] > 0.5
    return float((inside.float().mean((1, 2)) >= 0.5).float().mean())


def draw(boxed: dp.Session, session: dp.Session) -> None:
    """Samples as they are, with the filters of windows, and with the first of the random sets."""
    layer, k, gain = SETS[DRAWN]
    chosen, (random, *_) = choose(boxed, layer, k)
    edits = [[], *([insert(session, layer, each, gain)] for each in (chosen, random))]
    rows, shares = [], []
    for edit in edits:
        with session.editing(*edit):
            images = figures.pixels(session.sample(SHOWN))
            shares.append(f"{marked(session):.2f}")
        framed = [figures.outlined(image, [REGION], ZOOM, width=ZOOM) for image in images]
        rows.append(np.stack(framed))
    figures.draw(
        OUT,
        "Inserting a window: filters turned up inside the frame",
        [figures.Block("", np.stack(rows))],
        ["as they are", f"{k} filters\nof windows", f"{k} random\nfilters"],
        f"The same latents in every row: samples 0 to {SHOWN - 1} of seed {session.seed}. Second "
        f"row: the {k} filters of {layer} with the largest weight for windows, raised to their "
        f"99th percentile inside the frame; third: as many random ones. Of {SAMPLES} samples, the "
        f"segmenter calls at least half of the frame a window in {shares[0]} (as they are), "
        f"{shares[1]} and {shares[2]}. {session.caption()}.",
        zoom=1,
    )


if __name__ == "__main__":
    main()
