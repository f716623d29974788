"""Training beside the example of pytorch/examples: images a second, where they go, how good.

    python benchmarks/training.py all DATA [--held-out HELD_OUT]

DATA: a folder of images of 64 x 64 or more; HELD_OUT: others of the same kind, to judge samples
by (without it, how good the samples are is left out). Writes results/training_<device>.md and
.json; `formats` in place of `all DATA` compares memory formats. Run it alone on the machine:
every run takes all cores.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import click
import numpy as np
import peer
import torch
from torch import Tensor

import dcgan_probe as dp
from dcgan_probe.distributed import Ranks, joined
from dcgan_probe.images import cache
from dcgan_probe.images.sources import ImageSource, Samples, batches, to_range
from dcgan_probe.storage import files
from dcgan_probe.training import cpu
from dcgan_probe.training.recipe import Recipe
from dcgan_probe.training.trainer import Trainer

HERE = Path(__file__).resolve().parent
BATCH, WIDTH = 64, 64
WARM, TIMED, ROUNDS = 2, 8, 3
# For the comparison of samples, so narrow that a few hundred steps take minutes on a CPU.
NARROW, EQUAL_STEPS, SEEDS = 16, 300, (0, 1, 2)
KINDS = {
    "example": "pytorch/examples, as published: a DataLoader of 2 workers",
    "example-memory": "pytorch/examples, its step alone: images are tensors in memory",
    "paper": "dcgan-probe, --recipe paper",
    "shared": "dcgan-probe, --recipe shared",
    "paper-compiled": "dcgan-probe, --recipe paper --compile",
}


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def decoded(data: Path) -> Tensor:
    images = cache.cached(ImageSource(data, peer.SIZE, 3))
    return torch.from_numpy(np.array(images.pixels))


def precision() -> str:
    return "bfloat16" if device() == "cuda" else "float32"


def steps_of(kind: str, data: Path, width: int, seed: int, batch: int = BATCH) -> Any:
    """A function that does one step, and one that draws n samples."""
    if kind.startswith("example"):
        example = peer.Example(width, seed, device())
        if kind == "example":
            minibatches = peer.from_folder(data)
        else:
            minibatches = peer.from_memory(to_range(decoded(data)))
        return lambda: example.step(next(minibatches)), example.samples
    name, _, compiled = kind.partition("-")
    if device() == "cpu":
        cpu.keep_memory()
    config = dataclasses.replace(dp.networks.PRESETS["torch"], g_width=width, d_width=width)
    recipe = Recipe(name, batch=batch, seed=seed, precision=precision())
    ranks = Ranks(device=torch.device(device()))
    trainer = Trainer(config, recipe, decoded(data), ranks, compiled=bool(compiled))

    def samples(n: int) -> Tensor:
        network = trainer.checkpoint().generator
        assert network is not None
        z = dp.latents.sample(config, n, seed=1)
        return torch.cat([part.cpu() for part in batches(Samples(network, z), BATCH)])

    return trainer.step, samples


def time_one(kind: str, data: Path) -> None:
    """In a process of its own: images a second of some steps, after some that do not count."""
    step, _ = steps_of(kind, data, WIDTH, 0)
    for _ in range(WARM):
        step()
    wait()
    start = time.perf_counter()
    for _ in range(TIMED):
        step()
    wait()
    print(json.dumps(TIMED * BATCH / (time.perf_counter() - start)))


def judge_one(kind: str, data: Path, held_out: Path, seed: int) -> None:
    """In a process of its own: distance of samples to held-out images after equal steps."""
    # Equal steps of both are equal images: the example in memory sees what its loader would show.
    step, samples = steps_of(kind, data, NARROW, seed)
    for _ in range(EQUAL_STEPS):
        step()
    real = to_range(decoded(held_out))
    distances = dp.metrics.sliced_wasserstein(samples(len(real)), real, projections=128)
    print(json.dumps(distances["mean"]))


def time_ranks(data: Path) -> None:
    """Under torchrun: images a second of all processes together, one thread each."""
    torch.set_num_threads(1)
    cpu.keep_memory()
    with joined("auto") as ranks:
        config = dp.networks.PRESETS["torch"]
        recipe = Recipe("paper", batch=BATCH, precision=precision())
        trainer = Trainer(config, recipe, decoded(data), ranks)
        for _ in range(WARM):
            trainer.step()
        ranks.wait()
        start = time.perf_counter()
        for _ in range(TIMED):
            trainer.step()
        wait()
        ranks.wait()
        if ranks.first:
            print(json.dumps(TIMED * BATCH / (time.perf_counter() - start)))


def alone(*arguments: object, ranks: int = 1) -> float:
    """What a run of this file in a process of its own, or several under torchrun, prints last."""
    launch = [sys.executable]
    if ranks > 1:
        launch += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    line = [*launch, str(HERE / "training.py"), *map(str, arguments)]
    done = subprocess.run(line, check=True, capture_output=True, text=True, env=os.environ)
    return float(json.loads(done.stdout.splitlines()[-1]))


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def speed(data: Path) -> dict[str, list[float]]:
    """Rounds of all kinds, one after the other, so that none has the quieter hour."""
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(ROUNDS):
        for kind in KINDS:
            found[kind].append(alone("time", kind, data))
            print(kind, f"{found[kind][-1]:.1f}", file=sys.stderr, flush=True)
    return found


def macs(name: str, config: dp.Config = dp.networks.PRESETS["torch"]) -> float:
    """Multiply-adds that a step of a recipe needs for an image, from the shapes of the layers."""
    from torch.utils.flop_counter import FlopCounterMode

    def count(network: torch.nn.Module, x: Tensor) -> float:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(x)
        return counter.get_total_flops() / 2 / len(x)

    g = count(dp.Generator(config), torch.zeros(2, config.z_size))
    d = count(dp.Discriminator(config), torch.zeros(2, 3, 64, 64))
    first = config.d_width * 3 * 16 * 32 * 32  # D's first layer, whose input needs no gradient
    # D: forward, gradients of weights and of inputs for real and fake. G: forward, D forward and
    # its gradient of inputs, gradients of G. The paper's recipe has a second G forward.
    updates = 2 * (3 * d - first) + 3 * g + 2 * d
    return updates + (g if name == "paper" else 0)


def peak(kind: torch.dtype | None = None, side: int | None = None) -> float:
    """Multiply-adds a second of a large matrix product: the most this machine gives."""
    kind = kind or (torch.bfloat16 if device() == "cuda" else torch.float32)
    side = side or (8192 if device() == "cuda" else 2048)
    a = torch.randn(side, side, device=device(), dtype=kind)
    found = []
    for _ in range(7):
        wait()
        start = time.perf_counter()
        a @ a
        wait()
        found.append(side**3 / (time.perf_counter() - start))
    return max(found)


def profile(data: Path) -> list[tuple[str, float]]:
    """Shares of a step's time by what is computed, of --recipe paper."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as recorded

    step, _ = steps_of("paper", data, WIDTH, 0)
    for _ in range(WARM):
        step()
    kinds = [ProfilerActivity.CUDA if device() == "cuda" else ProfilerActivity.CPU]
    with recorded(activities=kinds) as record:
        for _ in range(TIMED):
            step()
    groups = {
        "convolutions": ("convolution", "conv"),
        "copies": ("copy_", "contiguous", "clone", "constant_pad", "fill_"),
        "batch norm": ("batch_norm",),
        "activations": ("relu", "clamp_min", "threshold", "tanh", "softplus"),
        "Adam": ("adam",),
    }
    shares: dict[str, float] = dict.fromkeys([*groups, "the rest"], 0.0)
    for event in record.key_averages():
        name = event.key.lower()
        own = event.self_device_time_total if device() == "cuda" else event.self_cpu_time_total
        group = next((g for g, words in groups.items() if any(w in name for w in words)), None)
        shares[group or "the rest"] += own
    total = sum(shares.values())
    return [(name, share / total) for name, share in shares.items()]


