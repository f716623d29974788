"""What a user would train a DCGAN with instead: the example of pytorch/examples.

Written afresh from its published hyper-parameters and structure (main.py of its folder dcgan):
kernels of 4, Gaussian z of 100, 64 filters, batches of 64, Adam of 2e-4 and 0.5, binary cross
entropy on a sigmoid, two separate backward passes of D, one generator pass for both updates, a
DataLoader of 2 workers that decodes, resizes and crops each image with Pillow at every epoch, and
four losses read off at every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

Z, BATCH, SIZE = 100, 64, 64


def generator(width: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.ConvTranspose2d(Z, width * 8, 4, 1, 0, bias=False)]
    for maps in (8, 4, 2, 1):
        layers += [nn.BatchNorm2d(width * maps), nn.ReLU(True)]
        out = width * maps // 2 if maps > 1 else 3
        layers += [nn.ConvTranspose2d(width * maps, out, 4, 2, 1, bias=False)]
    return nn.Sequential(*layers, nn.Tanh())


def discriminator(width: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for maps in (1, 2, 4):
        layers += [nn.Conv2d(width * maps, width * maps * 2, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(width * maps * 2), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(width * 8, 1, 4, 1, 0, bias=False), nn.Sigmoid())


def initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


class Folder(Dataset):
    """Images of a folder as torchvision's Resize, CenterCrop, ToTensor and Normalize give them."""

    def __init__(self, folder: Path):
        self.paths = sorted(folder.iterdir())

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        image = Image.open(self.paths[index]).convert("RGB")
        scale = SIZE / min(image.size)
        width, height = (round(side * scale) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - SIZE) // 2, (height - SIZE) // 2
        image = image.crop((left, top, left + SIZE, top + SIZE))
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255
        return (pixels - 0.5) / 0.5


def from_folder(folder: Path) -> Iterator[Tensor]:
    """Endless minibatches, by the example's DataLoader."""
    while True:
        yield from DataLoader(Folder(folder), BATCH, shuffle=True, num_workers=2, drop_last=True)


def from_memory(images: Tensor) -> Iterator[Tensor]:
    """Endless minibatches of images N x 3 x 64 x 64 that are float32 tensors already."""
    while True:
        for rows in torch.randperm(len(images)).split(BATCH):
            if len(rows) == BATCH:
                yield images[rows]


class Example:
    """The example's two networks and what it does with a minibatch."""

    def __init__(self, width: int, seed: int, device: str):
        torch.manual_seed(seed)
        self.device = torch.device(device)
        self.g = generator(width).to(device)
        self.d = discriminator(width).to(device)
        self.g.apply(initialise)
        self.d.apply(initialise)
        self.criterion = nn.BCELoss()
        self.adam_d = torch.optim.Adam(self.d.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.adam_g = torch.optim.Adam(self.g.parameters(), lr=2e-4, betas=(0.5, 0.999))

    def step(self, real: Tensor) -> tuple[float, float]:
        self.d.zero_grad()
        real = real.to(self.device)
        label = torch.full((len(real),), 1.0, device=self.device)
        loss_real = self.criterion(self.d(real).view(-1), label)
        loss_real.backward()
        fake = self.g(torch.randn(len(real), Z, 1, 1, device=self.device))
        label.fill_(0.0)
        loss_fake = self.criterion(self.d(fake.detach()).view(-1), label)
        loss_fake.backward()
        self.adam_d.step()
        self.g.zero_grad()
        label.fill_(1.0)
        loss_g = self.criterion(self.d(fake).view(-1), label)
        loss_g.backward()
        self.adam_g.step()
        return (loss_real + loss_fake).item(), loss_g.item()

    def samples(self, n: int) -> Tensor:
        """n x 3 x 64 x 64 in [-1, 1], in eval mode."""
        self.g.eval()
        z = torch.randn(n, Z, 1, 1, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            return torch.cat([self.g(part.to(self.device)).cpu() for part in z.split(BATCH)])
