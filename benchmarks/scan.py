"""Every filter of a layer dropped alone: `tails.Tail` beside the whole generator and its tail.

One command: ``python benchmarks/scan.py`` (two minutes) writes
``benchmarks/results/scan_cpu.md`` and ``.json``. The network is the 64-pixel `torch` preset with
untrained weights, on one thread. Times are seconds of that thread, in which other work on the
machine does not count; the three take turns, round by round.
"""

from __future__ import annotations

import platform
import resource
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from dcgan_probe import hooks, latents, networks
from dcgan_probe.edits import tails
from dcgan_probe.edits.tails import Tail
from dcgan_probe.storage import files

HERE = Path(__file__).resolve().parent
CONFIG = networks.PRESETS["torch"]
LAYERS = ("8x8", "16x16")
SAMPLES, ROUNDS, BATCH = 96, 7, 16
# FILTERS of each layer, evenly spread, are dropped in every round. All cost the same.
FILTERS = {"whole generator": 4, "tail": 4, "Tail": 12}
WORDS = {
    "whole generator": "generator in `hooks.ablate`",
    "tail": "`hooks.tail` of edited maps",
    "Tail": "`tails.Tail`",
}
PARTS = {
    "aten::bmm": "last layer: matrix product",
    "aten::col2im": "last layer: its sums",
    "aten::_convolution": "other convolutions",
    "aten::native_batch_norm": "batch norm",
    "aten::clamp_min": "ReLU",
    "aten::tanh": "tanh",
    "aten::add_": "adding to the base",
}


# What follows the matrix products and is done number by number.
ELEMENTWISE = ("batch norm", "ReLU", "tanh", "adding to the base")
REPEATS = 40  # of a compiled piece and the same without, in each of ROUNDS


def network() -> nn.Module:
    generator = networks.initialise(networks.Generator(CONFIG), seed=0).requires_grad_(False)
    networks.estimate_statistics(generator, [latents.sample(CONFIG, 128, seed=0)])
    return generator