def machine() -> str:
    name = torch.cuda.get_device_name() if device() == "cuda" else platform.processor() or "CPU"
    return (
        f"{name}, {torch.get_num_threads()} threads, {platform.system()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}, {date.today()}"
    )


def table(columns: list[str], rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows), ""]


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Time training beside pytorch/examples' dcgan."""
    if context.invoked_subcommand is None:
        raise click.UsageError("found no command, expected: all DATA [--held-out HELD_OUT]")


@main.command("time")
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.argument("data", type=click.Path(path_type=Path, exists=True))
def _time(kind: str, data: Path) -> None:
    time_one(kind, data)


@main.command("judge")
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.argument("held_out", type=click.Path(path_type=Path, exists=True))
@click.argument("seed", type=int)
def _judge(kind: str, data: Path, held_out: Path, seed: int) -> None:
    judge_one(kind, data, held_out, seed)


@main.command("ranks")
@click.argument("data", type=click.Path(path_type=Path, exists=True))
def _ranks(data: Path) -> None:
    time_ranks(data)


@main.command("formats")
def _formats() -> None:
    """Write what channels_last gives G and D apart: results/training_formats_<device>.md."""
    config = dp.networks.PRESETS["torch"]
    cpu.keep_memory()
    rows = []
    for name, network, x in (
        ("G", dp.Generator(config), torch.randn(BATCH, config.z_size)),
        ("D", dp.Discriminator(config), torch.randn(BATCH, 3, 64, 64)),
    ):
        times: dict[str, dict[torch.memory_format, list[float]]] = {"forward": {}, "and back": {}}
        for form in (torch.contiguous_format, torch.channels_last):
            own: Any = copy.deepcopy(network)
            own.to(device(), memory_format=form)
            given = x.to(device())
            if given.dim() == 4:
                given = given.contiguous(memory_format=form)
            for what in times:
                found = times[what][form] = []
                for _ in range(WARM + TIMED):
                    start = time.perf_counter()
                    with torch.set_grad_enabled(what == "and back"):
                        y = own(given)
                    if what == "and back":
                        y.sum().backward()
                    wait()
                    found.append(1e3 * (time.perf_counter() - start))
        for what, by_form in times.items():
            plain, last = (found[WARM:] for found in by_form.values())
            ratio = statistics.median(plain) / statistics.median(last)
            rows.append([f"{name} {what}", spread(plain), spread(last), f"{ratio:.2f}"])
    columns = [f"a batch of {BATCH}, ms", "contiguous", "channels_last", "times as fast"]
    lines = [f"# channels_last on {device()}, G and D apart", "", machine(), ""]
    lines += table(columns, rows)
    files.write_text(HERE / "results" / f"training_formats_{device()}.md", "\n".join(lines))
    print("\n".join(lines))


