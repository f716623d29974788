"""captum on your own generator, and a new analysis.

python benchmarks/peers/with_captum.py blame                      # which filters are for light?
python benchmarks/peers/with_captum.py means --to up2_means.json  # mean of each filter
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from captum.attr import LayerActivation, LayerGradCam, LayerGradientXActivation
from own_generator import LAYER, Generator
from torch import Tensor


def blame(generator: Generator, z: Tensor) -> None:
    """Which filters of the layer make images bright: gradient times activation, and Grad-CAM."""

    def brightness(z: Tensor) -> Tensor:
        return generator(z).mean((1, 2, 3))

    layer = generator.get_submodule(LAYER)
    credit = LayerGradientXActivation(brightness, layer).attribute(z).sum((2, 3)).mean(0)
    print("most for brightness:", credit.topk(3).indices.tolist())
    print("most against it:    ", (-credit).topk(3).indices.tolist())
    print("Grad-CAM:", tuple(LayerGradCam(brightness, layer).attribute(z).shape))


def means(generator: Generator, z: Tensor, to: Path) -> None:
    """Mean activation of each filter of the layer."""
    seen = LayerActivation(generator, generator.get_submodule(LAYER)).attribute(z)
    to.write_text(json.dumps({"layer": LAYER, "mean": seen.mean((0, 2, 3)).tolist()}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["blame", "means"])
    parser.add_argument("--to", type=Path, default=Path("up2_means.json"))
    args = parser.parse_args()
    z = torch.from_numpy(np.random.RandomState(1).standard_normal((64, 64))).float()
    if args.what == "blame":
        blame(Generator(), z)
    else:
        means(Generator(), z, args.to)