class Scan:
    """The three ways; each yields images without a filter, batch by batch."""

    def __init__(self, generator: nn.Module, layer: str):
        self.generator = generator
        self.layer = layer
        self.tail = hooks.tail(generator, layer)
        self.Tail = Tail(generator, layer)
        self.maps = hooks.activations(generator, layer, latents.sample(CONFIG, 1, seed=0)).shape[1]

    def images(self, way: str, z: Tensor, filters: list[int]) -> Iterator[Tensor]:
        if way == "whole generator":
            for f in filters:
                with hooks.ablate(self.generator, self.layer, [f]):
                    images = self.generator(z)
                yield images
            return
        maps = hooks.activations(self.generator, self.layer, z)
        if way == "tail":
            for f in filters:
                yield self.tail(maps.index_fill(1, torch.tensor([f]), 0))
            return
        base = self.Tail.start(z, maps)
        for f in filters:
            yield base.without([f])

    def spread_over(self, count: int) -> list[int]:
        return list(range(0, self.maps, self.maps // count))[:count]

    def largest_difference(self, z: Tensor) -> float:
        """Between Tail and the whole generator, over every filter."""
        filters = list(range(self.maps))
        pairs = zip(*(self.images(w, z, filters) for w in ("whole generator", "Tail")), strict=True)
        return max(float((a - b).abs().max()) for a, b in pairs)

    def seconds(self, way: str, first: int) -> float:
        """CPU seconds to scan all filters over SAMPLES samples.

        What comes before the edits of a batch counts once, and the edits as for all filters.
        """
        filters = self.spread_over(FILTERS[way])
        total = 0.0
        for start in range(first, first + SAMPLES, BATCH):
            z = latents.sample(CONFIG, BATCH, seed=1, start=start)
            images = self.images(way, z, [filters[0], *filters])
            begin = time.process_time()
            next(images)  # with what is done once for a batch
            middle = time.process_time()
            for _ in images:
                pass
            each = (time.process_time() - middle) / len(filters)
            total += (middle - begin) + each * (self.maps - 1)
        return total


def multiply_adds(function: Callable[[], Any]) -> float:
    """Million multiply-adds, counted by torch."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops() / 2e6


def of_an_edit(scan: Scan, way: str) -> float:
    """Million multiply-adds for an image without a filter, what is done once aside."""
    z = latents.sample(CONFIG, 1, seed=0)
    one, two = (
        multiply_adds(lambda fs=fs: list(scan.images(way, z, fs)))  # type: ignore[misc]
        for fs in ([3], [3, 5])
    )
    return two - one


def shares(scan: Scan) -> dict[str, float]:
    """Where the time of an edit goes in Tail, as shares."""
    z = latents.sample(CONFIG, BATCH, seed=2)
    base = scan.Tail.start(z)
    base.images()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for f in scan.spread_over(32):
            base.without([f])
    times = {event.key: event.self_cpu_time_total for event in profiled.key_averages()}
    whole = sum(times.values())
    named = {words: times.get(key, 0) / whole for key, words in PARTS.items()}
    return {**named, "copies and the rest": 1 - sum(named.values())}


def measured(scan: Scan) -> dict[str, Any]:
    rounds: dict[str, list[float]] = {way: [] for way in FILTERS}
    for way in FILTERS:
        list(scan.images(way, latents.sample(CONFIG, BATCH, seed=0), [0]))
    for number in range(ROUNDS):
        for way, times in rounds.items():
            times.append(scan.seconds(way, number * SAMPLES))
    return {
        "filters": scan.maps,
        "cpu_seconds": rounds,
        "million_multiply_adds": {way: of_an_edit(scan, way) for way in FILTERS},
        "largest_difference": scan.largest_difference(latents.sample(CONFIG, 2, seed=3)),
        "shares": shares(scan),
    }


def compiled(scan: Scan) -> dict[str, dict[str, Any]]:
    """What torch.compile makes of an edit of 16x16, and of parts of it: seconds, and the gain."""
    parts = dict(scan.generator.named_modules())
    to, end = parts["32x32"], parts["64x64"]
    base = scan.Tail.start(latents.sample(CONFIG, BATCH, seed=1))
    base.images()
    (whole,) = base.outputs.values()
    change = -base.maps[:, [3]].contiguous(memory_format=base.order)
    weight = to.conv.weight[[3]].contiguous(memory_format=base.order)

    def finished(maps: Tensor, whole: Tensor) -> Tensor:
        found: Tensor = to.act(to.norm(maps.add(whole)))
        return found

    def changed(change: Tensor, whole: Tensor) -> Tensor:
        return finished(F.conv_transpose2d(change, weight, None, 2, 1), whole)

    def edit(change: Tensor, whole: Tensor) -> Tensor:
        options = [2, 2], [1, 1], [0, 0], 1, [1, 1]
        maps = changed(change, whole)
        return end.act(tails._call(F.conv_transpose2d, maps, end.conv.weight, None, *options))

    maps = F.conv_transpose2d(change, weight, None, 2, 1)
    found = {}
    for name, function, given in (
        ("add to the base, batch norm, ReLU of 32x32", finished, maps),
        ("the same with the convolution before it", changed, change),
        ("the whole edit", edit, change),
    ):
        torch._dynamo.reset()
        fast = torch.compile(function, dynamic=False)
        start = _with_children()
        difference = float((fast(given, whole) - function(given, whole)).abs().max())
        took = _with_children() - start
        times: list[list[float]] = [[], []]
        for _ in range(ROUNDS):
            for way, seconds in zip((function, fast), times, strict=True):
                begin = time.process_time()
                for _ in range(REPEATS):
                    way(given, whole)
                seconds.append((time.process_time() - begin) / REPEATS)
        found[name] = {"compile": took, "plain": times[0], "compiled": times[1],
                       "difference": difference}  # fmt: skip
    return found


def _with_children() -> float:
    """CPU seconds of this process and of the compilers that it started."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def compiled_lines(scan: Scan, found: dict[str, Any]) -> list[str]:
    """The gain that is left in the steps that torch.compile can fuse."""
    share = sum(found["shares"][part] for part in ELEMENTWISE)
    pairs = zip(*(found["cpu_seconds"][way] for way in ("whole generator", "Tail")), strict=True)
    ratio = statistics.median(a / b for a, b in pairs)
    lines = [
        "## torch.compile",
        "",
        f"Steps element by element ({', '.join(ELEMENTWISE)}) take {share:.0%} of the time of an "
        f"edit of 16x16: if they took none, Tail would be {ratio / (1 - share):.1f} times as fast "
        f"as the generator, not {ratio:.1f}.",
        "",
    ]
    if shutil.which("g++") is None:
        return [*lines, "Not measured: torch.compile needs a C++ compiler; found no g++."]
    found["compiled"] = compiled(scan)
    lines += [
        f"`torch.compile(dynamic=False)`, {BATCH} samples, CPU seconds of {ROUNDS} rounds in turns "
        f"(compilation: with those of the compiler, whose cache may be warm):",
        "",
        "| | compile, s | plain, ms | compiled, ms | compiled is faster | largest difference |",
        "|---|---|---|---|---|---|",
    ]
    for name, of in found["compiled"].items():
        ratios = sorted(a / b for a, b in zip(of["plain"], of["compiled"], strict=True))
        plain, fast = (statistics.median(of[key]) * 1e3 for key in ("plain", "compiled"))
        lines.append(
            f"| {name} | {of['compile']:.1f} | {plain:.2f} | {fast:.2f} "
            f"| {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) "
            f"| {of['difference']:.1e} |"
        )
    return [*lines, ""]


def table(found: dict[str, Any]) -> list[str]:
    lines = ["| | million multiply-adds | ms | GMAC/s | 1,000 samples | Tail is faster | bound |"]
    lines += ["|" + "---|" * 7]
    macs, edits = found["million_multiply_adds"], SAMPLES * found["filters"]
    for way, times in found["cpu_seconds"].items():
        each = statistics.median(times) / edits
        ratios = [a / b for a, b in zip(times, found["cpu_seconds"]["Tail"], strict=True)]
        ratio = f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
        spread = f"{min(times) / edits * 1e3:.2f} to {max(times) / edits * 1e3:.2f}"
        lines.append(
            f"| {WORDS[way]} | {macs[way]:.1f} | {each * 1e3:.2f} ({spread}) "
            f"| {macs[way] / each / 1e3:.0f} | {each * 1000 * found['filters']:.0f} s "
            + (f"| {ratio} | {macs[way] / macs['Tail']:.1f} |" if way != "Tail" else "| | |")
        )
    return lines


def main() -> None:
    torch.set_num_threads(1)
    generator, lines, values = network(), [], {}
    with torch.no_grad():
        for layer in LAYERS:
            scan = Scan(generator, layer)
            values[layer] = found = measured(scan)
            lines += [f"## Layer {layer}, {found['filters']} filters", "", *table(found), ""]
            parts = [f"{part} {share:.0%}" for part, share in found["shares"].items()]
            lines += [f"Largest difference over every filter, of images in [-1, 1]: "
                      f"{found['largest_difference']:.1e}.", "",
                      f"Time of `tails.Tail`: {', '.join(parts)}.", ""]  # fmt: skip
        lines += compiled_lines(scan, found)
    head = [
        "# Every filter of a layer dropped alone",
        "",
        f"CPU, 1 thread, {platform.system()}, Python {platform.python_version()}, "
        f"torch {torch.__version__}, {date.today()}. Made by `python benchmarks/scan.py`.",
        "",
        "The 64-pixel `torch` network, a filter of a layer at zero, an image: median (least to "
        f"most) of {ROUNDS} rounds in which the three take turns, over {SAMPLES} samples each, "
        f"{BATCH} in a batch. Seconds are those of the thread, so other work on the machine counts "
        "only as far as it takes caches and memory. "
        f"{FILTERS['tail']} filters of a layer were timed for the first two and "
        f"{FILTERS['Tail']} for Tail, evenly spread, and what is done once for a batch is counted "
        "once for all filters. The bound is the ratio of multiply-adds, counted by torch; "
        "1,000 samples: every filter, at this rate.",
        "",
    ]
    files.write_text(HERE / "results" / "scan_cpu.md", "\n".join([*head, *lines]))
    files.write_json(HERE / "results" / "scan_cpu.json", values)
    print("\n".join([*head, *lines]))


if __name__ == "__main__":
    main()
