"""A small generator that is in nobody's list of models, with the weights of a seed.

    >>> generator = Generator()
    >>> generator(torch.zeros(2, 64)).shape
    torch.Size([2, 3, 32, 32])

`build` is what `dcgan-probe --model benchmarks.peers.own_generator:build` takes. Nothing here needs
more than Python 3.6 and torch 1.0, which a peer asks for.
"""

from typing import Any

import torch
from torch import Tensor, nn

LAYER = "up2"  # 24 filters at 16x16: the layer that every script here looks at


class Up(nn.Sequential):
    def __init__(self, into: int, out: int) -> None:
        conv = nn.Conv2d(into, out, 3, padding=1, bias=False)
        super().__init__(nn.Upsample(scale_factor=2), conv, nn.BatchNorm2d(out), nn.ReLU())


class Generator(nn.Module):
    """Upsample and convolve (Odena et al. 2016): z of 64 to 3 x 32 x 32 in [-1, 1]."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.project = nn.Linear(64, 32 * 4 * 4, bias=False)
        self.up1, self.up2, self.up3 = Up(32, 32), Up(32, 24), Up(24, 16)
        self.to_rgb = nn.Conv2d(16, 3, 3, padding=1, bias=False)
        with torch.no_grad():
            source = torch.Generator().manual_seed(seed)
            for part in self.modules():
                if isinstance(part, (nn.Conv2d, nn.Linear)):
                    part.weight.normal_(0, (2 / part.weight[0].numel()) ** 0.5, generator=source)
                elif isinstance(part, nn.BatchNorm2d):
                    part.weight.fill_(1)  # torch 1.0 has random ones
        self.eval()

    def forward(self, z: Tensor) -> Tensor:
        h = self.project(z).view(-1, 32, 4, 4)
        return torch.tanh(self.to_rgb(self.up3(self.up2(self.up1(h)))))


def build() -> "dict[str, Any]":
    return {"generator": Generator(), "latent": 64}
