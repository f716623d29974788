"""Infer what a file of weights does not record from batch-norm statistics.

A hypothesis (how z is drawn, eps, slopes, strides, upsampling, the order of norms and activations)
says what enters a norm; the statistics that training left there say which one is right. Norms are
asked one after the other, in the order of the data, so each choice is about what lies between two
of them. Facts that the user gives are not tested.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import functional as F

from dcgan_probe.checkpoints.evidence import (
    LARGE,
    Between,
    Path,
    moments_of_first,
    normed,
    rows_of_first,
    size_of,
    slope_of,
    stepped,
)
from dcgan_probe.checkpoints.facts import Facts
from dcgan_probe.checkpoints.statistics import FITS, NormFit, misfit
from dcgan_probe.checkpoints.structure import StoredNetwork
from dcgan_probe.networks.chain_config import UPSAMPLING, ChainBlock, ChainConfig, activated

NOISE = 0.06  # of a `NormFit.distance`, with so few latents
EXACT = 0.02  # where moments follow from the weights, without latents
NEARER = 0.6
SCREENED = 16  # latents by which hypotheses are ranked
SHORTLISTED = 3  # of them, that are looked at with all
CHANGES = 3  # facts that are changed at once between two norms; of a large network one less
SLOPES = (0.0, 0.2, None, 0.1, 0.01, 0.3)  # None: no activation
EPSILONS = (1e-5, 0.8, 1e-3, 1e-8)
SURE = 0.1  # of a distance, where several facts are changed
MOST_CLASSES = 200
DECIDED, ROUNDED = 3.0, 1e-6  # standard errors by which one likelihood is the higher
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


def choose(candidates: list[ChainConfig], network: StoredNetwork, facts: Facts) -> Choice:
    """The first candidate, unless the generator's statistics favour another hypothesis.

    If a class is given, but not at which end of the inputs, the likelier end is taken.

    Where what enters a norm does not fit it to within `NOISE`, the hypothesis that fits best is
    taken if it fits much better (`NEARER`). If at the end not all norms fit (`statistics.FITS`),
    the first candidate is returned, with what enters its norms.
    """
    if facts.label and (likely := _classes_by_likelihood(candidates[0], network, facts)):
        candidates = [_drawn_as(each, likely[0][1]) for each in candidates]
    best = _along(candidates, network, facts, free=True)
    return best if best.misfit <= FITS else _along(candidates[:1], network, facts, free=False)


def _along(
    candidates: list[ChainConfig], network: StoredNetwork, facts: Facts, free: bool
) -> Choice:
    """The config that fits best, norm by norm. free: else the first candidate as it is."""
    first = candidates[0]
    blocks = list(first.generator)
    usual = Between(first, blocks[0].eps, slope_of(blocks[0]))
    fits: list[NormFit] = []
    before = -1
    x: Tensor | None = None
    for at, layer in enumerate(network.layers):
        if layer.norm is None or "running_mean" not in layer.norm.tensors:
            continue
        path = Path(network, blocks, before, at, x)
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
    found = shown(first, config, "generator")
    if config.classes and facts.class_first is None:
        found["class"] = _class_of(config) + _undecided(config, network, facts)
    return Choice(config, tuple(fits), found)


def _nearest(
    usual: Between,
    near: NormFit,
    enough: float,
    candidates: list[ChainConfig],
    path: Path,
    facts: Facts,
) -> tuple[Between, NormFit]:
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
    blocks = tuple(normed(block, found[-1]) for block in config.discriminator)
    return replace(config, discriminator=blocks)


def _ended(usual: Between, blocks: list[ChainBlock], before: int) -> tuple[ChainBlock, ...]:
    """The blocks, those behind the last norm as the ones before: nothing shows what they are."""
    last = len(blocks) - 1
    for i in range(max(before, 0), last + 1):
        block = blocks[i]
        if i > before:
            block = stepped(block, usual.config.generator[i], usual)
        if i < last and not block.norm_last:
            block = activated(block, usual.slope)
        blocks[i] = normed(block, usual.eps)
    return tuple(blocks)


def _others(
    usual: Between, candidates: list[ChainConfig], path: Path, facts: Facts
) -> dict[int, list[Between]]:
    """Hypotheses, by how many facts are changed in them."""
    at = path.at
    configs = {tuple(_steps(each, at)): each for each in reversed(candidates)}
    drawn = [usual.config]
    if path.before < 0:
        drawn += _draws(usual.config, path.network, facts)
    slopes = SLOPES if facts.slope is None else (facts.slope, None)
    epsilons = EPSILONS if facts.eps is None and path.before >= 0 else (usual.eps,)
    most = CHANGES - (size_of(path.network) > LARGE)
    ranked: dict[int, list[Between]] = {}
    for config, draw, eps, slope, last, mode in itertools.product(
        configs.values(), drawn, epsilons, slopes, (False, True), UPSAMPLING
    ):
        between = range(path.before + 1, at + 1)
        if mode != UPSAMPLING[0] and not any(config.generator[i].upsample > 1 for i in between):
            continue
        inside = path.before >= 0 or at > path.before + 1  # whether there is an activation
        if not (inside or last) and slope != usual.slope or (last and slope is None):
            continue
        other = Between(_drawn_as(config, draw), eps, slope, last, mode)
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
        class_first=draw.class_first,
    )


def _class_of(config: ChainConfig) -> str:
    side, inputs = ("first" if config.class_first else "last"), config.z_size + config.classes
    return f"the {side} {config.classes} of {inputs} inputs a one-hot class"


def shown(usual: ChainConfig, config: ChainConfig, part: str) -> dict[str, str]:
    """What sets a config apart from the usual one, in words."""
    found = {}
    if config.z_distribution != usual.z_distribution:
        found["z"] = f"z {config.z_distribution}"
    if (config.classes, config.class_first) != (usual.classes, usual.class_first):
        found["class"] = _class_of(config)
    before, blocks = getattr(usual, part), getattr(config, part)
    pairs = list(zip(before, blocks, strict=True))
    hidden = pairs[:-1]
    if any((a.activation, a.slope) != (b.activation, b.slope) for a, b in hidden):
        words = ["none" if b.activation == "none" else f"{b.slope:g}" for _, b in hidden]
        listed = words[0] if len(set(words)) == 1 else ", ".join(words)
        found["slope"] = f"slope {listed} in the {part}"
    have = [(a, b) for a, b in pairs if b.norm != "none"]
    if any(a.eps != b.eps for a, b in have):
        values = [f"{b.eps:g}" for _, b in have]
        listed = values[0] if len(set(values)) == 1 else ", ".join(values)
        found["eps"] = f"eps {listed}" + (f" in the {part}" if part == "discriminator" else "")
    if any(a.norm_last != b.norm_last for a, b in pairs):
        found["norms"] = f"norms behind the activations of the {part}"
    other = [b.upsampling for _, b in pairs if b.upsampling != UPSAMPLING[0]]
    if other:
        found["upsampling"] = f"{other[0]} upsampling"
    if part == "generator" and _steps(usual, len(blocks)) != _steps(config, len(blocks)):
        steps = " ".join(f"{b.stride}/{b.padding}" for b in blocks)
        found["strides"] = f"strides and paddings {steps}"
    return found


def _draws(config: ChainConfig, network: StoredNetwork, facts: Facts) -> Iterator[ChainConfig]:
    """Configs whose z is drawn in another way."""
    distributions = [facts.z] if facts.z else ["uniform", "normal"]
    with_class = [config, *(draw for _, draw in _classes_by_likelihood(config, network, facts)[:1])]
    for distribution, draw in itertools.product(distributions, with_class):
        other = replace(draw, z_distribution=distribution)
        if other != config:
            yield other


def _classes_by_likelihood(
    config: ChainConfig, network: StoredNetwork, facts: Facts
) -> list[tuple[Tensor, ChainConfig]]:
    """One-hot classes that the first or the last inputs may be, the more likely one first.

    A z with mean 0 leaves means of 0 behind in the first norm. A class leaves the mean of its rows
    of weights. The numbers, one for each map, are minus the logarithm of the likelihood of the
    norm's means and variances, up to constants.
    """
    first = network.layers[0]
    if first.norm is None or "running_mean" not in first.norm.tensors:
        return []
    rows = rows_of_first(first, config.generator[0]).mean(2)
    values = first.norm.tensors
    means, variances = (values[f"running_{name}"].float() for name in ("mean", "var"))
    stored = means
    if first.bias is not None:
        stored = stored - first.bias.float().reshape(len(stored), -1).mean(1)

    def unlikely(draw: ChainConfig) -> Tensor:
        """Neighbouring numbers are hard to tell apart: one that leaves a customary z is preferred.

        The likelihood is that of normal means.
        """
        mean, variance = moments_of_first(first, config.generator[0], draw)
        shifts = (mean - means).square() / variance
        far = 2 * shifts + (variance / variances).log().square()
        return far * (1 if draw.z_size in USUAL_Z else 1.3)

    found = []
    for is_first in (False, True) if facts.class_first is None else (facts.class_first,):
        counts = [facts.classes] if facts.label else _counts(rows, stored, is_first)
        draws = [
            replace(
                config,
                z_size=len(rows) - classes,
                classes=classes,
                label=facts.class_number,
                class_first=is_first,
            )
            for classes in counts
        ]
        pairs = [(unlikely(draw), draw) for draw in draws]
        found += [min(pairs, key=lambda pair: float(pair[0].mean()))] if pairs else []
    return sorted(found, key=lambda pair: float(pair[0].mean()))


def _counts(rows: Tensor, stored: Tensor, is_first: bool) -> list[int]:
    """How many of the first or last inputs may be a class, by the direction of their mean."""
    most = min(len(rows) - 1, MOST_CLASSES)
    sums = (rows if is_first else rows.flip(0))[:most].cumsum(0)[1:]  # of 2, 3, ... rows
    if not len(sums):
        return []
    alike = F.cosine_similarity(sums, stored[None], dim=1)
    # Of maps that have nothing to do with each other it is below 4 standard deviations.
    if not alike.max() >= max(0.3, 4 / len(stored) ** 0.5):  # nor NaN, which is refused later
        return []
    return [int(count) + 2 for count in (alike > 0.9 * alike.max()).nonzero().flatten()]


def _undecided(config: ChainConfig, network: StoredNetwork, facts: Facts) -> str:
    """Words where a class may as well be at the other end of the inputs, else ""."""
    by_side = {
        draw.class_first: (far, draw)
        for far, draw in _classes_by_likelihood(config, network, facts)
    }
    if not by_side:
        return ", which no norm shows"
    if len(by_side) < 2:
        return ""
    (here, _), (there, other) = by_side[config.class_first], by_side[not config.class_first]
    if _is_likelier(here, there):
        return ""
    side = "first" if other.class_first else "last"
    return (
        f", but the statistics as well allow the {side} {other.classes}: "
        f"--class K/{other.classes}:{side}"
    )


def other_side(config: ChainConfig, network: StoredNetwork, facts: Facts) -> str:
    """Words if a class is given at one end of the inputs and is at the other, else ""."""
    if facts.class_first is None:
        return ""
    unsaid = replace(facts, label=(facts.label or "").partition(":")[0])
    found = _classes_by_likelihood(config, network, unsaid)
    if len(found) < 2 or found[0][1].class_first == facts.class_first:
        return ""
    (likely, draw), (said, _) = found
    if not _is_likelier(likely, said):
        return ""
    return (
        f"what is minus the logarithm of their likelihood is {said.sum():.2f} as said, "
        f"{likely.sum():.2f} with the class {'before' if draw.class_first else 'behind'} z"
    )


def _is_likelier(likely: Tensor, other: Tensor) -> bool:
    """Whether numbers of `_classes_by_likelihood` are lower than others by more than chance.

    Map by map, so that what the two have in common does not hide what sets them apart.
    """
    more = other - likely
    return bool(more.mean() > DECIDED * more.std() / len(more) ** 0.5 + ROUNDED)
