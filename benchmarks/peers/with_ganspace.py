"""GANSpace on your own generator, and a new analysis.

With its checkout on PYTHONPATH (benchmarks/peers/installing.md says what that takes):

    python benchmarks/peers/with_ganspace.py directions  # principal components of layer up2
    python benchmarks/peers/with_ganspace.py means --to up2_means.json

`Own` is the wrapper that its README asks for. It belongs in models/wrappers.py, and a branch that
makes it into get_model there; `registered` does the same from outside.
"""

import argparse
import json
from typing import Any

import models.wrappers  # type: ignore[import-not-found]
import numpy as np
import torch
from config import Config  # type: ignore[import-not-found]
from decomposition import get_or_compute  # type: ignore[import-not-found]
from own_generator import LAYER, Generator
from torch import Tensor


class Own(models.wrappers.BaseModel):
    def __init__(self, device: torch.device) -> None:
        super().__init__("Own", "own")
        self.device = device
        self.model = Generator().to(device)
        self.name = "Own"
        self.has_latent_residual = False

    def sample_latent(
        self, n_samples: int = 1, seed: "int | None" = None, truncation: "float | None" = None
    ) -> Tensor:
        rng = np.random.RandomState(np.random.randint(2**31 - 1) if seed is None else seed)
        return torch.from_numpy(rng.standard_normal((n_samples, 64))).float().to(self.device)

    def forward(self, x: Any) -> Tensor:  # visualize.py gives a list: a z for each layer
        return super().forward(x[0] if isinstance(x, list) else x)

    def partial_forward(self, x: Tensor, layer_name: str) -> Tensor:
        return self.forward(x)


def registered() -> Any:
    """The layer's instrumented model, found by the name Own."""
    theirs = models.wrappers.get_model

    def get_model(name: Any, output_class: Any, device: torch.device, **options: Any) -> Any:
        return Own(device) if name == "Own" else theirs(name, output_class, device, **options)

    models.wrappers.get_model = get_model
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return models.wrappers.get_instrumented_model("Own", "own", LAYER, device)


def directions(model: Any) -> None:
    options = {"n": 2000, "batch_size": 50, "components": 6}
    config = Config(model="Own", output_class="own", layer=LAYER, **options)
    with torch.no_grad():
        file = get_or_compute(config, model)
    with np.load(file) as found:
        print("shares of the variance:", found["var_ratio"].round(4).tolist())
    print("wrote", file)


def means(model: Any, to: str) -> None:
    """Mean activation of each filter of the layer over 64 samples."""
    with torch.no_grad():
        model.model.partial_forward(model.model.sample_latent(64, seed=1), LAYER)
    mean = model.retained_layer(LAYER).mean(3).mean(2).mean(0)
    with open(to, "w") as file:
        json.dump({"layer": LAYER, "mean": mean.tolist()}, file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["directions", "means"])
    parser.add_argument("--to", default="up2_means.json")
    args = parser.parse_args()
    if args.what == "directions":
        directions(registered())
    else:
        means(registered(), args.to)
