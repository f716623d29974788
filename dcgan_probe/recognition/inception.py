"""The Inception network of FID and KID, from its published weights.

What it differs in from torchvision's network of that name: the resizing of TensorFlow 1, averages
that leave out the border, a maximum in the last block, and 1008 classes. torch-fidelity has it too,
with torchvision and by unpickling; `benchmarks/peers/agreement.py` compares the two.
Source: Heusel et al. 2017; Szegedy et al. 2016 for the blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dcgan_probe.errors import InputError
from dcgan_probe.storage import files

# The file's name ends in the first digits of its SHA-256, as torch.hub does.
NAME, SHA256 = "pt_inception-2015-12-05-6726825d.pth", "6726825d"
SIDE, FEATURES, CLASSES = 299, 2048, 1008
BATCH = 16

_Pool = Callable[[Tensor], Tensor]


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def _maximum(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 1, 1)


def _halved(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 2)


class Convolution(nn.Module):
    """A convolution of no bias, batch norm and ReLU; kernels may be wider than high."""

    def __init__(self, into: int, out: int, kernel: tuple[int, int], stride: int, pad: bool):
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if pad else (0, 0)
        self.conv = nn.Conv2d(into, out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Block(nn.Module):
    """Branches side by side, each a chain of convolutions, and a branch that pools.

    branches: steps (name, filters, kernel) of each; a name that ends in "a" is followed by its twin
    "b", which has the same input, in parallel. pooled: filters of the convolution behind the
    pooling; 0 for none. halve: the last convolution of each branch, and the pooling, have stride 2.
    """

    def __init__(
        self,
        into: int,
        branches: list[list[tuple[str, int, tuple[int, int]]]],
        pool: _Pool,
        pooled: int = 0,
        halve: bool = False,
    ):
        super().__init__()
        self.pool, self.branches = pool, [[name for name, _, _ in steps] for steps in branches]
        for steps in branches:
            width = into
            for name, filters, kernel in steps:
                last = halve and name == steps[-1][0]
                stride, pad = (2, False) if last else (1, True)
                self.add_module(name, Convolution(width, filters, kernel, stride, pad))
                if not name.endswith("a"):
                    width = filters
        if pooled:
            self.branch_pool = Convolution(into, pooled, (1, 1), 1, True)

    def forward(self, x: Tensor) -> Tensor:
        parts = []
        for names in self.branches:
            seen = x
            for name in names:
                if name.endswith("a"):
                    parts.append(self.get_submodule(name)(seen))
                else:
                    seen = self.get_submodule(name)(seen)
            parts.append(seen)
        side = self.pool(x)
        parts.append(self.branch_pool(side) if hasattr(self, "branch_pool") else side)
        return torch.cat(parts, 1)


def _a(into: int, pooled: int) -> Block:
    branches = [
        [("branch1x1", 64, (1, 1))],
        [("branch5x5_1", 48, (1, 1)), ("branch5x5_2", 64, (5, 5))],
        [
            ("branch3x3dbl_1", 64, (1, 1)),
            ("branch3x3dbl_2", 96, (3, 3)),
            ("branch3x3dbl_3", 96, (3, 3)),
        ],
    ]
    return Block(into, branches, _average, pooled)


def _b() -> Block:
    branches = [
        [("branch3x3", 384, (3, 3))],
        [
            ("branch3x3dbl_1", 64, (1, 1)),
            ("branch3x3dbl_2", 96, (3, 3)),
            ("branch3x3dbl_3", 96, (3, 3)),
        ],
    ]
    return Block(288, branches, _halved, halve=True)


def _c(width: int) -> Block:
    branches = [
        [("branch1x1", 192, (1, 1))],
        [
            ("branch7x7_1", width, (1, 1)),
            ("branch7x7_2", width, (1, 7)),
            ("branch7x7_3", 192, (7, 1)),
        ],
        [
            ("branch7x7dbl_1", width, (1, 1)),
            ("branch7x7dbl_2", width, (7, 1)),
            ("branch7x7dbl_3", width, (1, 7)),
            ("branch7x7dbl_4", width, (7, 1)),
            ("branch7x7dbl_5", 192, (1, 7)),
        ],
    ]
    return Block(768, branches, _average, 192)


def _d() -> Block:
    branches = [
        [("branch3x3_1", 192, (1, 1)), ("branch3x3_2", 320, (3, 3))],
        [
            ("branch7x7x3_1", 192, (1, 1)),
            ("branch7x7x3_2", 192, (1, 7)),
            ("branch7x7x3_3", 192, (7, 1)),
            ("branch7x7x3_4", 192, (3, 3)),
        ],
    ]
    return Block(768, branches, _halved, halve=True)


def _e(into: int, pool: _Pool) -> Block:
    branches = [
        [("branch1x1", 320, (1, 1))],
        [
            ("branch3x3_1", 384, (1, 1)),
            ("branch3x3_2a", 384, (1, 3)),
            ("branch3x3_2b", 384, (3, 1)),
        ],
        [
            ("branch3x3dbl_1", 448, (1, 1)),
            ("branch3x3dbl_2", 384, (3, 3)),
            ("branch3x3dbl_3a", 384, (1, 3)),
            ("branch3x3dbl_3b", 384, (3, 1)),
        ],
    ]
    return Block(into, branches, pool, 192)


class Inception(nn.Module):
    """From N x 3 x S x S float32 images in [-1, 1] to N x 2048 features.

    >>> Inception().eval()(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 2048])
    """

    def __init__(self) -> None:
        super().__init__()
        for name, into, out, kernel, stride, pad in (
            ("Conv2d_1a_3x3", 3, 32, 3, 2, False),
            ("Conv2d_2a_3x3", 32, 32, 3, 1, False),
            ("Conv2d_2b_3x3", 32, 64, 3, 1, True),
            ("Conv2d_3b_1x1", 64, 80, 1, 1, False),
            ("Conv2d_4a_3x3", 80, 192, 3, 1, False),
        ):
            self.add_module(name, Convolution(into, out, (kernel, kernel), stride, pad))
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _a(192, 32), _a(256, 64), _a(288, 64)
        self.Mixed_6a = _b()
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = map(_c, (128, 160, 160, 192))
        self.Mixed_7a = _d()
        self.Mixed_7b, self.Mixed_7c = _e(1280, _average), _e(2048, _maximum)
        self.fc = nn.Linear(FEATURES, CLASSES)  # in the file; no feature comes from it

    def forward(self, images: Tensor) -> Tensor:
        x = resize(((images + 1) * 127.5).round())
        x = (x - 128) / 128
        for name, part in self.named_children():
            if part is not self.fc:
                x = part(x)
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                x = _halved(x)
        return x.mean((2, 3))


def resize(images: Tensor, side: int = SIDE) -> Tensor:
    """Resize square images as TensorFlow 1 does: bilinear, the first pixel at the first.

        >>> resize(torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]]), 4)[0, 0, 0].tolist()
        [0.0, 0.5, 1.0, 1.0]

    images: N x C x S x S float. FID's numbers depend on it (Parmar, Zhang and Zhu 2022).
    """
    size = images.shape[3]
    at = torch.arange(side, dtype=torch.float64) * size / side
    low = at.floor().long()
    share = (at - low).to(images)
    rows = torch.arange(side)
    matrix = images.new_zeros(side, size)
    matrix[rows, low] += 1 - share
    matrix[rows, (low + 1).clamp(max=size - 1)] += share
    return matrix @ images @ matrix.T


@dataclass(frozen=True, eq=False)
class InceptionExtractor:
    """Inception with the published weights, named after its file; see `read`."""

    path: Path
    sha256: str
    network: Inception

    def __call__(self, images: Tensor) -> Tensor:
        """N x 1 or 3 x S x S images in [-1, 1] to N x 2048 features, on the CPU."""
        device = self.network.fc.weight.device
        coloured = images.expand(-1, 3, -1, -1)
        with torch.no_grad():
            parts = [self.network(part.to(device)).cpu() for part in coloured.split(BATCH)]
        return torch.cat(parts)

    def to(self, device: torch.device) -> InceptionExtractor:
        """The same on a device."""
        self.network.to(device)
        return self


def is_published(path: Path) -> bool:
    """Whether a file is the published weights, by its SHA-256."""
    return files.sha256(path).startswith(SHA256)


def read(path: Path) -> InceptionExtractor:
    """Read the published weights, as data.

        >>> read(Path("pt_inception-2015-12-05-6726825d.pth"))(images).shape
        torch.Size([64, 2048])

    Raises InputError for a file of another SHA-256, and for weights of another network.
    """
    sha256 = files.sha256(path)
    if not sha256.startswith(SHA256):
        raise InputError(
            f"{path}: found SHA-256 {sha256[:8]}..., expected {SHA256}...: the Inception network "
            f"of FID, {NAME} as pytorch-fid and torch-fidelity publish it; or a file of "
            "torch.export.save"
        )
    network = Inception()
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch's own, of many kinds
        raise InputError(f"{path}: found no weights of FID's Inception network") from error
    return InceptionExtractor(path, sha256, network.eval().requires_grad_(False))
