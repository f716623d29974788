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
from dcgan_probe.storage import files

HERE = Path(__file__).parent
LAYERS = {"rooms": ("16x16", "8x8"), "cells": ("16x16", "8x8")}
LEFT = (0.1, 0.02)
BOXES = (5, 20, 52)
SAMPLES = 128
HEAD = (
    "| choice | filters | area left | objects left | change outside | random sets: area left | "
    "outside | overlap | s |\n|---|---|---|---|---|---|---|---|---|\n"
)


def choices(layers: tuple[str, ...]) -> list[tuple[str, dict[str, Any]]]:
    """What is compared on one model: a name, and the options of `forget.run`."""
    found: list[tuple[str, dict[str, Any]]] = []
    for layer in layers:
        found.append((f"{layer} paper", {"layer": layer, "resamples": 2}))
        found.append((f"{layer} paper, mean outside", {"layer": layer, "replace": "outside"}))
        found.append((f"{layer} top 16", {"layer": layer, "select": "top", "k": 16}))
        found.append((f"{layer} l1", {"layer": layer, "select": "l1", "resamples": 3}))
        # The finer layer also shows what a stricter --left does, and how stable a choice is.
        for left in LEFT if layer == layers[0] else LEFT[:1]:
            more = {"resamples": 2} if left == LEFT[0] and layer == layers[0] else {}
            for select in ("causal", "gates"):
                chosen = {"layer": layer, "select": select, "left": left, **more}
                found.append((f"{layer} {select} {left:g}", chosen))
    both = {"layer": layers, "select": "gates", "left": LEFT[-1]}
    found.append((f"{' + '.join(layers)} gates {LEFT[-1]:g}", both))
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


def fewer(boxes: dp.Boxes, count: int) -> dp.Boxes:
    """The boxes of random images, as many as hold `count` boxes or just more."""
    images = np.random.default_rng(0).permutation(sorted({b.image for b in boxes.boxes}))
    kept: list[dp.Box] = []
    for image in images:
        if len(kept) >= count:
            break
        kept += [box for box in boxes.boxes if box.image == image]
    looked = tuple(sorted({box.image for box in kept}))
    return dataclasses.replace(boxes, boxes=tuple(kept), images=looked)


def measure(model: str) -> None:
    """Measure all choices on one model; what an earlier run has measured is kept."""
    session = dp.Session.open(model, device="cpu")
    boxes = session.read_boxes()
    path = HERE / f"{model}.json"
    results: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}

    def one(name: str, drawn: dp.Boxes, **options: Any) -> None:
        if name in results:
            return
        start = time.perf_counter()
        result = forget.run(session, drawn, n=SAMPLES, **options)
        line = row(name, result, time.perf_counter() - start)
        print(line, flush=True)
        results[name] = {"row": line, "made_with": result.made_with, **result.values()}
        files.write_text(path, json.dumps(results) + "\n")

    compared = choices(LAYERS[model])
    for name, options in compared:
        one(name, boxes, **options)
    few = []
    for count in BOXES:
        drawn = fewer(boxes, count)
        for select in ("paper", "causal"):
            few.append(f"{count} boxes, {select}")
            one(few[-1], drawn, select=select, controls=4)
    write(model, results, [[name for name, _ in compared], few])


def write(model: str, results: dict[str, dict[str, Any]], tables: list[list[str]]) -> None:
    """Write the tables as Markdown."""
    many, few = (HEAD + "\n".join(results[name]["row"] for name in names) for names in tables)
    files.write_text(
        HERE / f"{model}.md",
        f"# Forgetting: {model}\n\n"
        f"Made by `python benchmarks/forgetting/protocol.py {model}` on "
        f"{time.strftime('%Y-%m-%d')}, torch {torch.__version__}, one thread of a busy CPU;\n"
        "nothing was run on CUDA. Area and objects left are shares of those without an edit, "
        "change is the mean absolute\none on images in [-1, 1], with 95% intervals over samples "
        "and, for random ones, over 20 sets (4 in the second\ntable). The numbers after causal "
        "and gates are `--left`. Overlap: mean Jaccard overlap of the filters chosen\nfrom "
        "resampled boxed images. s: seconds, those of choosing again included.\n\n"
        f"{many}\n\n## Fewer boxes, layer 16x16\n\n{few}\n",
    )


def main() -> None:
    """Measure what is asked for, and write the tables beside this file."""
    for model in sys.argv[1:] or list(LAYERS):
        measure(model)


if __name__ == "__main__":
    main()
