"""Benchmarks, side by side with what a user would pick instead. One command: ``make bench``.

Writes ``benchmarks/results/<device>.md`` and ``.json``: seconds of every repeat, their median and
spread, ratios, peak memory, and what was not measured. Run it on a quiet machine.
"""

from __future__ import annotations

import copy
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import captum
import torch
from captum.attr import NeuronGuidedBackprop
from torch import nn

import dcgan_probe as dp
from dcgan_probe.attribution import responses
from dcgan_probe.images import sources
from dcgan_probe.probes import forget, visualize_d
from dcgan_probe.recognition import regression
from dcgan_probe.recognition.samples import maps_of
from dcgan_probe.storage import files

HERE = Path(__file__).resolve().parent
REPEATS = 5
FILTERS, K = 64, 5


def seconds(function: Callable[[], Any], repeats: int = REPEATS) -> list[float]:
    """Wall time of each of some runs, after one that does not count."""
    function()
    found = []
    for _ in range(repeats):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        start = time.perf_counter()
        function()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
    return found


def spread(times: list[float]) -> str:
    return f"{statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})"


def ratio(peer: list[float], ours: list[float]) -> str:
    """Ratio of medians, and the least and most that the repeats allow."""
    middle = statistics.median(peer) / statistics.median(ours)
    return f"{middle:.1f} ({min(peer) / max(ours):.1f} to {max(peer) / min(ours):.1f})"


def relu_twin(network: nn.Module) -> nn.Module:
    """The network with ReLU for LeakyReLU: captum's guided backpropagation covers only these."""
    twin = copy.deepcopy(network)
    for block in twin.children():
        for name, part in block.named_children():
            if isinstance(part, nn.LeakyReLU):
                setattr(block, name, nn.ReLU())
    return twin.eval()


class InMemory:
    """Images that cost nothing to read, so that only the attributions are timed."""

    def __init__(self, images: torch.Tensor):
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def read(self, indices: Any) -> torch.Tensor:
        return self.images[list(indices)]


