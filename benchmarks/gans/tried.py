"""Probes on Third-party GANs: what works, what is refused, and is it the same image.

    python benchmarks/gans/tried.py [--only NAME ...] [--to FOLDER]

Writes ``other_gans.md``. How to install the packages: see `networks`.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import io
import json
import platform
import subprocess
import sys
import tempfile
import time
import tokenize
import traceback
from collections.abc import Callable
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import networks
import torch

import dcgan_probe as dp
from dcgan_probe import hooks
from dcgan_probe.checkpoints import modules
from dcgan_probe.edits import tails
from dcgan_probe.errors import InputError
from dcgan_probe.networks import tracing
from dcgan_probe.probes import (
    ablate,
    dissect,
    features,
    forget,
    invert,
    neighbours,
    sample,
    visualize_d,
    walk,
)
from dcgan_probe.results.result import Result
from dcgan_probe.storage import files

LIMIT = 240  # seconds a network
BOXED, FRESH = 40, 32
SKIPPED = "-"
INSIDE = " (inside)"
PROBES = (
    *("sample", "walk", "ablate", "ablate" + INSIDE, "invert", "forget", "forget" + INSIDE),
    *("dissect", "dissect" + INSIDE, "visualize-d", "features", "neighbours"),
)
PACKAGES = {
    "biggan_deep": "pytorch-pretrained-biggan",
    "stylegan2": "stylegan2-pytorch",
    "lightweight_gan": "lightweight-gan",
    "gigagan": "gigagan-pytorch",
    "sngan": "torch-mimicry",
    "sagan": "torch-mimicry",
    "cgan_pd": "torch-mimicry",
    "dcgan": "torchgan",
    "began": "torchgan",
    "progan": "pro-gan-pth",
    "stylegan": "gan-lab",
    "resnet_gan": "gan-lab",
    "wgan_gp_mlp": "wgangp-pytorch",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PACKAGES, default=list(PACKAGES))
    parser.add_argument("--to", type=Path, default=Path(__file__).parents[1] / "results")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        measure(given.only[0], given.child)
        return
    start = time.perf_counter()
    rows = [in_own_process(name) for name in given.only]
    text = page(rows, time.perf_counter() - start)
    files.write_bytes(given.to / "other_gans.md", text.encode())


def in_own_process(name: str) -> dict[str, str]:
    """What `measure` found; after the limit what it had found until then."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--only", name, "--child", folder]
        end = ""
        try:
            process = subprocess.run(command, timeout=LIMIT)
            if process.returncode:
                end = f"error: exit code {process.returncode}"
        except subprocess.TimeoutExpired:
            end = f"error: not done after {LIMIT} s"
        file = Path(folder) / "found.jsonl"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    found = dict(json.loads(line) for line in lines)
    return {"network": name, **{probe: found.get(probe, end) for probe in PROBES}, **found}


def measure(name: str, folder: Path) -> None:
    """Write what each probe made of a network as it is found, one line each."""

    def tell(what: str, found: str) -> None:
        print(f"{name}: {what}: {found}", file=sys.stderr, flush=True)
        with open(folder / "found.jsonl", "a", encoding="utf-8") as file:
            print(json.dumps([what, found]), file=file)

    torch.manual_seed(0)
    torch.set_num_threads(1)
    session = dp.Session.from_modules(**factory(name)(), name=name, device="cpu")
    config = session.config
    tell("size", str(config.size))
    tell("layers", str(len(config.layers("generator"))))
    tell("picked", ", ".join(config.hidden("generator")) or "none")
    tell("picked of D", ", ".join(config.hidden("discriminator")) or "none")
    inner = inside(session)
    tell("inside", inner or SKIPPED)
    for key, found in zip(("difference", "changed"), difference(session), strict=True):
        tell(key, found)
    for probe, run in calls(session, inner, folder).items():
        try:
            run().save(folder / probe)
            tell(probe, "works")
        except InputError as error:
            tell(probe, f"refused: {error}")
        except Exception as error:
            traceback.print_exc()
            tell(probe, f"error: {dp.errors.brief(error)}")
    for probe in PROBES:
        if inner is None and probe.endswith(INSIDE):
            tell(probe, SKIPPED)


def factory(name: str) -> Callable[[], dict[str, Any]]:
    return getattr(networks, f"build_{name}")


def found_layers(session: dp.Session) -> tuple[tracing.Layer, ...]:
    """The layers of the generator, as tracing found them."""
    assert isinstance(session.config, modules.Traced)
    return session.config.found["generator"]


def inside(session: dp.Session) -> str | None:
    """The first layer that maps lead around, such as one in a residual block; none of colours."""
    for layer in found_layers(session):
        if not layer.passes_on and layer.height > 4 and layer.filters != session.config.channels:
            return layer.name
    return None


