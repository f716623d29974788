"""gandissect on your own generator, and a new analysis.

Where `import netdissect` works (see benchmarks/peers/installing.md), this folder on PYTHONPATH:

    python -m netdissect --gan --no-cuda --model "own_generator.Generator()" --layers up2 \\
        --segmenter "with_gandissect.Bright()" --size 64 --num_workers 0 --outdir dissected
    python -m with_gandissect --model "own_generator.Generator()" --layer up2 --to up2_means.json
"""

import argparse
import json

import torch
from netdissect.modelconfig import create_instrumented_model  # type: ignore[import-not-found]
from netdissect.segmenter import BaseSegmenter  # type: ignore[import-not-found]
from netdissect.zdataset import z_sample_for_model  # type: ignore[import-not-found]
from torch import Tensor


class Bright(BaseSegmenter):
    """Labels without a network: which pixels are bright and which are dark."""

    def get_label_and_category_names(self) -> "tuple[list[tuple[str, str]], list[str]]":
        return [("-", "-"), ("bright", "light"), ("dark", "light")], ["light"]

    def segment_batch(self, tensor_images: Tensor, downsample: int = 1) -> Tensor:
        light = tensor_images.mean(1, keepdim=True)[:, :, ::downsample, ::downsample]
        return (light > 0).long() + 2 * (light < 0).long()


def main() -> None:
    """A probe of the package's kind: mean activation of each filter of a layer over 64 samples."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--layer", required=True)
    parser.add_argument("--to", required=True)
    args = parser.parse_args()
    args.gen, args.cuda = True, torch.cuda.is_available()
    model = create_instrumented_model(args)
    with torch.no_grad():
        model(z_sample_for_model(model, 64))
    mean = model.retained_layer(args.layer).mean(3).mean(2).mean(0)
    with open(args.to, "w") as file:
        json.dump({"layer": args.layer, "mean": mean.tolist()}, file)


if __name__ == "__main__":
    main()
