"""Near-duplicates in a training set, by the binary codes of a denoising autoencoder.

Section 4.1 of the paper. `fit` trains the autoencoder, `codes` gives the 128 bits of each image,
`hashing.groups` puts together those with equal bits; the rest tells whether to believe it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dcgan_probe.dedup.hashing import BITS, Usage
from dcgan_probe.errors import InputError

SIZE = 32
PIXELS = 3 * SIZE * SIZE
BATCH = 2048  # images encoded or compared at once; results do not depend on it
PAIRS = 10_000  # random pairs that tell how alike images of the set are by chance
LARGE = 20  # a group of this size is suspicious however small the set


@dataclass(frozen=True)
class Settings:
    """How the autoencoder is trained.

    noise: standard deviation of the normal noise on its input, in standard deviations of an image.
    dropout: share of the code's units that are dropped.
    steps, batch: updates, and images in each, drawn with replacement.
    rate: of Adam.
    seed: of the initial weights, the images drawn, the noise and the dropout.

    The paper gives none of these numbers; docs/dedup.md says how they were chosen.
    """

    noise: float = 2.0
    dropout: float = 0.2
    steps: int = 4000
    batch: int = 128
    rate: float = 1e-3
    seed: int = 0


class Autoencoder(nn.Module):
    """3072-128-3072: one linear layer with ReLU, which makes the code, and one back.

    >>> Autoencoder()(torch.zeros(4, 3072)).shape
    torch.Size([4, 3072])
    """

    def __init__(self, seed: int = 0):
        super().__init__()
        draws = torch.Generator().manual_seed(seed)
        self.encoder = nn.utils.skip_init(nn.Linear, PIXELS, BITS)
        self.decoder = nn.utils.skip_init(nn.Linear, BITS, PIXELS)
        for layer in (self.encoder, self.decoder):
            bound = layer.in_features**-0.5  # nn.Linear's own, but drawn from our seed
            for weight in layer.parameters():
                nn.init.uniform_(weight, -bound, bound, generator=draws)

    def forward(self, images: Tensor, kept: Tensor | float = 1.0) -> Tensor:
        """Images decoded from their codes; kept: factors of dropout on the code's units."""
        return self.decoder(F.relu(self.encoder(images)) * kept)