def calls(session: dp.Session, inner: str | None, folder: Path) -> dict[str, Callable[[], Result]]:
    """Each probe by its column."""
    boxes = brightest(session)
    images = folder / "sample" / "images"
    photo = session.sample(1, seed=1)[0]

    def of_layer(layer: str | None) -> dict[str, Callable[[], Result]]:
        def dropped() -> Result:
            name = layer or forget.default_layer(session.config)
            edit = dp.Selection(name, (0, 1), session.checkpoint.sha256)
            return ablate.run(session, edit, n=8)

        judged = {"judges": ("boxes",), "n": FRESH, "controls": 2}
        return {
            "ablate": dropped,
            "forget": lambda: forget.run(session, boxes, layer=layer, **judged),
            "dissect": lambda: dissect.run(session, boxes, layer=layer, n=16, top=2),
        }

    found: dict[str, Callable[[], Result]] = {
        "sample": lambda: sample.run(session, n=BOXED),
        "walk": lambda: walk.run(session, points=3, steps=4),
        "invert": lambda: invert.run(session, photo, starts=2, steps=10),
        **of_layer(None),
    }
    if inner is not None:
        found |= {key + INSIDE: run for key, run in of_layer(inner).items()}
    return found | {
        "visualize-d": lambda: visualize_d.run(session, n=24, filters=range(2), k=2),
        "features": lambda: features.run(session, images, to=folder / "features.npy"),
        "neighbours": lambda: neighbours.run(session, images, split=True, n=20),
    }


def brightest(session: dp.Session) -> dp.Boxes:
    """Boxes on the brightest quarter of samples."""
    side = session.config.size // 2
    light = torch.nn.functional.avg_pool2d(session.sample(BOXED).mean(1, keepdim=True), side, 1)
    corners = [divmod(at, light.shape[3]) for at in light.flatten(1).argmax(1).tolist()]
    drawn = [dp.Box(i, "bright", x, y, x + side, y + side) for i, (y, x) in enumerate(corners)]
    size = (session.config.size, session.config.size)
    sha = session.checkpoint.sha256
    return dp.Boxes(tuple(drawn), tuple(range(BOXED)), size, seed=0, checkpoint=sha)


@torch.no_grad()
def difference(session: dp.Session) -> tuple[str, str]:
    """Largest between a tail's images without every second filter and those of the whole network.

    Also at how many layers that edit changes images at all.
    """
    g, z = session.generator, session.latents(3)
    before = g(z)
    largest, changed = [], 0
    layers = found_layers(session)
    for layer in layers:
        filters = range(0, layer.filters, 2)
        by_tail = tails.Tail(g, layer.name).start(z).without(filters)
        with hooks.ablate(g, layer.name, filters):
            whole = g(z)
        largest.append((by_tail - whole).abs().max().item())
        changed += bool((whole != before).any())
    return (f"{max(largest):.0e}" if largest else SKIPPED), f"{changed} of {len(layers)}"


def lines(function: Callable[..., Any]) -> int:
    """How many lines of code a function is: no blanks, comments and docstrings."""
    source = inspect.getsource(function)
    no_code = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    code = {of.start[0] for of in tokens if of.type not in (*no_code, tokenize.ENDMARKER)}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            code -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(code)


def lines_of(name: str) -> int:
    """Of a factory, with the helpers that it names."""
    source = inspect.getsource(factory(name))
    helpers = [networks.Adapted] * ("Adapted(" in source) + [networks.third] * ("third" in source)
    return lines(factory(name)) + sum(map(lines, helpers))


def page(rows: list[dict[str, str]], seconds: float) -> str:
    """The whole of ``other_gans.md``."""
    notes: dict[str, int] = {}

    def cell(found: str) -> str:
        verdict, _, why = found.partition(": ")
        return f"{verdict} ({notes.setdefault(why, len(notes) + 1)})" if why else verdict

    packages = [PACKAGES[row["network"]] for row in rows]
    names = [f"{package} {metadata.version(package)}" for package in packages]
    probes = [[row["network"], *(cell(row[probe]) for probe in PROBES)] for row in rows]
    facts = [
        [
            *(row["network"], package, row.get("size", "")),
            *(str(lines_of(row["network"])), row.get("layers", ""), row.get("picked", "")),
            *(row.get(key, "") for key in ("picked of D", "inside", "changed", "difference")),
        ]
        for row, package in zip(rows, names, strict=True)
    ]
    return "\n".join(
        [
            "# Third-party GANs",
            "",
            f"1 thread, {platform.system()}, torch {torch.__version__}, {date.today()}, "
            f"{seconds / 60:.0f} minutes. Made by `python benchmarks/gans/tried.py`; to "
            "install the packages, see `benchmarks/gans/networks.py`.",
            "",
            "The weights are random, and the networks are small. Nothing is claimed of what their "
            "filters mean: this says only whether each probe runs on such an architecture and "
            "writes its result, and whether an edit makes the image that it should.",
            "",
            *table(["", *PROBES], probes),
            "",
            "refused: ends in one line, below. error: anything else. "
            f"{SKIPPED}: no layer that maps lead around. Boxes are on the brightest quarter of "
            f"{BOXED} samples; a detector learnt from them judges {FRESH} others. "
            "(inside): of the layer so named below; else of the default one.",
            "",
            *(f"{number}. {why}" for why, number in notes.items()),
            "",
            "## Networks",
            "",
            "Lines of code: of the factory, with the wrapper that it uses; repairs of packages are "
            "apart. Layers: of the generator. Picked: those that probes choose among by "
            "themselves, of the generator and of the discriminator. Edits: every second filter of "
            "a layer dropped, one layer after another. Difference: the largest over all layers and "
            "pixels between images in [-1, 1] of `tails.Tail` and of the whole network.",
            "",
            *table(
                ["", "package", "pixels", "lines of code", "layers", "picked"]
                + ["picked of D", "inside", "edits that change images", "difference"],
                facts,
            ),
            "",
        ]
    )


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


if __name__ == "__main__":
    main()
