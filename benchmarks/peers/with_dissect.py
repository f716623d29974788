"""dissect on your own generator, and a new analysis.

With its checkout on PYTHONPATH (benchmarks/peers/installing.md says what that takes):

    python benchmarks/peers/with_dissect.py strongest  # top samples of filters, and an ablation
    python benchmarks/peers/with_dissect.py means --to up2_means.json

Its scripts under experiment/ take none but the networks that setting.py names; this is its library.
"""

import argparse
import json
from typing import Any

import torch
from netdissect import nethook, tally, zdataset  # type: ignore[import-not-found]
from own_generator import LAYER, Generator
from torch import Tensor


def strongest(model: Any) -> None:
    """The samples that raise each filter most, and what goes without the first six filters."""
    data = zdataset.z_dataset_for_model(model.model, size=200)

    def peaks(z: Tensor) -> Tensor:
        model(z)
        return model.retained_layer(LAYER).flatten(2).max(2)[0]

    found = tally.tally_topk(peaks, data, k=5, batch_size=50)
    print("samples that raise filter 0 most:", found.result()[1][0].tolist())
    z = data.tensors[0]
    before = model(z)
    dropped = torch.zeros(24)
    dropped[:6] = 1
    model.edit_layer(LAYER, ablation=dropped)
    print("mean change without 6 filters:", (model(z) - before).abs().mean().item())


def means(model: Any, to: str) -> None:
    """Mean activation of each filter of the layer over 64 samples."""
    data = zdataset.z_dataset_for_model(model.model, size=64)

    def values(z: Tensor) -> Tensor:
        model(z)
        return model.retained_layer(LAYER).mean((2, 3))

    mean = tally.tally_mean(values, data, batch_size=64).mean()
    with open(to, "w") as file:
        json.dump({"layer": LAYER, "mean": mean.tolist()}, file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["strongest", "means"])
    parser.add_argument("--to", default="up2_means.json")
    args = parser.parse_args()
    instrumented = nethook.InstrumentedModel(Generator())
    instrumented.retain_layer(LAYER)
    with torch.no_grad():
        if args.what == "strongest":
            strongest(instrumented)
        else:
            means(instrumented, args.to)