@main.command("all")
@click.argument("data", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--held-out", type=click.Path(path_type=Path, exists=True))
def _all(data: Path, held_out: Path | None) -> None:
    rates = speed(data)
    top = peak()
    shares = profile(data)
    grown = {n: [alone("ranks", data, ranks=n) for _ in range(3)] for n in (1, 2)}
    judged = {}
    if held_out is not None:
        for kind in ("example-memory", "paper", "shared"):
            judged[kind] = [alone("judge", kind, data, held_out, seed) for seed in SEEDS]

    lines = [f"# Training on {device()}", "", machine(), ""]
    lines += [
        f"Made by `python benchmarks/training.py all`. Networks of {WIDTH} filters, batches of "
        f"{BATCH}, images of 64 x 64, {precision()} for dcgan-probe. Medians of {ROUNDS} rounds "
        f"of {TIMED} steps, each in a new process, least and most in parentheses.",
        "",
        "## Images a second",
        "",
    ]
    rows = []
    for kind, values in rates.items():
        own = [a / b for a, b in zip(values, rates["example"], strict=True)]
        step = [a / b for a, b in zip(values, rates["example-memory"], strict=True)]
        rows.append(
            [
                KINDS[kind],
                spread(values),
                f"{statistics.median(own):.2f} ({min(own):.2f} to {max(own):.2f})",
                f"{statistics.median(step):.2f} ({min(step):.2f} to {max(step):.2f})",
            ]
        )
    lines += table(["", "images/s", "times the published example", "times its step alone"], rows)
    lines += ["## Arithmetic, and where the time goes (--recipe paper)", ""]
    for recipe in ("paper", "shared"):
        need = macs(recipe)
        measured = statistics.median(rates[recipe])
        lines += [
            f"- `{recipe}`: {need / 1e9:.2f} GMAC an image, {measured * need / 1e9:.0f} GMAC/s; a "
            f"large matrix product of torch reaches {top / 1e9:.0f} GMAC/s here.",
        ]
    lines += ["", *table(["", "share"], [[n, f"{100 * s:.0f}%"] for n, s in shares])]
    lines += ["## Processes (torchrun, one thread each, batch of 64 in all, --recipe paper)", ""]
    base = statistics.median(grown[1])
    lines += table(
        ["processes", "images/s", "of one"],
        [[str(n), spread(v), f"{statistics.median(v) / base:.2f}"] for n, v in grown.items()],
    )
    if judged:
        lines += [
            f"## Samples after {EQUAL_STEPS} steps of {NARROW} filters each",
            "",
            f"Sliced Wasserstein distance to held-out images, seeds {', '.join(map(str, SEEDS))}; "
            "less is better.",
            "",
            *table(
                ["", "mean", "each seed"],
                [
                    [KINDS[k], f"{statistics.mean(v):.1f}", ", ".join(f"{x:.1f}" for x in v)]
                    for k, v in judged.items()
                ],
            ),
        ]
    if device() == "cpu":
        lines += [
            "Not measured: anything on CUDA (bfloat16, CUDA graphs, images/s beside the example's, "
            "the share of the matrix peak), more than two processes, and so what LSUN's 3 million "
            "images would take on GPUs. This machine has no GPU.",
            "",
        ]
    whole: dict[str, Any] = {"machine": machine(), "images_per_second": rates, "peak_macs": top}
    whole |= {"profile": dict(shares), "processes": grown, "sliced_wasserstein": judged}
    files.write_text(HERE / "results" / f"training_{device()}.md", "\n".join(lines))
    files.write_json(HERE / "results" / f"training_{device()}.json", whole)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
