"""Speed beside what a user would pick instead, all in one run: ratios, and how far they spread.

    python benchmarks/speed.py            # some minutes; writes results/speed.md
    pip install faiss-cpu                 # for the row of nearest neighbours

One thread, CPU seconds, so that other work on the machine counts only as far as it takes caches and
memory. What is compared takes turns, round by round, and a ratio is of the two of one round.
run.py, scan.py and training.py measure the same things in more detail, in more time.
"""

from __future__ import annotations

import itertools
import os
import platform
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import gpu
import peer
import run
import scan
import torch
import training
from captum.attr import NeuronGuidedBackprop
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

import dcgan_probe as dp
from dcgan_probe.attribution import responses
from dcgan_probe.images import sources
from dcgan_probe.images.sources import to_range
from dcgan_probe.metrics.nearest import Search
from dcgan_probe.probes import visualize_d
from dcgan_probe.storage import files
from dcgan_probe.training import cpu

HERE = Path(__file__).resolve().parent
Ways = dict[str, Callable[[], Any]]  # our names begin with OURS
OURS = "dcgan-probe, "


def turns(ways: Ways, rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each, in turns, after one run of each that does not count."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(rounds + 1):
        for name, function in ways.items():
            start = time.process_time()
            function()
            if i:
                found[name].append(time.process_time() - start)
    return found


class Counter(TorchDispatchMode):
    """Counts by the formulas of torch, whose FlopCounterMode stops captum's gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if (formula := flop_registry.get(func._overloadpacket)) is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=out)
        return out


def multiply_adds(function: Callable[[], Any]) -> float:
    with Counter() as counter:
        function()
    return counter.flops / 2


def guided(name: str, network: nn.Module, source: Any, filters: int, k: int) -> Ways:
    """Guided gradients of the strongest responses of the last layer: captum's loops, and ours."""
    network = run.relu_twin(network)
    top = responses.top_responses(network, "4x4", sources.batches(source, 64), k)
    top = top.only(range(filters))
    layer = dp.hooks.layer(network, "4x4")

    def one_by_one() -> None:
        attribution = NeuronGuidedBackprop(network, layer)
        for f, j in itertools.product(range(filters), range(k)):
            neuron = (f, int(top.rows[f, j]), int(top.columns[f, j]))
            attribution.attribute(source.read([int(top.images[f, j])]), neuron)

    def by_filter() -> None:
        attribution, each = NeuronGuidedBackprop(network, layer), torch.arange(k)
        for f in range(filters):
            attribution.attribute(
                source.read(top.images[f].tolist()),
                lambda maps, f=f: maps[each, f, top.rows[f], top.columns[f]],
            )

    return {
        f"guided backpropagation, {name}: captum, one call per response": one_by_one,
        f"guided backpropagation, {name}: captum, one call per filter": by_filter,
        f"{OURS}guided backpropagation, {name}": lambda: visualize_d.explain(
            network, "4x4", source, top, range(filters)
        ),
    }


def scanned(filters: int) -> Ways:
    """Images without each of some filters of 16x16: the whole generator, and Tail."""
    measured = scan.Scan(scan.network(), "16x16")
    z = dp.latents.sample(scan.CONFIG, scan.BATCH, seed=1)
    base = measured.Tail.start(z)
    base.images()
    chosen = measured.spread_over(filters)

    def whole() -> None:
        for _ in measured.images("whole generator", z, chosen):
            pass

    def tail() -> None:
        for f in chosen:
            base.without([f])

    return {"scan of 16x16: the whole generator": whole, f"{OURS}scan of 16x16": tail}


def trained(batch: int, width: int) -> Ways:
    """A step of training: the example's, those of both recipes, and one in another precision."""
    cpu.keep_memory()
    sizes = gpu.Sizes(0, 0, width, batch, 1, 1, 0, 4 * batch, 0)
    example = peer.Example(width, 0, "cpu")
    minibatches = itertools.cycle(to_range(gpu.blobs(4 * batch)).split(batch))
    ways: Ways = {
        "training step: pytorch/examples, images in memory": lambda: example.step(next(minibatches))
    }
    for name in ("shared", "paper"):
        step = gpu.trainer_of(torch.device("cpu"), sizes, name, "float32").step
        ways[f"{OURS}training step: `{name}`"] = step
    rough = gpu.trainer_of(torch.device("cpu"), sizes, "shared", "bfloat16").step
    return {**ways, f"{OURS}training step: `shared`, --precision bfloat16": rough}


def nearest(count: int, queries: int) -> Ways:
    """The five nearest of images to others: faiss, and Search."""
    images = to_range(gpu.blobs(count + queries)).flatten(1)
    asked, others = images[:queries], images[queries:]

    def ours() -> None:
        search = Search(asked, 5)
        for part in others.split(256):
            search.add(part)

    ways: Ways = {}
    if find_spec("faiss") is not None:
        import faiss  # type: ignore[import-not-found]

        faiss.omp_set_num_threads(1)
        ways["5 nearest: faiss.knn"] = lambda: faiss.knn(asked.numpy(), others.numpy(), 5)
    return {**ways, f"{OURS}5 nearest": ours}


def started(words: list[str]) -> Callable[[], float]:
    """CPU seconds, with those of the system, of a new process."""

    def spent() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    return spent


STARTS = {
    "python alone": ["-c", ""],
    "import dcgan_probe": ["-c", "import dcgan_probe"],
    "dcgan-probe --help": ["-m", "dcgan_probe", "--help"],
    "dcgan-probe forget --help": ["-m", "dcgan_probe", "forget", "--help"],
    "import torch": ["-c", "import torch"],
    "import captum.attr": ["-c", "import captum.attr"],
}


def starts(rounds: int) -> list[str]:
    found: dict[str, list[float]] = {name: [] for name in STARTS}
    for i in range(rounds + 1):
        for name, words in STARTS.items():
            spent = started(words)()
            if i:
                found[name].append(spent)
    lines = ["## A new process, CPU seconds", "", "| | s |", "|---|---|"]
    return [*lines, *(f"| {name} | {gpu.spread(times)} |" for name, times in found.items()), ""]


def rows(found: dict[str, list[float]], macs: dict[str, float]) -> list[str]:
    """A line for each way: seconds; for our own, the gain over each peer, and what is possible."""
    peers = [name for name in found if not name.startswith(OURS)]
    lines = []
    for name, times in found.items():
        ratios, bounds = [], []
        for other in peers if name not in peers else ():
            pairs = zip(found[other], times, strict=True)
            ratios.append(gpu.spread([theirs / mine for theirs, mine in pairs]))
            if macs.get(name):
                bounds.append(f"{macs[other] / macs[name]:.2g}")
        count = f"{macs[name] / 1e9:.3g}" if macs.get(name) else ""
        cells = [name, gpu.spread(times), "; ".join(ratios), count, "; ".join(bounds)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


@click.command()
@click.option("--small", is_flag=True, help="Tiny sizes, only to test the script.")
@click.option("--to", default=HERE / "results" / "speed.md", type=click.Path(path_type=Path))
def main(small: bool, to: Path) -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    threadpool_limits(1)  # of numpy, whose waiting threads would count as CPU seconds
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that are started
    warnings.simplefilter("ignore")  # captum warns at each call that it sets hooks
    rounds, filters = (1, 2) if small else (5, 16)
    session = dp.Session.open("svhn", device="cpu")
    count = 64 if small else 256
    svhn = run.InMemory(session.images(None, count).read(range(count)))
    groups: list[Callable[[], Ways]] = [
        lambda: guided("svhn, top 5", session.discriminator, svhn, filters, 5),
        lambda: scanned(min(filters, 8)),
        lambda: trained(*((4, 4) if small else (64, 64))),
        lambda: nearest(*((300, 20) if small else (8000, 500))),
    ]
    if not small:
        noise = run.noise(64, "cpu")
        groups.insert(
            1,
            lambda: guided("paper preset, top 5", run.paper_discriminator(noise), noise, 8, 5),
        )
    lines = [
        "| | CPU s | times as fast as each above | GMAC | arithmetic would allow |",
        "|---|---|---|---|---|",
    ]
    for group in groups:
        ways = group()
        # Training counts by its shapes: its gradients of weights are products of another kind.
        own = {} if any("training" in name for name in ways) else ways
        macs = {name: multiply_adds(way) for name, way in own.items() if "nearest" not in name}
        few = rounds if not any("training" in name for name in ways) else min(rounds, 3)
        lines += rows(turns(ways, few), macs)
        print(*lines[-len(ways) :], sep="\n", file=sys.stderr, flush=True)
    absent = "" if find_spec("faiss") else "\nNot measured: faiss, which is not installed.\n"
    floors = "; ".join(
        f"`{name}` {training.macs(name) / 1e9:.2f} GMAC an image" for name in ("shared", "paper")
    )
    top = training.peak(torch.float32, 256 if small else 2048)
    text = "\n".join(
        [
            "# Speed beside others, in one run",
            "",
            f"Made by `python benchmarks/speed.py` on {date.today()}: CPU, 1 thread, Python "
            f"{platform.python_version()}, torch {torch.__version__}, "
            f"load {os.getloadavg()[0]:.1f}.",
            f"Medians (least to most) of {rounds} rounds, of training {min(rounds, 3)}, in which "
            "those of a group take turns; a ratio is of one round.",
            absent,
            *lines,
            "",
            "GMAC: multiply-adds that torch counts; where ours needs fewer, the ratio of both is",
            "the possible gain if every multiply-add took as long. A step of the example needs as",
            f"many as `shared`: {floors}. A matrix product of float32 runs at",
            f"{top / 1e9:.0f} GMAC/s, at which a step of 64 images of `shared` would take "
            f"{64 * training.macs('shared') / top:.2f} s.",
            "",
            *starts(rounds),
        ]
    )  # fmt: skip
    files.write_text(to, text)
    print(text)


if __name__ == "__main__":
    main()
