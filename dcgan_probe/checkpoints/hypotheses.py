"""Choose, by the statistics of batch norms, what a file of weights does not hold.

A hypothesis (how z is drawn, eps, slopes, strides, upsampling, the order of norms and activations)
says what enters a norm; the statistics that training left there say which one is right. Norms are
asked one after the other, in the order of the data, so each choice is about what lies between two
of them. What was said by the user is not put to the test.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from dcgan_probe import latents
from dcgan_probe.checkpoints.facts import Facts
from dcgan_probe.checkpoints.statistics import FITS, NormFit, distance, fit, misfit, moments
from dcgan_probe.checkpoints.structure import StoredLayer, StoredNetwork
from dcgan_probe.networks.chain import upsampling
from dcgan_probe.networks.chain_config import UPSAMPLING, ChainBlock, ChainConfig, activated

LATENTS = 256
FEWER, LARGE = 128, 4_000_000  # for networks of so many weights
NOISE = 0.06  # of a `NormFit.distance`, with so few latents
EXACT = 0.02  # where moments follow from the weights, without latents
NEARER = 0.6
SCREENED = 16  # latents by which hypotheses are ranked
SHORTLISTED = 3  # of them, that are looked at with all
CHANGES = 3  # facts that are changed at once between two norms; of a large network one less
SLOPES = (0.0, 0.2, None, 0.1, 0.01, 0.3)  # None: no activation
DROPOUT = (0.0, 0.25, 0.5)
EPSILONS = (1e-5, 0.8, 1e-3, 1e-8)
SURE = 0.1  # of a distance, where several facts are changed
OUTPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "clip": F.hardtanh,
}
MOST_CLASSES = 200
USUAL_Z = {16, 32, 50, 62, 64, 100, 128, 200, 256, 512}


@dataclass(frozen=True)
class Choice:
    """The config that was chosen; what the statistics showed, by fact; and how they fit."""

    config: ChainConfig
    fits: tuple[NormFit, ...]
    shown: dict[str, str]

    @property
    def misfit(self) -> float:
        return misfit(self.fits)


@dataclass(frozen=True)
class _Between:
    """What lies between a norm and the next, beside weights. slope: None for no activation.

    config: how z is drawn, and the strides. norm_last: the next norm is behind the activation.
    dropout: behind activations, while the statistics were made; it leaves no other trace.
    """

    config: ChainConfig
    eps: float
    slope: float | None
    norm_last: bool = False
    upsampling: str = UPSAMPLING[0]
    dropout: float = 0.0


def choose(candidates: list[ChainConfig], network: StoredNetwork, facts: Facts) -> Choice:
    """The first candidate, unless the generator's statistics speak for another hypothesis.

    Where what enters a norm does not fit it to within `NOISE`, the hypothesis that fits best is
    taken if it fits much better (`NEARER`). If at the end not all norms fit (`statistics.FITS`),
    the first candidate is returned, with what enters its norms.
    """
    best = _along(candidates, network, facts, free=True)
    return best if best.misfit <= FITS else _along(candidates[:1], network, facts, free=False)


def choose_discriminator(
    config: ChainConfig, network: StoredNetwork, before_output: Tensor, facts: Facts
) -> Choice:
    """The config, unless the discriminator's statistics speak for another hypothesis.

    before_output: what the generator puts out, without its last activation. Here a fact holds for
    all layers. The statistics are also those of real images, which are not there, so one fact is
    changed after the other, only while they do not fit at all (`FITS`), and only where one brings
    the network much nearer to them.
    """
    best = plain = _as_it_is(config, network, before_output)
    changed: set[str] = set()
    while best.misfit > FITS:
        tried = [
            (name, _as_it_is(other, network, before_output, dropout))
            for name, other, dropout in _changes(best.config, facts)
            if name not in changed
        ]
        name, found = min(tried, key=lambda each: distance(each[1].fits), default=("", best))
        if distance(found.fits) > NEARER * distance(best.fits):
            break
        best = found
        changed.add(name)
    shown = _shown(plain.config, best.config, "discriminator")
    if "output" in changed:
        shown["output"] = f"output {best.config.generator[-1].activation}"
    return replace(best, shown=shown)


def _changes(config: ChainConfig, facts: Facts) -> Iterator[tuple[str, ChainConfig, float]]:
    """Configs with one fact of the discriminator changed, and dropout as training may have had."""
    blocks = config.discriminator
    if facts.output is None:
        yield "output", _ending(config, "sigmoid"), 0.0
    behind = tuple(replace(each, norm_last=each.norm == "batch") for each in blocks)
    for dropout in DROPOUT:
        yield "norms", replace(config, discriminator=behind), dropout
    if facts.d_slope is None:
        for slope in SLOPES:
            hidden = [activated(each, slope) for each in blocks[:-1]]
            yield "slope", replace(config, discriminator=(*hidden, blocks[-1])), 0.0
    if facts.eps is None:
        for eps in EPSILONS:
            other = tuple(_normed(each, eps) for each in blocks)
            yield "eps", replace(config, discriminator=other), 0.0


def _as_it_is(
    config: ChainConfig, network: StoredNetwork, before_output: Tensor, dropout: float = 0.0
) -> Choice:
    """A config, with what enters the norms of its discriminator."""
    x = OUTPUTS[config.generator[-1].activation](before_output)
    fits: list[NormFit] = []
    before = -1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for at, layer in enumerate(network.layers):
            if layer.norm is None or "running_mean" not in layer.norm.tensors:
                continue
            block, last = config.discriminator[max(before, 0)], config.discriminator[at].norm_last
            guess = _Between(config, block.eps, _slope(block), last, dropout=dropout)
            path = _Path(network, config.discriminator, before, at, x)
            x = path.enters(guess)
            fits.append(path.fit_of(x))
            before = at
    return Choice(config, tuple(fits), {})


def _ending(config: ChainConfig, output: str) -> ChainConfig:
    """A config whose generator ends in another activation."""
    last = replace(config.generator[-1], activation=output)
    images = "[0, 1]" if output == "sigmoid" else "[-1, 1]"
    return replace(config, generator=(*config.generator[:-1], last), images=images)


def _along(
    candidates: list[ChainConfig], network: StoredNetwork, facts: Facts, free: bool
) -> Choice:
    """The config that fits best, norm by norm. free: else the first candidate as it is."""
    first = candidates[0]
    blocks = list(first.generator)
    usual = _Between(first, blocks[0].eps, _slope(blocks[0]))
    fits: list[NormFit] = []
    before = -1
    x: Tensor | None = None
    for at, layer in enumerate(network.layers):
        if layer.norm is None or "running_mean" not in layer.norm.tensors:
            continue
        path = _Path(network, blocks, before, at, x)
        chosen, near = usual, path.fit(usual)
        enough = EXACT if path.is_exact(usual) else NOISE
        if free and near.distance > enough:
            chosen, near = _nearest(usual, near, enough, candidates, path, facts)
        fits.append(near)
        x = path.enters(chosen)
        blocks = path.described(chosen)
        candidates = [
            _drawn_as(each, chosen.config)
            for each in candidates
            if _steps(each, at) == _steps(chosen.config, at)
        ]
        usual, before = replace(chosen, config=candidates[0]), at
    config = replace(usual.config, generator=_ended(usual, blocks, before))
    config = _eps_of_both(first, config)
    return Choice(config, tuple(fits), _shown(first, config, "generator"))


def _nearest(
    usual: _Between,
    near: NormFit,
    enough: float,
    candidates: list[ChainConfig],
    path: _Path,
    facts: Facts,
) -> tuple[_Between, NormFit]:
    """The hypothesis that fits a norm best, or the usual one if that is not much worse."""
    best, nearest = usual, near
    ranked = _others(usual, candidates, path, facts)
    for changes in sorted(ranked):
        if nearest.distance <= enough:
            break
        promising = sorted(ranked[changes], key=lambda each: path.fit(each, SCREENED).distance)
        fits = [(path.fit(other), other) for other in promising[:SHORTLISTED]]
        found, other = min(fits, key=lambda each: each[0].distance)
        # With enough facts changed, or other strides, something always fits a little.
        same = _steps(other.config, path.at) == _steps(usual.config, path.at)
        sure = (changes == 1 and same) or found.distance <= SURE
        gain = nearest.distance - found.distance
        if sure and found.distance < NEARER * nearest.distance and gain > enough / 2:
            best, nearest = other, found
    return best, nearest


def _eps_of_both(usual: ChainConfig, config: ChainConfig) -> ChainConfig:
    """A discriminator has the eps that was found at the end of the generator."""
    found = [block.eps for block in config.generator if block.norm != "none"]
    if not found or found[-1] == usual.generator[0].eps:
        return config
    blocks = tuple(_normed(block, found[-1]) for block in config.discriminator)
    return replace(config, discriminator=blocks)


def _slope(block: ChainBlock) -> float | None:
    return None if block.activation == "none" else block.slope


class _Path:
    """The way from a norm, or from the input, to the next norm."""

    def __init__(
        self,
        network: StoredNetwork,
        blocks: Sequence[ChainBlock],
        before: int,
        at: int,
        x: Tensor | None,
    ):
        self.network, self.blocks, self.before, self.at = network, list(blocks), before, at
        self.x = x  # what enters the norm before, or a discriminator

    def is_exact(self, guess: _Between) -> bool:
        """Whether only a layer lies between z and the norm, so that its moments are known."""
        return self.x is None and self.at == 0 and not guess.norm_last

    def fit(self, guess: _Between, count: int | None = None) -> NormFit:
        """What enters the norm, beside what it has stored. count: of the first inputs only."""
        if not self.is_exact(guess):
            return self.fit_of(self.enters(guess, count))
        layer = self.network.layers[self.at]
        return self._fit(*_moments_of_first(layer, self._block(0, guess), guess.config))

    def fit_of(self, entering: Tensor) -> NormFit:
        """What `enters` gave, beside what the norm has stored."""
        return self._fit(*moments(entering))

    def _fit(self, mean: Tensor, variance: Tensor) -> NormFit:
        layer = self.network.layers[self.at]
        assert layer.norm is not None
        stored = (layer.norm.tensors[f"running_{name}"].float() for name in ("mean", "var"))
        return fit(layer.norm.path, mean, variance, *stored)

    @torch.no_grad()
    def enters(self, guess: _Between, count: int | None = None) -> Tensor:
        """What enters the norm."""
        layers = self.network.layers
        x = (_drawn(guess.config, self.network) if self.x is None else self.x)[:count]
        if self.before >= 0:
            x = _normalise(layers[self.before], x, guess.eps)
            block = self.blocks[self.before]
            if block.norm == "unit":
                x = x.reshape(len(x), block.filters, block.side, block.side)
            if not block.norm_last:
                x = _activate(x, guess)
        for i in range(self.before + 1, self.at + 1):
            block = self._block(i, guess)
            x = _weigh(layers[i], block, x)
            if i < self.at and block.norm == "instance":
                norm = layers[i].norm
                assert norm is not None
                gain, bias = (norm.tensors.get(name) for name in ("weight", "bias"))
                x = F.instance_norm(x, weight=gain, bias=bias, eps=guess.eps)
            if i < self.at or guess.norm_last:
                x = _activate(x, guess)
        return x

    def described(self, guess: _Between) -> list[ChainBlock]:
        """All blocks, with what was chosen for those up to the norm."""
        blocks = self.blocks
        if self.before >= 0:
            block = _normed(blocks[self.before], guess.eps)
            blocks[self.before] = block if block.norm_last else activated(block, guess.slope)
        for i in range(self.before + 1, self.at + 1):
            block = self._block(i, guess)
            if i < self.at or guess.norm_last:
                block = activated(block, guess.slope)
            blocks[i] = replace(block, norm_last=guess.norm_last and i == self.at)
        return blocks

    def _block(self, i: int, guess: _Between) -> ChainBlock:
        return _stepped(self.blocks[i], getattr(guess.config, self.network.part)[i], guess)


def _stepped(block: ChainBlock, like: ChainBlock, guess: _Between) -> ChainBlock:
    """A block with the strides of another."""
    return replace(
        block,
        stride=like.stride,
        padding=like.padding,
        output_padding=like.output_padding,
        upsample=like.upsample,
        upsampling=guess.upsampling if like.upsample > 1 else block.upsampling,
    )


def _normed(block: ChainBlock, eps: float) -> ChainBlock:
    return block if block.norm == "none" else replace(block, eps=eps)


def _ended(usual: _Between, blocks: list[ChainBlock], before: int) -> tuple[ChainBlock, ...]:
    """The blocks, those behind the last norm as the ones before: nothing shows what they are."""
    last = len(blocks) - 1
    for i in range(max(before, 0), last + 1):
        block = blocks[i]
        if i > before:
            block = _stepped(block, usual.config.generator[i], usual)
        if i < last and not block.norm_last:
            block = activated(block, usual.slope)
        blocks[i] = _normed(block, usual.eps)
    return tuple(blocks)


def _others(
    usual: _Between, candidates: list[ChainConfig], path: _Path, facts: Facts
) -> dict[int, list[_Between]]:
    """Hypotheses, by how many facts are changed in them."""
    at = path.at
    configs = {tuple(_steps(each, at)): each for each in reversed(candidates)}
    drawn = [usual.config]
    if path.before < 0:
        drawn += _draws(usual.config, path.network, facts)
    slopes = SLOPES if facts.slope is None else (facts.slope, None)
    epsilons = EPSILONS if facts.eps is None and path.before >= 0 else (usual.eps,)
    most = CHANGES - (_size(path.network) > LARGE)
    ranked: dict[int, list[_Between]] = {}
    for config, draw, eps, slope, last, mode in itertools.product(
        configs.values(), drawn, epsilons, slopes, (False, True), UPSAMPLING
    ):
        between = range(path.before + 1, at + 1)
        if mode != UPSAMPLING[0] and not any(config.generator[i].upsample > 1 for i in between):
            continue
        inside = path.before >= 0 or at > path.before + 1  # whether there is an activation
        if not (inside or last) and slope != usual.slope or (last and slope is None):
            continue
        other = _Between(_drawn_as(config, draw), eps, slope, last, mode)
        changes = sum(
            (
                _steps(config, at) != _steps(usual.config, at),
                draw is not usual.config,
                eps != usual.eps,
                slope != usual.slope,
                last != usual.norm_last,
                mode != usual.upsampling,
            )
        )
        if 0 < changes <= most:
            ranked.setdefault(changes, []).append(other)
    return ranked


def _size(network: StoredNetwork) -> int:
    return sum(layer.weight.numel() for layer in network.layers)


def _steps(config: ChainConfig, at: int) -> list[tuple[int, int, int, int]]:
    """Strides, paddings and upsampling up to a block."""
    return [
        (block.stride, block.padding, block.output_padding, block.upsample)
        for block in config.generator[: at + 1]
    ]


def _drawn_as(config: ChainConfig, draw: ChainConfig) -> ChainConfig:
    """A config whose z is drawn as that of another."""
    return replace(
        config,
        z_size=draw.z_size,
        z_distribution=draw.z_distribution,
        classes=draw.classes,
        label=draw.label,
    )


def _shown(usual: ChainConfig, config: ChainConfig, part: str) -> dict[str, str]:
    """What sets a config apart from the usual one, in words."""
    shown = {}
    if config.z_distribution != usual.z_distribution:
        shown["z"] = f"z {config.z_distribution}"
    if config.classes != usual.classes:
        inputs = config.z_size + config.classes
        shown["class"] = f"the last {config.classes} of {inputs} inputs a one-hot class"
    before, blocks = getattr(usual, part), getattr(config, part)
    pairs = list(zip(before, blocks, strict=True))
    hidden = [(a, b) for a, b in pairs[:-1]]
    if any((a.activation, a.slope) != (b.activation, b.slope) for a, b in hidden):
        words = ["none" if b.activation == "none" else f"{b.slope:g}" for _, b in hidden]
        listed = words[0] if len(set(words)) == 1 else ", ".join(words)
        shown["slope"] = f"slope {listed} in the {part}"
    normed = [(a, b) for a, b in pairs if b.norm != "none"]
    if any(a.eps != b.eps for a, b in normed):
        values = [f"{b.eps:g}" for _, b in normed]
        listed = values[0] if len(set(values)) == 1 else ", ".join(values)
        shown["eps"] = f"eps {listed}" + (f" in the {part}" if part == "discriminator" else "")
    if any(a.norm_last != b.norm_last for a, b in pairs):
        shown["norms"] = f"norms behind the activations of the {part}"
    if any(b.upsampling != UPSAMPLING[0] for _, b in pairs):
        shown["upsampling"] = f"{blocks[-2].upsampling} upsampling"
    if part == "generator" and _steps(usual, len(blocks)) != _steps(config, len(blocks)):
        steps = " ".join(f"{b.stride}/{b.padding}" for b in blocks)
        shown["strides"] = f"strides and paddings {steps}"
    return shown


# How z is drawn


def _draws(config: ChainConfig, network: StoredNetwork, facts: Facts) -> Iterator[ChainConfig]:
    """Configs whose z is drawn in another way."""
    distributions = [facts.z] if facts.z else ["uniform", "normal"]
    counts = [config.classes]
    if facts.label is None and (classes := _classes(config, network)):
        counts.append(classes)
    for distribution, classes in itertools.product(distributions, counts):
        z = config.z_size + config.classes - classes
        if (distribution, classes) != (config.z_distribution, config.classes):
            yield replace(config, z_distribution=distribution, z_size=z, classes=classes, label=0)


def _rows(layer: StoredLayer, block: ChainBlock) -> Tensor:
    """What each input adds to the maps of the first layer: inputs x maps x locations."""
    weight = layer.weight.float()
    if layer.kind == "linear":
        assert layer.norm is not None
        return weight.T.reshape(weight.shape[1], layer.norm.width, -1)
    one = torch.eye(layer.inputs)[:, :, None, None]
    return _weigh(replace(layer, bias=None), block, one).flatten(2)


def _moments_of_first(
    layer: StoredLayer, block: ChainBlock, config: ChainConfig
) -> tuple[Tensor, Tensor]:
    """Mean and variance of each map of the first layer, over all z, classes and locations."""
    rows = _rows(layer, block)
    z, of_class = rows[: config.z_size], rows[config.z_size :]
    variance = z.square().sum(0) * (1 / 3 if config.z_distribution == "uniform" else 1.0)
    mean = torch.zeros_like(variance)
    if config.classes:
        mean = of_class.mean(0)
        variance = variance + of_class.var(0, correction=0)
    bias: Tensor | float = 0.0
    if layer.bias is not None:
        assert layer.norm is not None
        by_map = layer.bias.float().reshape(layer.norm.width, -1)
        mean = mean + by_map
    return mean.mean(1) + bias, variance.mean(1) + mean.var(1, correction=0)


def _classes(config: ChainConfig, network: StoredNetwork) -> int:
    """How many of the last inputs look like a one-hot class, by the means of the first norm.

    A z with mean 0 leaves means of 0 behind. A class leaves the mean of its rows of weights.
    """
    first = network.layers[0]
    if first.norm is None or "running_mean" not in first.norm.tensors:
        return 0
    rows = _rows(first, config.generator[0]).mean(2)
    stored = first.norm.tensors["running_mean"].float()
    if first.bias is not None:
        stored = stored - first.bias.float().reshape(len(stored), -1).mean(1)
    most = min(len(rows) - 1, MOST_CLASSES)
    sums = rows.flip(0)[:most].cumsum(0)[1:]  # of the last 2, 3, ... rows
    if not len(sums):
        return 0
    alike = F.cosine_similarity(sums, stored[None], dim=1)
    # Of maps that have nothing to do with each other it is below 4 standard deviations.
    if not alike.max() >= max(0.3, 4 / len(stored) ** 0.5):  # nor NaN, which is refused later
        return 0
    several = (alike > 0.9 * alike.max()).nonzero().flatten() + 2

    values = first.norm.tensors
    means, variances = (values[f"running_{name}"].float() for name in ("mean", "var"))

    def unlikely(classes: int) -> float:
        """Minus the logarithm of the likelihood, but for constants, of normal means.

        Neighbouring numbers are hard to tell apart: one that leaves a customary z is preferred.
        """
        draw = replace(config, z_size=len(rows) - classes, classes=classes, label=0)
        mean, variance = _moments_of_first(first, config.generator[0], draw)
        shifts = (mean - means).square() / variance
        far = float((2 * shifts + (variance / variances).log().square()).mean())
        return far * (1 if draw.z_size in USUAL_Z else 1.3)

    return min(several.tolist(), key=unlikely)


def _drawn(config: ChainConfig, network: StoredNetwork) -> Tensor:
    """Latents, and classes behind them, as training drew them."""
    count = FEWER if _size(network) > LARGE else LATENTS
    z = latents.sample(config, count, seed=0)
    if not config.classes:
        return z
    labels = torch.arange(count) % config.classes
    return torch.cat([z, F.one_hot(labels, config.classes).float()], 1)


# What layers compute


def _weigh(layer: StoredLayer, block: ChainBlock, x: Tensor) -> Tensor:
    weight = layer.weight.float()
    bias = None if layer.bias is None else layer.bias.float()
    if layer.kind == "linear":
        x = F.linear(x.flatten(1), weight, bias)
        return x if block.norm == "unit" else x.reshape(len(x), block.filters, block.side, -1)
    x = x.reshape(len(x), -1, 1, 1) if x.dim() == 2 else x
    if block.upsample > 1:
        x = upsampling(block)(x)
    if layer.kind == "conv":
        return F.conv2d(x, weight, bias, block.stride, block.padding)
    return F.conv_transpose2d(x, weight, bias, block.stride, block.padding, block.output_padding)


def _normalise(layer: StoredLayer, x: Tensor, eps: float) -> Tensor:
    assert layer.norm is not None
    values = {name: tensor.float() for name, tensor in layer.norm.tensors.items()}
    stored = values["running_mean"], values["running_var"]
    return F.batch_norm(x, *stored, values.get("weight"), values.get("bias"), eps=eps)


def _activate(x: Tensor, guess: _Between) -> Tensor:
    if guess.slope is not None:
        x = F.leaky_relu(x, guess.slope)
    return F.dropout2d(x, guess.dropout) if guess.dropout and x.dim() == 4 else x
