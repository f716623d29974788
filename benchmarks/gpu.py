"""Everything on a GPU in one run: is it right, and how fast; for one that is lent for minutes.

    python benchmarks/gpu.py                                 # under 8 minutes, one GPU
    python benchmarks/gpu.py --device cpu --small --to x.md  # only test the script

First correctness: every probe runs on the CPU and on the device, and every number of both results
is compared; so are images of every kind of edit, and losses of training in float32, bfloat16 and,
on CUDA, by graphs. Then speed: training beside pytorch/examples in the same run, as a share of what
a matrix product reaches, and visualize-d, a scan of filters, forget and features beside the CPU.
Writes one Markdown file. What there was no time for is listed as not measured. (Not cuda.py: torch
imports NVIDIA's package `cuda`, and would find that file.)
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import platform
import shlex
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import click
import numpy as np
import peer
import torch
import training
from click.testing import CliRunner
from torch import Tensor

import dcgan_probe as dp
from dcgan_probe.attribution import responses
from dcgan_probe.cli.group import main as command_line
from dcgan_probe.distributed import Ranks
from dcgan_probe.edits.donors import Donors
from dcgan_probe.edits.edit import Edit
from dcgan_probe.edits.places import PlaceEdit
from dcgan_probe.edits.tails import Tail
from dcgan_probe.images.sources import batches, to_range
from dcgan_probe.metrics import features
from dcgan_probe.probes import forget, visualize_d
from dcgan_probe.storage import files
from dcgan_probe.training.recipe import Recipe
from dcgan_probe.training.trainer import Trainer

HERE = Path(__file__).resolve().parent
SUM = "smiling_long - neutral_long + neutral_short"
# Of a number to that of the CPU, or of a thousandth if that is nearly 0: what is more is marked.
FAR = 0.01
# Lines of every probe; BOXES, IMAGES and OTHERS stand for files, {n} and {few} for sizes.
LINES = {
    "sample": "sample --n {few}",
    "visualize-d": "visualize-d --images IMAGES --filters 0-3 --k 2",
    "dissect": "dissect --boxes BOXES --n {few} --layer 16x16 --top 2",
    "ablate": "ablate --layer 8x8 --filters 1-3 --gain 2",
    "walk": "walk --points 3 --steps 4",
    "turn": "turn --from 0:1 --to 0:2 --n 2 --steps 3",
    "invert": "invert --starts 2 --steps 3 IMAGES/0.png",
    "neighbours": "neighbours --images IMAGES --held-out OTHERS --n {few}",
    "features": "features --images IMAGES --labels folders --grid 2 --c 1 --to features.npy",
    "evaluate": "evaluate --images OTHERS --n {few}",
    "concepts": "--model faces concepts --classifier faces --n {n} --shows smile suggest x",
    "arithmetic": f"--model faces arithmetic --classifier faces --draws 4 '{SUM}'",
    "forget": "forget --boxes BOXES --controls 2 --n {n} --judge boxes --layer 16x16",
    "forget, gates": "forget --boxes BOXES --select gates --controls 1 --n {n} --judge boxes "
    "--layer 16x16",
    "forget, causal": "forget --boxes BOXES --select causal --controls 1 --n {n} --judge boxes "
    "--layer 8x8",
    "forget by places": "forget --boxes BOXES --by places --n {n} --judge boxes",
}
IN_SMALL = ("sample", "ablate", "walk")


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    n: int
    few: int
    width: int
    batch: int
    steps: int
    rounds: int
    side: int  # of the matrices whose product is the peak
    images: int
    filters: int


FULL = Sizes(64, 48, 64, 128, 30, 5, 8192, 2048, 128)
SMALL = Sizes(16, 4, 2, 4, 1, 1, 128, 8, 2)


class Report:
    """Tables, and what was not measured, within a number of seconds."""

    def __init__(self, seconds: float):
        self.lines: list[str] = []
        self.left_out: list[str] = []
        self.end = time.monotonic() + seconds

    @contextlib.contextmanager
    def section(self, title: str) -> Iterator[list[str]]:
        """A heading and lines; an error in it is reported there, and the others continue."""
        lines = ["", f"## {title}", ""]
        start = time.monotonic()
        try:
            yield lines
        except Exception:
            lines += ["FAILED:", "", "```", traceback.format_exc().strip(), "```"]
            self.left_out.append(f"{title}: failed")
        lines += ["", f"({time.monotonic() - start:.0f} s)"]
        self.lines += lines
        print(*lines, sep="\n", flush=True)

    def has_time(self, what: str, seconds: float = 20) -> bool:
        """Whether that much time is left; if not, it is noted as left out."""
        if time.monotonic() + seconds < self.end:
            return True
        self.left_out.append(f"{what}: out of time")
        return False


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(device: torch.device, function: Callable[[], Any], rounds: int) -> list[float]:
    """Wall time of some runs, after one that does not count."""
    found = []
    for _ in range(rounds + 1):
        wait(device)
        start = time.perf_counter()
        function()
        wait(device)
        found.append(time.perf_counter() - start)
    return found[1:]


def spread(values: list[float], digits: int = 3) -> str:
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}g} ({low:.{digits}g} to {high:.{digits}g})"


def made(folder: Path, small: bool) -> tuple[str, dict[str, Path]]:
    """The model that probes run on, and the files that they read."""
    model = "rooms"
    if small:
        config = dp.Config(size=32, g_width=4, d_width=4, z_size=8)
        g = dp.networks.initialise(dp.Generator(config), seed=0)
        d = dp.networks.initialise(dp.Discriminator(config), seed=1)
        dp.networks.estimate_statistics(g, [dp.latents.sample(config, 64, seed=0)])
        noise = torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
        dp.networks.estimate_statistics(d, [noise])
        model = str(folder / "model.safetensors")
        dp.checkpoints.save(dp.Checkpoint(config, g, d), folder / "model.safetensors")
    session = dp.Session.open(model, 0, device="cpu")
    paths = {"BOXES": folder / "boxes.json", "IMAGES": folder / "a", "OTHERS": folder / "b"}
    side = session.config.size
    if small:
        drawn = tuple(dp.Box(i, "window", 4, 4, 20, 24) for i in range(6))
        sha = session.checkpoint.sha256
        dp.Boxes(drawn, tuple(range(8)), (side, side), seed=0, checkpoint=sha).write(paths["BOXES"])
    else:
        session.read_boxes().write(paths["BOXES"])
    pixels = dp.figures.pixels(session.sample(80, seed=9))
    for i, image in enumerate(pixels):
        kind = folder / ("b" if i >= 50 else f"a/{'one' if i % 2 else 'two'}")
        kind.mkdir(parents=True, exist_ok=True)
        dp.figures.write_image(kind / f"{i}.png", image)
    dp.figures.write_image(folder / "0.png", pixels[0])
    return model, paths


def run_line(line: str, device: str, model: str, paths: dict[str, Path], out: Path) -> list[Any]:
    """Values of the results of one command line."""
    words = [
        str(paths[name] / rest if rest else paths[name]) if name in paths else word
        for word in shlex.split(line)
        for name, _, rest in [word.partition("/")]
    ]
    own = [] if "--model" in words else ["--model", model]
    arguments = [*own, "--device", device, "--out", str(out), "--force", "--quiet", *words]
    done = CliRunner().invoke(command_line, arguments)
    if done.exit_code:
        raise RuntimeError(f"{line}: {done.output.strip()[-500:]}") from done.exception
    found = []
    for path in sorted(out.glob("*/result.json")):
        values = json.loads(path.read_text())
        for name in ("made_with", "files", "about", "sha256"):
            values.pop(name, None)
        found.append(values)
    return found


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested JSON, with where it is."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, each in items:
            yield from leaves(each, f"{place}.{key}" if place else str(key))
    else:
        yield place, value


def compare(a: Any, b: Any) -> tuple[int, int, float, str]:
    """Numbers compared, other values that differ, and the worst number with its place."""
    ours, theirs = dict(leaves(a)), dict(leaves(b))
    other = len(ours.keys() ^ theirs.keys())
    worst, where, count = 0.0, "", 0
    for place in ours.keys() & theirs.keys():
        x, y = ours[place], theirs[place]
        if isinstance(x, float) and isinstance(y, float) and np.isfinite([x, y]).all():
            count += 1
            off = abs(x - y) / max(abs(x), 1e-3)
            if off > worst:
                worst, where = off, place
        elif x != y and not (x != x and y != y):  # NaN on both sides is the same
            other += 1
    return count, other, worst, where


def check_probes(
    report: Report,
    device: str,
    sizes: Sizes,
    names: tuple[str, ...],
    model: str,
    paths: dict[str, Path],
) -> None:
    folder = paths["BOXES"].parent
    with report.section(f"Every probe: {device} beside the CPU") as lines:
        lines += ["| line | numbers | worst, of the CPU's | where | other values that differ | |"]
        lines += ["|---|---|---|---|---|---|"]
        for name in names:
            if not report.has_time(f"probe {name}", 60):
                continue
            line = LINES[name].format(n=sizes.n, few=sizes.few)
            line = line.replace("IMAGES/0.png", str(folder / "0.png"))
            line = line.replace("features.npy", str(folder / "features.npy"))
            try:
                here = [
                    run_line(line, on, model, paths, folder / f"{i}-{name.replace(' ', '-')}")
                    for i, on in enumerate(("cpu", device))
                ]
            except RuntimeError as error:
                said = str(error).replace("\n", " ")
                lines.append(f"| {name} | | | | | FAILED: {said} |")
                report.left_out.append(f"probe {name}: failed")
                continue
            count, other, worst, where = compare(*here)
            mark = "FAR" if worst > FAR or other else ""
            lines.append(f"| {name} | {count} | {worst:.1e} | {where} | {other} | {mark} |")


def edits_of(sha: str, side: int) -> dict[str, Edit]:
    """One edit of every kind, on layers that every network here has."""
    region = (side / 8, side / 8, side / 2, side / 2)
    return {
        "filters dropped": dp.Selection("8x8", (0, 1, 2), sha),
        "gains": dp.Selection("8x8", (0, 1), sha, gains=(2.0, 0.5)),
        "values in a region": dp.Selection("16x16", (0, 1), sha, values=(1.0, 0.3), where=region),
        "a place, smooth": PlaceEdit(("16x16",), sha, where=region, fill="smooth"),
        "a place, cloned from donors": PlaceEdit(
            ("8x8", "16x16"),
            sha,
            where=region,
            fill="clone",
            donors=Donors(0, tuple(range(200, 216))),
        ),
        "a transplant": PlaceEdit(
            ("16x16",),
            sha,
            where=region,
            fill="clone",
            donors=Donors(0, (142,), unedited=True),
            moved=(side / 4, 0),
        ),
    }


def check_edits(report: Report, device: str, sizes: Sizes, model: str) -> None:
    with report.section("Images of the same latents, unedited and edited") as lines:
        cpu, other = (dp.Session.open(model, 0, device=on) for on in ("cpu", device))
        z = cpu.latents(sizes.few)
        kinds: dict[str, tuple[Edit, ...]] = {"none": ()}
        named = edits_of(cpu.checkpoint.sha256, cpu.config.size)
        kinds |= {name: (edit,) for name, edit in named.items()}
        kinds["all of them"] = tuple(named.values())
        lines += ["Largest difference of a pixel, on images in [-1, 1].", ""]
        lines += ["| edit | as torch comes | without TF32 |", "|---|---|---|"]
        for name, edits in kinds.items():
            with cpu.editing(*edits):
                expected = cpu.generate(z)
            row = []
            for tf32 in (torch.backends.cudnn.allow_tf32, False):
                with tf32_is(tf32), other.editing(*edits):
                    row.append(f"{float((other.generate(z) - expected).abs().max()):.1e}")
            lines.append(f"| {name} | {row[0]} | {row[1]} |")


@contextlib.contextmanager
def tf32_is(allowed: bool) -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def blobs(n: int, side: int = 64) -> Tensor:
    """Soft coloured noise, N x 3 x side x side uint8."""
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(n, 3, 8, 8, generator=random)
    fine = torch.nn.functional.interpolate(coarse, side, mode="bicubic").clamp(0, 1)
    return (fine * 255).round().to(torch.uint8)


def trainer_of(
    device: torch.device, sizes: Sizes, name: str, precision: str, compiled: bool = False
) -> Trainer:
    config = dataclasses.replace(
        dp.networks.PRESETS["torch"], g_width=sizes.width, d_width=sizes.width
    )
    recipe = Recipe(name, batch=sizes.batch, precision=precision)
    images = blobs(max(sizes.images, 2 * sizes.batch))
    return Trainer(config, recipe, images, Ranks(device=device), compiled=compiled)


def check_training(report: Report, device: torch.device, sizes: Sizes) -> None:
    with report.section("Losses of training, step by step") as lines:
        steps = 3
        ways: dict[str, tuple[torch.device, str, bool]] = {
            "CPU, float32": (torch.device("cpu"), "float32", False),
            f"{device}, float32": (device, "float32", False),
            f"{device}, bfloat16": (device, "bfloat16", False),
        }
        if device.type == "cuda":
            ways[f"{device}, bfloat16, CUDA graphs"] = (device, "bfloat16", True)
        else:
            lines += ["Graphs are of CUDA; not run here.", ""]
        # Small batches, so that the CPU's three steps take seconds.
        few = dataclasses.replace(sizes, batch=min(sizes.batch, 16))
        lines += [f"Losses of D and G in {steps} steps of {few.batch} images, same seed.", ""]
        for name in ("paper", "shared"):
            lines += [f"| `{name}` | " + " | ".join(f"step {i + 1}" for i in range(steps)) + " |"]
            lines += ["|" + "---|" * (steps + 1)]
            for words, (on, precision, compiled) in ways.items():
                if compiled and not report.has_time(f"training, {words}", 90):
                    continue
                trainer = trainer_of(on, few, name, precision, compiled)
                losses = [trainer.step().tolist() for _ in range(steps)]
                shown = " | ".join(f"{d:.4f}, {g:.4f}" for d, g in losses)
                lines.append(f"| {words} | {shown} |")
            lines += [""]


def time_training(report: Report, device: torch.device, sizes: Sizes) -> None:
    with report.section("Training, images a second") as lines:
        example = peer.Example(sizes.width, 0, str(device))
        stock = to_range(blobs(4 * sizes.batch)).to(device)
        minibatches = itertools.cycle(stock.split(sizes.batch))
        steps: dict[str, Callable[[], Any]] = {
            "pytorch/examples, its step, images on the device": lambda: example.step(
                next(minibatches)
            )
        }
        kinds: dict[str, tuple[str, torch.dtype]] = {}
        half = [("bfloat16", False)]
        if device.type == "cuda":
            half.append(("bfloat16", True))
        for name in ("paper", "shared"):
            for precision, compiled in [("float32", False), *half]:
                words = f"`{name}`, {precision}" + (", CUDA graphs" if compiled else "")
                if compiled and not report.has_time(f"training, {words}", 90):
                    continue
                steps[words] = trainer_of(device, sizes, name, precision, compiled).step
                kinds[words] = name, getattr(torch, precision)

        def some(step: Callable[[], Any]) -> None:
            for _ in range(sizes.steps):
                step()

        for step in steps.values():
            some(step)  # kernels are chosen, graphs recorded
        rates: dict[str, list[float]] = {words: [] for words in steps}
        for _ in range(sizes.rounds):  # in turns, so that none has the quieter moment
            for words, step in steps.items():
                wait(device)
                start = time.perf_counter()
                some(step)
                wait(device)
                rates[words].append(sizes.steps * sizes.batch / (time.perf_counter() - start))
        tops = {kind: training.peak(kind, sizes.side) for kind in (torch.float32, torch.bfloat16)}
        config = dataclasses.replace(
            dp.networks.PRESETS["torch"], g_width=sizes.width, d_width=sizes.width
        )
        for kind, top in tops.items():
            lines += [f"A matrix product of {sizes.side} a side: {top / 1e12:.3g} TMAC/s, {kind}."]
        if device.type == "cuda" and torch.backends.cudnn.allow_tf32:
            lines += [
                "float32 convolutions use TF32, the product does not: shares may exceed 100%."
            ]
        lines += [
            "",
            f"Networks of {sizes.width} filters, batches of {sizes.batch}, {sizes.rounds} rounds "
            f"of {sizes.steps} steps in turns; the example's arithmetic is float32.",
            "",
            "| | images/s | times the example | share of the matrix peak |",
            "|---|---|---|---|",
        ]
        base = rates[next(iter(rates))]
        for words, found in rates.items():
            ratios = [a / b for a, b in zip(found, base, strict=True)]
            share = ""
            if words in kinds:
                name, kind = kinds[words]
                used = statistics.median(found) * training.macs(name, config) / tops[kind]
                share = f"{100 * used:.2g}%"
            lines.append(f"| {words} | {spread(found)} | {spread(ratios)} | {share} |")


def time_probes(
    report: Report, device: torch.device, sizes: Sizes, model: str, boxes: Path, small: bool
) -> None:
    with report.section("Probes, seconds") as lines:
        on = {"CPU": torch.device("cpu")}
        if device.type != "cpu":
            on[str(device)] = device
        rows: dict[str, list[str]] = {}
        for name, place in on.items():
            session = dp.Session.open(model, 0, device=str(place))
            for what, function in work(session, sizes, boxes).items():
                if small and what.startswith("forget"):
                    report.left_out.append(f"{what}: not in --small")
                    continue
                if not report.has_time(f"{what} on {name}", 40):
                    continue
                runs = 1 if name == "CPU" else sizes.rounds
                rows.setdefault(what, []).append(spread(seconds(place, function, runs)))
        lines += ["| | " + " | ".join(on) + " |", "|" + "---|" * (len(on) + 1)]
        lines += [f"| {what} | " + " | ".join(row) + " |" for what, row in rows.items()]


def work(session: dp.Session, sizes: Sizes, boxes: Path) -> dict[str, Callable[[], Any]]:
    """What is timed on a session."""
    config, layer = session.config, features.layers(session.discriminator)[-1]
    images = to_range(blobs(sizes.images, config.size))

    class InMemory:
        def __len__(self) -> int:
            return len(images)

        def read(self, rows: Any) -> Tensor:
            return images[list(rows)]

    source: Any = InMemory()

    def visualize() -> None:
        top = responses.top_responses(
            session.discriminator, layer, (b.to(session.device) for b in batches(source, 64)), 5
        )
        top = top.only(range(sizes.filters))
        visualize_d.explain(session.discriminator, layer, source, top, range(sizes.filters))

    def scan() -> None:
        base = Tail(session.generator, "16x16").start(session.latents(16).to(session.device))
        for f in range(min(sizes.filters, base.maps.shape[1])):
            base.without([f])

    def extract() -> None:
        names = features.layers(session.discriminator)
        with torch.no_grad():
            for part in images.split(256):
                features.extract(session.discriminator, part.to(session.device), names)

    def forgotten() -> None:
        drawn = session.read_boxes(boxes)
        forget.run(session, drawn, controls=4, n=sizes.n, judges=["boxes"], layer="16x16")

    count = f"{sizes.filters} filters"
    return {
        f"visualize-d: {count} x 5 of {layer}, {sizes.images} images": visualize,
        f"scan: {count} of 16x16 alone, 16 samples": scan,
        f"features: {sizes.images} images": extract,
        "forget: 4 random sets": forgotten,
    }


@click.command()
@click.option("--device", default="cuda", type=click.Choice(["cuda", "cpu"]))
@click.option("--small", is_flag=True, help="Tiny networks and few lines: that the script works.")
@click.option("--minutes", default=7.5, help="When to stop beginning new parts.")
@click.option("--to", default=HERE / "results" / "gpu.md", type=click.Path(path_type=Path))
def main(device: str, small: bool, minutes: float, to: Path) -> None:
    """Check and measure on a device, and write a Markdown file."""
    if device == "cuda" and not torch.cuda.is_available():
        raise click.ClickException("found no CUDA device (--device cpu --small tries the script)")
    sizes, place = (SMALL if small else FULL), torch.device(device)
    report = Report(60 * minutes)
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    report.lines += [
        f"# On {device}: what is right, and how fast",
        "",
        f"{name}, {torch.get_num_threads()} threads, {platform.system()}, Python "
        f"{platform.python_version()}, torch {torch.__version__}, {date.today()}.",
        "Made by `python benchmarks/gpu.py`" + (" --small: numbers mean nothing." * small or "."),
        f"FAR: numbers {FAR:g} of the CPU's or more from those, or other values that differ.",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model, paths = made(folder, small)
        check_edits(report, device, sizes, model)
        check_training(report, place, sizes)
        time_training(report, place, sizes)
        time_probes(report, place, sizes, model, paths["BOXES"], small)
        # Last, since it is the CPU that takes long here; quick lines first.
        check_probes(report, device, sizes, IN_SMALL if small else tuple(LINES), model, paths)
    missing = report.left_out or ["nothing"]
    report.lines += ["", "## Not measured", "", *(f"- {each}" for each in missing)]
    files.write_text(to, "\n".join(report.lines) + "\n")
    print(f"wrote {to}")


if __name__ == "__main__":
    main()
