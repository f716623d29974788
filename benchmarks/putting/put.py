"""How well objects are put: the table of `put.md`, by one command.

    python benchmarks/putting/put.py              # rooms and cells, about ten minutes
    python benchmarks/putting/put.py cells

Everything is of seed 0. Asked for are boxes of objects of one half of the boxed samples. Way and
object are chosen for each of them as `put` chooses them, with a guide that learnt from the other.
The segmenter that ships judges, which no choice has seen, on fresh samples that show none at the
place. Results of a model that is not asked for are kept.
"""

from __future__ import annotations

import json
import platform
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import dcgan_probe as dp
from dcgan_probe.boxes.boxes import Box
from dcgan_probe.metrics.distances import sliced_wasserstein
from dcgan_probe.metrics.intervals import Interval
from dcgan_probe.probes.put.baselines import donor_image, insertion
from dcgan_probe.probes.put.bench import Bench
from dcgan_probe.probes.put.choice import choose_donor, choose_way, find_fitting, find_layers
from dcgan_probe.probes.put.effect import Effects, Outcome, best, join
from dcgan_probe.probes.put.effect import measure as put_measure
from dcgan_probe.probes.put.evaluation import PUT, draw_edited, draw_rivals, judge_rivals
from dcgan_probe.probes.put.ways import FILLS
from dcgan_probe.recognition import detectors
from dcgan_probe.recognition.judges import halves, learn_from_boxes
from dcgan_probe.recognition.samples import latents_of
from dcgan_probe.storage import files

HERE = Path(__file__).parent
OBJECTS = {"rooms": "window", "cells": "white cell"}
PLACES, SAMPLES = 10, 32
PROJECTIONS = 128
HEAD = (
    "| edit | there | overlap with the box | with its own shape | change outside | rim stands out "
    "| drift |\n|---|---|---|---|---|---|---|\n"
)


def asked_for(boxes: list[Box], size: int) -> list[Box]:
    """Boxes of objects that no side of the image cuts, drawn by seed 0."""
    whole = [b for b in boxes if min(b.x0, b.y0) >= 1 and max(b.x1, b.y1) <= size - 1]
    order = np.random.default_rng(0).permutation(len(whole))[:PLACES]
    return [whole[i] for i in order]


def measure(model: str) -> dict[str, Any]:
    """Put objects at all places, and judge them."""
    session = dp.Session.open(model, device="cpu")
    label, size = OBJECTS[model], session.config.size
    boxes = session.read_boxes().only(label)
    judge = detectors.find(model, label)
    learn, held = halves(boxes)
    boxed = session.generate(latents_of(session, boxes))
    places = asked_for(list(held.boxes), size)
    sides = [min(b.x1 - b.x0, b.y1 - b.y0) for b in held.boxes]
    typical = (0.0, 0.0, float(np.median(sides)), float(np.median(sides)))
    chains = find_layers(session, typical, None)
    names = sorted({name for chain in chains for name in chain})
    bench = Bench(session, boxes, learn_from_boxes(session, learn), boxed, names)
    _, tried = choose_way(bench, label, chains, FILLS, held)
    turned_up = insertion(session, boxes, label, typical)
    ways: list[str] = []

    parts: dict[str, list[Effects]] = {}
    images: dict[str, list[Tensor]] = {}
    donors: list[list[float]] = []
    rounded, free, samples, known = [], 0, 0, 0.0
    for number, box in enumerate(places):
        at = box.edges
        others = [other for other in boxes.boxes if other.image != box.image]
        near = find_fitting(session, label, chains, others, at)
        found = [each for each in tried if each.way.layers in near]
        way = found[best([each.effects for each in found], session.seed)].way
        ways.append(str(way))
        edit, chosen, shortlist, _ = choose_donor(bench, label, way, others, at)
        z = session.latents(SAMPLES, start=boxes.n + number * SAMPLES)

        source = donor_image(boxed, boxes, chosen.placed)
        turned = replace(turned_up, where=at)
        rivals = draw_rivals(session, edit, chosen.placed, source, turned, at, z)
        said = judge_rivals(session, judge, rivals, boxes, boxed, bench.usual, at)
        known = said.known
        free, samples = free + len(said.free), samples + said.samples
        rounded.append(chosen.placed.rounded)
        for name, effects in said.effects.items():
            parts.setdefault(name, []).append(effects.mean())
        for name, each in {"as they are": rivals.before, **rivals.after}.items():
            images.setdefault(name, []).append(each)
        each_donor = []
        for donor in shortlist:
            other = bench.edit(label, way, donor.placed)
            after = draw_edited(session, other, z[said.free])
            marks = rivals.before[said.free], after, at, donor.placed.landed, bench.usual
            each_donor.append(float(put_measure(judge, *marks).iou.mean()))
        donors.append([each_donor[0], said.outcomes[PUT].iou.value, max(each_donor)])
        print(f"  {at}, {way}: {said.outcomes[PUT]}", flush=True)
    reference = session.generate(session.latents(samples, start=boxes.n + samples))
    drift = {
        name: sliced_wasserstein(torch.cat(each), reference, 0, projections=PROJECTIONS)["mean"]
        for name, each in images.items()
    }
    outcomes = {name: Outcome.of(join(each), 0, free) for name, each in parts.items()}
    first, taken, most = np.mean(donors, axis=0).tolist()
    return {
        "versions": versions(),
        "seed": 0,
        "checkpoint": session.checkpoint.sha256,
        "judge": judge.about,
        "label": label,
        "ways": dict(Counter(ways).most_common()),
        "tried": [each.values() for each in tried],
        "places": len(places),
        "samples": samples,
        "samples_without_object_there": free,
        "overlap_of_unedited_objects_with_their_boxes": known,
        "rounded_pixels": np.abs(rounded).mean(0).tolist(),
        "outcomes": {name: each.values() for name, each in outcomes.items()},
        "sliced_wasserstein_x1000": drift,
        "overlap_by_donor": {"first by box": first, "chosen": taken, "best of six": most},
    }


