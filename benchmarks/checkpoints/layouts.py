"""Open the layouts of public checkpoints, and write what each gives as a page of the documentation.

    python benchmarks/checkpoints/layouts.py [--to docs/layouts.md]

Every layout is a small network with the weights of a seed and the statistics of training, saved as
public projects save theirs. The difference is to its plain forward, in torch alone.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from dcgan_probe import checkpoints
from dcgan_probe.checkpoints.facts import Facts
from dcgan_probe.storage import files

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
layouts: Any = importlib.import_module("layouts")  # the tests' own, with their plain forwards

OPTIONS = {"d_slope": "d-slope", "label": "class"}
HEAD = """# Layouts that open

Which checkpoints of other projects open, which options each needs, and how far the network that
is opened is from a plain forward of the same weights. Written by
`python benchmarks/checkpoints/layouts.py`; a test opens each layout again.

| layout | say | opened as | images differ by | scores differ by |
|---|---|---|---|---|
"""
TAIL = """
Differences are the largest over {n} latents, in units of the range from -1 to 1, and of the logits.

Two layouts beside these: the arrays that the paper's authors published, with kernels of 5x5 and
stride 2 (SVHN), and with kernels of 3x3 and stride 2 on every second layer (ImageNet).

## What a file does not hold

{remarks}

The batch norms of a file test what it does not hold: the mean and the variance that enter a norm
must match those that training stored in it. A uniform z, a one-hot class after or before z,
another slope or eps, norms after activations and the kind of upsampling all change them. Norm by
norm, the hypothesis that fits is taken. If none fits, or if your options contradict the
statistics, stderr shows a WARNING, with the variance for your options and for the best
hypothesis. The generator's last activation (tanh or sigmoid) affects only the norms of a
discriminator in the same file: give it with `--output`.

Chains open: convolutions, transposed or after upsampling, linear layers, and norms. Networks with
branches (class embeddings, skip connections, attention) are refused; open them with
[`--model package.module:factory`](any-gan.md).
"""


def row(layout: Any, folder: Path) -> tuple[str, tuple[str, ...]]:
    """A line of the table, and the reported assumptions."""
    g, d = layouts.build(layout)
    torch.save(layout.save(g, d), folder / "c.pth")
    with contextlib.redirect_stderr(io.StringIO()):
        found: Any = checkpoints.load(folder / "c.pth", Facts(**layout.facts))
    z = layouts.normal(16)
    own = z
    if classes := getattr(found.config, "classes", 0):
        own = torch.cat([z, torch.eye(classes)[[found.config.label] * len(z)]], 1)
    images, scores = "", ""
    with torch.no_grad():
        drawn = found.generator(z)
        plain = g(layouts.shaped(g, own))
        right = 2 * plain - 1 if isinstance(g[-1], torch.nn.Sigmoid) else plain.clamp(-1, 1)
        images = f"{(drawn - right).abs().max():.0e}"
        if found.discriminator is not None:
            difference = found.discriminator(right).flatten() - d(plain).flatten()
            scores = f"{difference.abs().max():.0e}"
    said = " ".join(
        f"`--{OPTIONS.get(name, name)} {value}`" for name, value in layout.facts.items()
    )
    kind = type(found.config).__name__
    as_what = f"{found.config.size}x{found.config.size}, `{kind}`"
    line = f"| {layout.name} | {said} | {as_what} | {images} | {scores} |"
    return line, tuple(remark.partition("c.pth: ")[2] for remark in found.remarks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=ROOT / "docs" / "layouts.md")
    to = parser.parse_args().to
    torch.set_num_threads(1)
    lines, remarks = [], []
    shown = ("pytorch/examples", "z uniform", "one-hot class behind z", "eps 0.8")
    with tempfile.TemporaryDirectory() as folder:
        for layout in layouts.LAYOUTS:
            line, said = row(layout, Path(folder))
            lines.append(line)
            if layout.name in shown:
                remarks.append(f"- {layout.name}: *{said[-1]}*")
            print(line, flush=True)
    tail = TAIL.format(n=16, remarks="\n".join(remarks))
    files.write_text(to, HEAD + "\n".join(lines) + "\n" + tail)


if __name__ == "__main__":
    main()
