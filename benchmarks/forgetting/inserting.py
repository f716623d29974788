"""Filters of windows turned up in a region of the rooms, beside random ones: docs/probes/ablate.md.

    python benchmarks/forgetting/inserting.py

Prints a row for each set of filters: how much the region and the rest change, and the share of
samples in which the segmenter that ships marks at least half of the region.
"""

from __future__ import annotations

import numpy as np
import torch

import dcgan_probe as dp
from dcgan_probe.edits.levels import levels
from dcgan_probe.probes import ablate
from dcgan_probe.recognition import detectors
from dcgan_probe.recognition.rule import positive, rank_by_weight
from dcgan_probe.recognition.samples import BoxedSamples

REGION = (40, 8, 56, 32)  # x0, y0, x1, y1 in pixels of 64
SAMPLES, RANDOM_SETS = 256, 10
# Layer, filters (None: those of the paper's rule), gain.
SETS = (("16x16", None, 1.0), ("8x8", None, 1.0), ("8x8", 48, 1.0), ("8x8", 48, 0.5))


def main() -> None:
    torch.set_num_threads(1)
    boxed = dp.Session.open("rooms", device="cpu")
    session = dp.Session.open("rooms", seed=1, device="cpu")
    judge = detectors.find("rooms", "window")
    z = session.latents(SAMPLES)

    def marked() -> float:
        x0, y0, x1, y1 = REGION
        inside = detectors.soft(judge, session.generate(z))[:, y0:y1, x0:x1] > 0.5
        return float((inside.float().mean((1, 2)) >= 0.5).float().mean())

    def measure(layer: str, filters: list[int], gain: float) -> tuple[float, float, float]:
        edit = dp.Selection(
            layer,
            tuple(filters),
            session.checkpoint.sha256,
            values=levels(session.generator, layer, filters, z),
            gains=() if gain == 1 else (gain,) * len(filters),
            where=REGION,
        )
        change = ablate.run(session, edit, n=SAMPLES).change
        with session.editing(edit):
            return change["inside"], change["outside"], marked()

    print("| filters | gain | change inside | outside | marked |\n|---|---|---|---|---|")
    print(f"| none | | 0 | 0 | {marked():.2f} |")
    for layer, k, gain in SETS:
        samples = BoxedSamples.draw(boxed, boxed.read_boxes(), layer)
        chosen = rank_by_weight(samples, k or positive(samples)).chosen.filters
        inside, outside, share = measure(layer, list(chosen), gain)
        named = f"{'top ' if k else ''}{len(chosen)} of {layer}"
        print(f"| {named} | {gain:g} | {inside:.3f} | {outside:.3f} | {share:.2f} |", flush=True)
        if gain != 1:
            continue
        rng, width = np.random.default_rng(0), samples.maps.shape[1]
        sets = [rng.choice(width, len(chosen), replace=False) for _ in range(RANDOM_SETS)]
        random = np.array([measure(layer, sorted(map(int, each)), gain) for each in sets])
        ends = zip(random.min(0), random.max(0), strict=True)
        ranges = [f"{low:.3f} to {high:.3f}" for low, high in ends]
        print(f"| {RANDOM_SETS} random sets | 1 | {' | '.join(ranges)} |", flush=True)


if __name__ == "__main__":
    main()