def fit(
    pixels: np.ndarray,
    settings: Settings = Settings(),
    device: str | torch.device = "cpu",
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Autoencoder:
    """Train the autoencoder to restore images from noisy ones, through a code with dropout.

        >>> model = fit(pixels, Settings(seed=3))

    pixels: N x 3 x 32 x 32 uint8, an array or a memory map; memory holds one batch of it.
    progress: wraps the numbers of the steps, as tqdm does.

    Raises InputError for pixels of another shape or type, or fewer than two images.
    """
    check(pixels)
    model = Autoencoder(settings.seed).to(device)
    adam = torch.optim.Adam(model.parameters(), settings.rate)
    draws = torch.Generator().manual_seed(settings.seed + 1)
    keep = 1 - settings.dropout
    for _ in progress(range(settings.steps)):
        # Drawn on the CPU whatever the device, so that one seed means one training.
        rows = torch.randint(len(pixels), (settings.batch,), generator=draws)
        noise = torch.randn(settings.batch, PIXELS, generator=draws) * settings.noise
        kept = torch.rand(settings.batch, BITS, generator=draws).lt(keep).float() / keep
        images = contrasts(pixels[rows.numpy()]).to(device)
        loss = F.mse_loss(model(images + noise.to(device), kept.to(device)), images)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return model


def codes(
    model: Autoencoder,
    pixels: np.ndarray,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> np.ndarray:
    """The 128 bits of each image: which units of the code are above zero.

        >>> codes(model, pixels).shape
        (20000, 16)

    pixels: N x 3 x 32 x 32 uint8. Returns N x 16 uint8, eight units a byte.
    """
    check(pixels, least=1)
    device = model.encoder.weight.device
    packed = np.empty((len(pixels), BITS // 8), np.uint8)
    with torch.no_grad():
        for start in progress(range(0, len(pixels), BATCH)):
            images = contrasts(pixels[start : start + BATCH]).to(device)
            packed[start : start + BATCH] = np.packbits(
                model.encoder(images).gt(0).cpu().numpy(), axis=1
            )
    return packed


def contrasts(pixels: np.ndarray) -> Tensor:
    """Images less their mean, in standard deviations: N x 3072 float32.

    A change of brightness or contrast leaves an image nearly what it was. A hundredth of the range
    is added to the deviation, so that the grain of a plain image is not blown up to a pattern.
    """
    flat = torch.from_numpy(pixels.astype(np.float32)).flatten(1).div_(255)
    flat -= flat.mean(1, keepdim=True)
    return flat.div_(flat.square().mean(1, keepdim=True).sqrt_().add_(0.01))


def check(pixels: np.ndarray, least: int = 2) -> None:
    """Raise InputError unless pixels are 3 x 32 x 32 uint8 images, and enough of them."""
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (3, SIZE, SIZE):
        raise InputError(
            f"images: found {pixels.dtype} {pixels.shape}, expected uint8 (N, 3, {SIZE}, {SIZE})"
        )
    if len(pixels) < least:
        raise InputError(f"images: found {len(pixels)}, expected at least {least} to compare")


def likeness(pixels: np.ndarray, groups: Sequence[np.ndarray]) -> np.ndarray:
    """How alike the images of each group are: the least correlation with its first, -1 to 1.

        >>> likeness(pixels, [np.array([0, 2])])
        array([0.998], dtype=float32)

    The correlation is of 3072 pixels, so it is free of brightness and contrast, and does not enter
    the codes: it tells the groups to look at first.
    """
    if not groups:
        return np.empty(0, np.float32)
    sizes = np.array([len(group) - 1 for group in groups])
    firsts = np.repeat([group[0] for group in groups], sizes)
    each = _correlations(pixels, firsts, np.concatenate([group[1:] for group in groups]))
    return np.minimum.reduceat(each, np.cumsum(sizes) - sizes)


def chance_likeness(pixels: np.ndarray, seed: int = 0) -> float:
    """The correlation that one in a hundred random pairs of different images exceeds."""
    draws = np.random.default_rng(seed)
    firsts = draws.integers(0, len(pixels), PAIRS)
    others = (firsts + draws.integers(1, len(pixels), PAIRS)) % len(pixels)
    return float(np.quantile(_correlations(pixels, firsts, others), 0.99))


def _correlations(pixels: np.ndarray, firsts: np.ndarray, others: np.ndarray) -> np.ndarray:
    correlations = np.empty(len(firsts), np.float32)
    for start in range(0, len(firsts), BATCH):
        part = slice(start, start + BATCH)
        a, b = contrasts(pixels[firsts[part]]), contrasts(pixels[others[part]])
        correlations[part] = F.cosine_similarity(a, b).numpy()
    return correlations


def warnings(
    n: int, groups: Sequence[np.ndarray], alike: np.ndarray, chance: float, used: Usage
) -> list[str]:
    """Why the groups should not be believed as they are, in words; nothing if there is no reason.

    n: images in all; alike: `likeness` of the groups; chance: `chance_likeness`.
    """
    reasons = []
    largest = max((len(group) for group in groups), default=0)
    dropped = sum(len(group) - 1 for group in groups)
    unlike = int((alike <= chance).sum())
    if used.entropy < 2 * math.log2(n) - 1:
        reasons.append(
            f"THE CODES ARE TOO POOR: at most {used.entropy:.0f} bits of entropy, and {n} images "
            f"share some by chance below {2 * math.log2(n) - 1:.0f}; {used.never} of {BITS} units "
            f"are never on, {used.always} always"
        )
    if largest > max(LARGE, n // 100):
        reasons.append(f"ONE GROUP HOLDS {largest} of {n} images")
    if dropped > n // 10:
        reasons.append(f"MANY ARE DROPPED: {dropped} of {n} images (the paper's share was 9%)")
    if unlike > len(groups) // 100:
        reasons.append(
            f"{unlike} of {len(groups)} GROUPS ARE NO MORE ALIKE THAN RANDOM PAIRS: correlation "
            f"of pixels at most {chance:.2f}, which one random pair in a hundred exceeds"
        )
    return reasons