def noise(n: int, device: str) -> InMemory:
    images = torch.rand(n, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return InMemory(images.to(device))


def paper_discriminator(source: InMemory) -> nn.Module:
    network = dp.networks.initialise(dp.Discriminator(dp.networks.PRESETS["paper"]), seed=0)
    network.to(source.images.device).requires_grad_(False)
    dp.networks.estimate_statistics(network, [source.read(range(64))])
    return network


def guided_svhn(device: str) -> dict[str, Any]:
    session = dp.Session.open("svhn", device=device)
    source = InMemory(session.images(None, 512).read(range(512)))
    return guided_against_captum("svhn", session.discriminator, source, K)


def guided_paper(device: str) -> dict[str, Any]:
    source = noise(128, device)
    return guided_against_captum("paper preset, 64x64", paper_discriminator(source), source, 1)


def guided_against_captum(
    name: str, discriminator: nn.Module, source: InMemory, k: int
) -> dict[str, Any]:
    """64 filters of the last layer, k responses each: our batches beside two loops of captum.

    The first loop asks captum for one neuron of one image at a time, as its documentation shows.
    The second is as kind to captum as its interface allows: one call per filter, with a selector
    function that picks another place in each of its images.
    """
    network = relu_twin(discriminator)
    top = responses.top_responses(network, "4x4", sources.batches(source, 64), k)
    top = top.only(range(FILTERS))
    layer = dp.hooks.layer(network, "4x4")
    found: dict[str, torch.Tensor] = {}

    def ours() -> None:
        found["ours"] = visualize_d.explain(network, "4x4", source, top, range(FILTERS))

    def one_by_one() -> None:
        attribution = NeuronGuidedBackprop(network, layer)
        rows = []
        for f in range(FILTERS):
            for j in range(k):
                neuron = (f, int(top.rows[f, j]), int(top.columns[f, j]))
                image = source.read([int(top.images[f, j])])
                rows.append(attribution.attribute(image, neuron).cpu())
        found["one by one"] = torch.cat(rows).unflatten(0, (FILTERS, k))

    def by_filter() -> None:
        attribution = NeuronGuidedBackprop(network, layer)
        each = torch.arange(k)
        rows = []
        for f in range(FILTERS):

            def places(maps: torch.Tensor, f: int = f) -> torch.Tensor:
                return maps[each, f, top.rows[f], top.columns[f]]

            rows.append(attribution.attribute(source.read(top.images[f].tolist()), places).cpu())
        found["by filter"] = torch.stack(rows)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum warns at each of its calls that it sets hooks
        times = {"ours": seconds(ours), "one by one": seconds(one_by_one)}
        times["by filter"] = seconds(by_filter)
    largest = float(found["one by one"].abs().max())
    rows = [["dcgan-probe", spread(times["ours"]), "1", ""]]
    for loop, words in (
        ("one by one", "one call per response"),
        ("by filter", "one call per filter"),
    ):
        worst = float((found[loop] - found["ours"]).abs().max())
        rows.append(
            [
                f"captum NeuronGuidedBackprop, {words}",
                spread(times[loop]),
                ratio(times[loop], times["ours"]),
                f"{worst:.1e} of {largest:.1e}",
            ]
        )
    return {
        "title": f"Guided backpropagation, {FILTERS} filters x {k} of the last layer "
        f"({name}, ReLU twin; images in memory)",
        "seconds": times,
        "rows": rows,
        "columns": ["", "time", "times ours", "largest difference"],
    }


def all_filters_of_the_paper(device: str) -> dict[str, Any]:
    """All 1024 filters x 5 images of the paper preset's last layer, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "all-filters", device],
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return {
        "title": "All 1024 filters x 5 images, last layer of the paper preset (256 images)",
        "measured": found,
        "columns": ["", "measured"],
        "rows": [
            ["scan of 256 images, top 5 of every filter", f"{found['scan']:.1f} s"],
            ["guided gradients of 5120 responses", f"{found['explain']:.1f} s"],
            ["peak memory before", f"{found['before_mib']:.0f} MiB"],
            ["peak memory after", f"{found['after_mib']:.0f} MiB"],
            ["of which the result itself", f"{found['result_mib']:.0f} MiB"],
        ],
    }


def all_filters(device: str) -> dict[str, float]:
    source = noise(256, device)
    network = paper_discriminator(source)
    before = peak_mib(device)
    start = time.perf_counter()
    top = responses.top_responses(network, "4x4", sources.batches(source, 64), K)
    scanned = time.perf_counter()
    guided = visualize_d.explain(network, "4x4", source, top, range(len(top.values)))
    return {
        "scan": scanned - start,
        "explain": time.perf_counter() - scanned,
        "before_mib": before,
        "after_mib": peak_mib(device),
        "result_mib": guided.numel() * 4 / 2**20,
    }


def peak_mib(device: str) -> float:
    """Peak memory of this process on the machine or, on CUDA, of torch on the GPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 2**20 if platform.system() == "Darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def forget_and_its_parts(device: str) -> dict[str, Any]:
    """`forget` on the 150 samples and the boxes that ship with the rooms."""
    session = dp.Session.open("rooms", device=device)
    boxes = session.read_boxes()
    layer = forget.default_layer(session.config)
    z = session.latents(boxes.n, boxes.seed)
    maps = maps_of(session, z, layer)
    cells = regression.cells_of(maps.numpy(), boxes.mask((maps.shape[2], maps.shape[3])), seed=0)
    parts = {
        "in all, with 10 random controls": lambda: forget.run(
            session, boxes, controls=10, judges=()
        ),
        "feature maps of the samples": lambda: maps_of(session, z, layer),
        "logistic regression": lambda: regression.fit(cells.activations, cells.inside),
        "held-out accuracy, 5 folds": lambda: regression.held_out_accuracy(cells),
        "the samples once, from z": lambda: session.generate(z),
    }
    times = {name: seconds(part) for name, part in parts.items()}
    return {
        "title": f"forget, {len(boxes.boxes)} boxes on {boxes.n} samples of rooms, layer {layer}, "
        f"{len(cells.inside)} activations of {maps.shape[1]} filters",
        "columns": ["", "time"],
        "seconds": times,
        "rows": [[name, spread(runs)] for name, runs in times.items()],
    }


def rules_of_guided_backpropagation(device: str) -> dict[str, Any]:
    """How far each rule stays with the network: 32 filters x 5 responses of the last layer.

    Moves each image half a unit along its signal, and compares how much the true neuron rises with
    what the same step along the plain gradient gives. No rule can do better than the gradient for
    small steps; the question is how much of it is left.
    """
    rows = []
    for model in ("svhn", "rooms"):
        session = dp.Session.open(model, device=device)
        network, source = session.discriminator, session.images(None, 512)
        layer = session.config.layers("discriminator")[-2]
        top = responses.top_responses(network, layer, sources.batches(source, 64), K)
        top = top.only(range(32))
        images = source.read(top.images.flatten().tolist())
        which = torch.arange(32).repeat_interleave(K)

        def neurons(
            x: torch.Tensor,
            network: nn.Module = network,
            layer: str = layer,
            top: responses.TopResponses = top,
            which: torch.Tensor = which,
        ) -> torch.Tensor:
            maps = dp.hooks.activations(network, layer, x)
            return maps[torch.arange(len(x)), which, top.rows.flatten(), top.columns.flatten()]

        def rise(
            signal: torch.Tensor, images: torch.Tensor = images, neurons: Any = neurons
        ) -> torch.Tensor:
            step = 0.5 * nn.functional.normalize(signal.flatten(1)).view_as(images)
            with torch.no_grad():
                return neurons(images + step) - neurons(images)

        x = images.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(neurons(x).sum(), x)
        for rule in dp.attribution.RULES:
            guided = visualize_d.explain(network, layer, source, top, range(32), rule)
            signal = guided.flatten(0, 1).to(gradient.device)
            cosine = nn.functional.cosine_similarity(gradient.flatten(1), signal.flatten(1))
            rows.append(
                [
                    f"{model}, {rule}",
                    f"{cosine.mean():.3f}",
                    f"{(rise(signal) / rise(gradient)).mean():.3f}",
                    f"{visualize_d.concentration(guided):.3f}",
                ]
            )
    return {
        "title": "Rules of guided backpropagation on LeakyReLU, 160 responses of the last layer",
        "columns": [
            "",
            "cosine with the gradient",
            "rise of the neuron, of the gradient's",
            "share in the strongest tenth of pixels",
        ],
        "rows": rows,
    }


def machine(device: str) -> str:
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or "CPU"
    threads = torch.get_num_threads()
    return (
        f"{name}, {threads} threads, {platform.system()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, captum {captum.__version__}, {date.today()}"
    )


def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if sys.argv[1:2] == ["all-filters"]:
        print(json.dumps(all_filters(sys.argv[2])))
        return
    tables = []
    for benchmark in (
        guided_svhn,
        guided_paper,
        all_filters_of_the_paper,
        forget_and_its_parts,
        rules_of_guided_backpropagation,
    ):
        print(f"{benchmark.__name__} ...", file=sys.stderr)
        tables.append(benchmark(device))
    lines = [f"# Benchmarks on {device}", "", machine(device), ""]
    lines += [
        "Made by `make bench`. Median of 5 runs after one that does not count, with the least"
    ]
    lines += ["and the most in parentheses.", ""]
    for table in tables:
        lines += [f"## {table['title']}", "", "| " + " | ".join(table["columns"]) + " |"]
        lines += ["|" + "---|" * len(table["columns"])]
        lines += ["| " + " | ".join(row) + " |" for row in table["rows"]]
        lines += [""]
    if device == "cpu":
        lines += ["Not measured: anything on CUDA. This machine has no GPU.", ""]
    files.write_text(HERE / "results" / f"{device}.md", "\n".join(lines))
    files.write_json(
        HERE / "results" / f"{device}.json", {"machine": machine(device), "tables": tables}
    )
    print("\n".join(lines))


if __name__ == "__main__":
    main()