def versions() -> dict[str, str]:
    """Of what the numbers depend on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def cell(value: dict[str, float] | None, digits: int = 3) -> str:
    """A number with its interval, or nothing."""
    if value is None:
        return ""
    interval = Interval(**value)
    low, high = f"{interval.low:.{digits}f}", f"{interval.high:.{digits}f}"
    return f"{interval.value:.{digits}f} ({low} to {high})"


def write(results: dict[str, Any]) -> None:
    """Write the tables as Markdown."""
    parts = [
        "# Putting objects in\n\nMade by `python benchmarks/putting/put.py`, of seed 0, on one "
        "thread of a CPU; nothing was run on CUDA. Every row puts objects at the same places, into "
        "the same fresh samples: those that show none there to the segmenter that ships, which "
        "judges and has chosen nothing. There: share of samples in which half of the box that is "
        "asked for is marked. Overlap: intersection over union of the marks with the box, and with "
        "the marks of the object in its own sample, moved along. Change outside: mean absolute, "
        "more than two pixels from the box, on images in [-1, 1]. Rim stands out: share of the "
        "generator's own objects whose edge jumps less, 0.5 is usual. Drift: sliced Wasserstein "
        "distance x 1000 from as many other samples. In brackets 95% intervals, from places drawn "
        "again. Pixels are moved by whole pixels, and so are nearer to the box than maps, which "
        "are moved by whole locations.\n"
    ]
    for model, found in results.items():
        made = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        right, down = found["rounded_pixels"]
        chosen = "; ".join(f"{way} (at {count})" for way, count in found["ways"].items())
        donors = found["overlap_by_donor"]
        drift = found["sliced_wasserstein_x1000"]
        lines = [
            f"| {name} | {cell(each['there'])} | {cell(each['iou'])} | {cell(each['object'])} | "
            f"{cell(each['outside'], 4)} | {cell(each['rim'])} | {drift[name]:.1f} |"
            for name, each in found["outcomes"].items()
        ]
        known = found["overlap_of_unedited_objects_with_their_boxes"]
        parts.append(
            f"## {model}: {found['label']}\n\n{found['places']} places, "
            f"{found['samples_without_object_there']} of {found['samples']} samples show none "
            f"there. Chosen on held-out objects, of {len(found['tried'])} ways: {chosen}. An "
            f"unedited object overlaps with its own box by {known:.3f}, as the judge marks it. The "
            f"middle of a box lands {right:.1f} pixels beside and {down:.1f} above or below where "
            "it was asked for, on average. Unedited samples are "
            f"{drift['as they are']:.1f} from the others. {made}.\n\n{HEAD}"
            + "\n".join(lines)
            + "\n"
        )
        parts.append(
            "Which object: overlap with the box, of the one whose box fits best "
            f"{donors['first by box']:.3f}, of the one that the guide chooses of six "
            f"{donors['chosen']:.3f}, of the best of the six {donors['best of six']:.3f}.\n"
        )
    files.write_text(HERE / "put.md", "\n".join(parts))


if __name__ == "__main__":
    torch.set_num_threads(1)
    stored = HERE / "put.json"
    known: dict[str, Any] = json.loads(stored.read_text()) if stored.exists() else {}
    for each in sys.argv[1:] or OBJECTS:
        known[each] = measure(each)
        files.write_json(stored, known)
        write(known)
