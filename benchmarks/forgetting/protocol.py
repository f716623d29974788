"""How well each choice of filters forgets: the tables of this folder, by one command.

    python benchmarks/forgetting/protocol.py            # rooms and cells, about half an hour
    python benchmarks/forgetting/protocol.py cells

Everything is of seed 0. Filters are chosen with the boxes that ship, and judged on 128 fresh
samples by the segmenter that ships, which no choice uses. The curves are in the JSON.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import dcgan_probe as dp
from dcgan_probe.probes import forget

HERE = Path(__file__).parent
LAYERS = {"rooms": ("8x8", "16x16"), "cells": ("8x8", "16x16")}
LEFT = (0.3, 0.1, 0.02)
BOXES = (5, 10, 20, 52)
DRAWS = 2
SAMPLES = 128
HEAD = (
    "| choice | filters | area left | objects left | change outside | random sets: area left | "
    "outside | overlap | s |\n|---|---|---|---|---|---|---|---|---|\n"
)


def choices(layers: tuple[str, ...]) -> list[tuple[str, dict[str, Any]]]:
    """What is compared on one model: a name, and the options of `forget.run`."""
    found: list[tuple[str, dict[str, Any]]] = []
    for layer in layers:
        found.append((f"{layer} paper", {"layer": layer, "resamples": 3}))
        found.append((f"{layer} paper, mean outside", {"layer": layer, "replace": "outside"}))
        found.append((f"{layer} top 16", {"layer": layer, "select": "top", "k": 16}))
        found.append((f"{layer} l1", {"layer": layer, "select": "l1", "resamples": 3}))
        for left in LEFT:
            more = {"resamples": 2} if left == 0.3 else {}
            for select in ("causal", "gates"):
                chosen = {"layer": layer, "select": select, "left": left, **more}
                found.append((f"{layer} {select} {left:g}", chosen))
    for left in LEFT[1:]:
        both = {"layer": layers, "select": "gates", "left": left}
        found.append((f"{' + '.join(layers)} gates {left:g}", both))
    return found


def row(name: str, result: forget.Forgotten, seconds: float) -> str:
    """One line of a table."""
    proof = result.proofs[0]
    chosen, random = proof.chosen, proof.random
    overlap = "" if result.stability is None else f"{result.stability:.2f}"
    return (
        f"| {name} | {chosen.filters} | {chosen.area_left} | {chosen.objects_left} | "
        f"{chosen.outside} | {random.area_left} | {random.outside} | {overlap} | {seconds:.0f} |"
    )


def fewer(boxes: dp.Boxes, count: int, draw: int) -> dp.Boxes:
    """The boxes of random images, as many as hold `count` boxes or just more."""
    images = np.random.default_rng([0, draw]).permutation(sorted({b.image for b in boxes.boxes}))
    kept: list[dp.Box] = []
    for image in images:
        if len(kept) >= count:
            break
        kept += [box for box in boxes.boxes if box.image == image]
    looked = tuple(sorted({box.image for box in kept}))
    return dataclasses.replace(boxes, boxes=tuple(kept), images=looked)


def measure(model: str) -> tuple[str, list[dict[str, Any]]]:
    """The tables of one model as Markdown, and all results."""
    session = dp.Session.open(model, device="cpu")
    boxes = dp.Boxes.read(forget.shipped_boxes(session))
    results: list[dict[str, Any]] = []
    lines = []

    def one(name: str, drawn: dp.Boxes, **options: Any) -> forget.Forgotten:
        start = time.perf_counter()
        result = forget.run(session, drawn, n=SAMPLES, **options)
        seconds = time.perf_counter() - start
        lines.append(row(name, result, seconds))
        print(lines[-1], flush=True)
        results.append({"model": model, "choice": name, "seconds": seconds, **result.values()})
        return result

    for name, options in choices(LAYERS[model]):
        one(name, boxes, **options)
    text = f"## {model}\n\n{HEAD}" + "\n".join(lines)
    lines.clear()
    for count in BOXES:
        for draw in range(DRAWS):
            for select in ("paper", "causal"):
                drawn = fewer(boxes, count, draw)
                one(f"{count} boxes, draw {draw}, {select}", drawn, select=select, controls=4)
    text += f"\n\n### Fewer boxes, 16x16\n\n{HEAD}" + "\n".join(lines)
    return text, results


def main() -> None:
    """Measure what is asked for, and write the tables beside this file."""
    for model in sys.argv[1:] or list(LAYERS):
        text, results = measure(model)
        head = (
            f"Made by `python benchmarks/forgetting/protocol.py {model}` on "
            f"{time.strftime('%Y-%m-%d')}, torch {torch.__version__}, CPU. Area and objects left "
            "are shares of those without an edit, with 95% intervals over samples (and, for random "
            "ones, over 20 sets, 4 in the second table); change is the mean absolute one on images "
            "in [-1, 1]. The numbers after causal and gates are `--left`. Overlap is the mean "
            "Jaccard overlap of filters chosen from resampled boxed images.\n\n"
        )
        dp.files.write_text(HERE / f"{model}.md", f"# Forgetting: {model}\n\n{head}{text}\n")
        dp.files.write_text(HERE / f"{model}.json", json.dumps(results) + "\n")


if __name__ == "__main__":
    main()
