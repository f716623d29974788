"""How well an object is erased by place: the tables of `places.md`, by one command.

    python benchmarks/forgetting/places.py              # rooms and cells, about five minutes
    python benchmarks/forgetting/places.py cells

Everything is of seed 0. Edits are made with the boxes that ship, and judged on fresh samples by the
segmenter that ships, which no edit has seen, by a probe trained again on the edited images, by the
hue of the places, and by the discriminator.
What an earlier run has measured is kept in `places.json`; remove that file to start again.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import dcgan_probe as dp
from dcgan_probe.edits.donors import Donors
from dcgan_probe.edits.edit import Edit
from dcgan_probe.metrics import features
from dcgan_probe.metrics.intervals import RESAMPLES, Interval
from dcgan_probe.probes.forget.elsewhere import erase_elsewhere
from dcgan_probe.probes.forget.judgement import BATCH, EditOutcome, Tally, measure_outcome
from dcgan_probe.recognition import detectors
from dcgan_probe.recognition.erasing import choose_erasing, erase_unjudged
from dcgan_probe.recognition.patches import Patches
from dcgan_probe.recognition.retrained import Retrained, inpaint, retrain, see
from dcgan_probe.recognition.rule import choose
from dcgan_probe.recognition.trials import less_real, realness
from dcgan_probe.storage import files

HERE = Path(__file__).parent
OBJECTS = {"rooms": "window", "cells": "white cell"}
LAYERS = ("8x8", "16x16")
CHAINS = (("8x8",), ("16x16",), ("8x8", "16x16"))
FILLS = ("mix", "recolour", "smooth")
WIDTHS = (2.0, 4.0)  # of every way with a donor
# What the automatic choice took on the former rooms while it tried clone, also on one layer.
FORMER = {"rooms": ((("8x8", "16x16"), "clone", 4.0), (("16x16",), "clone", 4.0))}
FEW = (3, 5, 10, 20)
SAMPLES, START = 160, 150
USUAL = 100  # samples that say which hues are usual
HEAD = (
    "| edit | area left | change outside | without object | AUC | beyond position | patch | "
    "less real | s |\n|---|---|---|---|---|---|---|---|---|\n"
)


class Judged(NamedTuple):
    """What finds an edit: the segmenter, a probe trained again, the hue, the discriminator."""

    outcome: EditOutcome
    again: Retrained
    patch: Interval
    unreal: Interval


class Bench:
    """Fresh samples of a model, and the two judges."""

    def __init__(self, model: str):
        self.session = dp.Session.open(model, device="cpu")
        self.label = OBJECTS[model]
        self.boxes = self.session.read_boxes().only(self.label)
        self.judge = detectors.find(model, self.label)
        self.z = self.session.latents(SAMPLES, start=START)
        self.before = self.session.generate(self.z)
        self.mask = detectors.soft(self.judge, self.before) > 0.5
        self.rows = torch.where(self.mask.flatten(1).float().mean(1) > 0.01)[0]
        usual = self.session.generate(self.session.latents(USUAL, start=START + SAMPLES))
        p = detectors.soft(self.judge, usual)
        self.patches = Patches(self.mask[self.rows], usual, p, self.session.seed)

    def edited(self, *edits: Edit) -> Tensor:
        with self.session.editing(*edits):
            return self.session.generate(self.z)

    def judged(self, images: Tensor) -> Judged:
        tally = Tally(self.judge, 1)
        for was, became in zip(self.before.split(BATCH), images.split(BATCH), strict=True):
            tally.begin(was)
            tally.add(0, was, became)
        tallied, sums = tally.collect(SAMPLES)
        outcome = measure_outcome(0, sums, tallied, 0, self.mask[0].numel())
        after = images[self.rows]
        discriminator = self.session.checkpoint.discriminator
        before, became = (realness(discriminator, each) for each in (self.before[self.rows], after))
        return Judged(
            outcome,
            retrain(see(features.seeing(discriminator), after), self.mask[self.rows]),
            self.patches.measure(after, torch.arange(len(after)), RESAMPLES),
            less_real(before, became, self.session.seed, RESAMPLES),
        )

    def few(self, count: int) -> dp.Boxes:
        """The boxes of the first samples that hold so many, and the empty samples before them."""
        boxed = sorted({box.image for box in self.boxes.boxes})
        return self.boxes.only_images(range(boxed[count - 1] + 1))


def rows(bench: Bench) -> dict[str, Callable[[], Tensor]]:
    """What is compared: a name, and how to make the images."""
    session, boxes, label = bench.session, bench.boxes, bench.label
    found: dict[str, Callable[[], Tensor]] = {
        "as they are": lambda: bench.before,
        "pixels inpainted by OpenCV": lambda: inpaint(bench.before, bench.mask),
    }
    for layer in LAYERS:
        found[f"filters: the paper's rule, {layer}"] = partial(paper, bench, layer)
    found["places: chosen"] = partial(chosen, bench)
    found["places: the same edit where other samples have the object"] = partial(elsewhere, bench)
    whole = erase_unjudged(session, boxes, label)

    def place(layers: tuple[str, ...], fill: str, widen: float) -> Tensor:
        donors: Donors | None = None if fill == "smooth" else whole.donors
        edit = replace(whole, layers=layers, fill=fill, widen=widen, donors=donors)
        return bench.edited(edit)

    ways = [
        (layers, fill, widen)
        for layers in CHAINS
        for fill in FILLS
        for widen in (
            (2.0,) if fill == "smooth" else WIDTHS if len(layers) == 1 else (0.0, *WIDTHS)
        )
    ]
    for layers, fill, widen in (*ways, *FORMER.get(session.checkpoint.name, ())):
        name = f"places: {' and '.join(layers)}, {fill}, widened by {widen:g}"
        found[name] = partial(place, layers, fill, widen)
    for count in FEW:
        found[f"places: {count} boxed samples, not chosen"] = partial(few, bench, count)
    return found


def paper(bench: Bench, layer: str) -> Tensor:
    return bench.edited(choose(bench.session, bench.boxes, bench.label, layer))


def few(bench: Bench, count: int) -> Tensor:
    return bench.edited(erase_unjudged(bench.session, bench.few(count), bench.label))


def chosen(bench: Bench) -> Tensor:
    found = choose_erasing(bench.session, bench.boxes, bench.label)
    print(f"chosen: {found.edit}: {found.chosen}", flush=True)
    return bench.before if found.edit is None else bench.edited(found.edit)


def elsewhere(bench: Bench) -> Tensor:
    found = choose_erasing(bench.session, bench.boxes, bench.label)
    assert found.edit is not None
    return erase_elsewhere(bench.session, found.edit, bench.z, 1)[0]


def line(name: str, judged: Judged, seconds: float) -> str:
    """One line of a table."""
    outcome, again, patch, unreal = judged
    without = "" if outcome.without_object is None else f"{outcome.without_object:.4f}"
    outside = outcome.outside
    return (
        f"| {name} | {outcome.area_left} | {outside.value:.4f} ({outside.low:.4f} to "
        f"{outside.high:.4f}) | {without} | {again.auc} | {again.beyond} | {patch} | "
        f"{unreal} | {seconds:.1f} |"
    )


def measure(model: str, results: dict[str, Any]) -> None:
    """Measure what is not in `results` yet."""
    bench = Bench(model)
    mine = results.setdefault(model, {})
    for name, make in rows(bench).items():
        if name in mine:
            continue
        start = time.process_time()
        images = make()
        seconds = time.process_time() - start
        judged = bench.judged(images)
        text = line(name, judged, seconds)
        print(text, flush=True)
        mine[name] = {
            "row": text,
            **judged.outcome.values(),
            "trained_again": judged.again.values(),
            "patch": vars(judged.patch),
            "less_real": vars(judged.unreal),
        }
        files.write_json(HERE / "places.json", results)


def write(results: dict[str, Any]) -> None:
    """Write the tables as Markdown."""
    parts = ["# Forgetting by place\n"]
    for model, found in results.items():
        alone = next(iter(found.values()))["trained_again"]["position"]["value"]
        parts.append(
            f"## {model}: {OBJECTS[model]}\n\n{SAMPLES} fresh samples of seed 0. AUC: of a probe "
            f"trained again, held out by image; position alone {alone:.3f}. Beyond position: AUC "
            "of pairs of images at the same place, 0.5 is not found. Patch: how often the hue of "
            "the place differs more from what is around it than on samples without the object, 0.5 "
            "is usual. Less real: how often the discriminator takes a sample for less real than "
            "it was, 0.5 means equally real. In brackets 95% intervals, from images drawn again. "
            "s: CPU seconds, with the regression and the choice where they are a row's own.\n"
        )
        parts.append(HEAD + "\n".join(each["row"] for each in found.values()) + "\n")
    files.write_text(HERE / "places.md", "\n".join(parts))


if __name__ == "__main__":
    torch.set_num_threads(1)  # so that CPU seconds are comparable
    stored = HERE / "places.json"
    known: dict[str, Any] = json.loads(stored.read_text()) if stored.exists() else {}
    for each in sys.argv[1:] or OBJECTS:
        measure(each, known)
    write(known)
