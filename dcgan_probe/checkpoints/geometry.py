"""Infer strides and paddings, which files of weights do not record, from kernel and image sizes.

A search over all that is customary: every choice for a layer has a cost, lowest for what most
networks do (a kernel of 4 with stride 2 and padding 1), and the cheapest way from z to an image of
the size, or from the image to one score, is taken. The others are kept, as hypotheses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from dcgan_probe.networks.chain_config import MAX_SIDE

KEPT = 4  # ways that are kept for each size on the way
USUAL = {8, 12, 14, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256}
USUAL |= {320, 384, 512, 1024}
SMALL = 28  # images of fewer pixels are rare


@dataclass(frozen=True)
class ChainShape:
    """What a layer's weights say of its geometry: side is 0 where they do not say it."""

    kind: str
    kernel: int = 1
    side: int = 0


@dataclass(frozen=True)
class Step:
    """Stride, padding and output padding of a layer; upsample: of the maps before it."""

    stride: int = 1
    padding: int = 0
    output_padding: int = 0
    upsample: int = 1


@dataclass(frozen=True)
class Way:
    """Steps for all layers, the image size, and how unusual they are, from 0."""

    steps: tuple[Step, ...]
    size: int
    cost: float


def generator_ways(layers: Sequence[ChainShape], size: int | None) -> list[Way]:
    """Ways from z to images, of this size if one is given, the most usual first.

    >>> layers = [ChainShape("deconv", 7), ChainShape("deconv", 4), ChainShape("deconv", 4)]
    >>> generator_ways(layers, None)[0].size
    28
    """
    even = any(layer.kind == "deconv" and layer.kernel % 2 == 0 for layer in layers[1:])
    # Without transposed convolutions behind the first layer, nothing else makes the maps larger.
    plain = all(layer.kind in ("conv", "linear") for layer in layers[1:])

    def steps(i: int) -> Iterator[tuple[Step, float]]:
        if layers[i].kind == "conv" and i:
            return _up_plain(layers[i].kernel, i == len(layers) - 1, plain)
        # On a 1x1 input, also that of a linear layer, the stride does not matter.
        first = i == 0 or layers[i - 1] == ChainShape("linear", side=1)
        return _up(layers[i], first, i == len(layers) - 1, even)

    def leads_to(i: int, step: Step, side: int) -> int:
        return layers[i].side if layers[i].kind == "linear" else _deconv(layers[i], step, side)

    beams = _search(1, len(layers), steps, leads_to)
    ways = [
        Way(way, side, cost + (side not in USUAL) + 0.8 * (plain and side < SMALL))
        for side, beam in beams.items()
        for cost, way in beam
        if size in (None, side) and side > 1
    ]
    return sorted(ways, key=lambda way: (way.cost, way.size))


def discriminator_ways(layers: Sequence[ChainShape], size: int | None) -> list[Way]:
    """Ways from images, of this size if one is given, to scores, the most usual first.

    >>> layers = [ChainShape("conv", 4)] * 4
    >>> discriminator_ways(layers, None)[0].size
    32
    """
    even = any(layer.kind == "conv" and layer.kernel % 2 == 0 for layer in layers[:-1])

    def steps(i: int) -> Iterator[tuple[Step, float]]:
        return _down(layers[i], i == len(layers) - 1, even)

    def leads_to(i: int, step: Step, side: int) -> int:
        layer = layers[i]
        if layer.kind == "linear":
            return 1 if layer.side in (0, side) else 0
        return _conv(layer, step, side)

    ways = []
    for start in sorted(USUAL) if size is None else [size]:
        for side, beam in _search(start, len(layers), steps, leads_to).items():
            patches = 0 if side == 1 else 4 + 0.1 * side
            ways += [Way(way, start, cost + patches) for cost, way in beam]
    return sorted(ways, key=lambda way: (way.cost, way.size))


Beam = list[tuple[float, tuple[Step, ...]]]


def _search(
    start: int,
    count: int,
    steps: Callable[[int], Iterable[tuple[Step, float]]],
    leads_to: Callable[[int, Step, int], int],
) -> dict[int, Beam]:
    """The cheapest ways over `count` layers, by the side to which they lead."""
    # Who pads nowhere means it: then that is not unusual for each further layer.
    unpadded = _walk(start, count, lambda i: _unpadded(steps(i)), leads_to)
    beams = _walk(start, count, steps, leads_to)
    for side, beam in unpadded.items():
        costs: dict[tuple[Step, ...], float] = {}
        for cost, way in [*beams.get(side, []), *beam]:
            costs[way] = min(cost, costs.get(way, cost))
        beams[side] = [(cost, way) for way, cost in costs.items()]
    return beams


def _unpadded(steps: Iterable[tuple[Step, float]]) -> Iterator[tuple[Step, float]]:
    for step, cost in steps:
        if step.padding == 0 and step.output_padding == 0:
            yield step, min(cost, 0.7 + 0.3 * (step.stride == 1))


def _walk(
    start: int,
    count: int,
    steps: Callable[[int], Iterable[tuple[Step, float]]],
    leads_to: Callable[[int, Step, int], int],
) -> dict[int, Beam]:
    beams: dict[int, Beam] = {start: [(0.0, ())]}
    for i in range(count):
        options = list(steps(i))
        grown: dict[int, Beam] = {}
        for side, beam in beams.items():
            for step, cost in options:
                into = leads_to(i, step, side)
                # A stride that does not divide its maps leaves out their edge.
                more = cost + 0.3 * (step.stride > 1 and into < side and side % step.stride != 0)
                if 1 <= into <= MAX_SIDE:
                    grown.setdefault(into, []).extend((c + more, (*way, step)) for c, way in beam)
        beams = {side: sorted(beam, key=_cost)[:KEPT] for side, beam in grown.items()}
    return beams


def _cost(way: tuple[float, tuple[Step, ...]]) -> float:
    return way[0]


def _deconv(layer: ChainShape, step: Step, side: int) -> int:
    if layer.kind == "conv":
        return _conv(layer, step, side * step.upsample)
    return (side - 1) * step.stride - 2 * step.padding + layer.kernel + step.output_padding


def _conv(layer: ChainShape, step: Step, side: int) -> int:
    return (side + 2 * step.padding - layer.kernel) // step.stride + 1


def _up(layer: ChainShape, first: bool, last: bool, even: bool) -> Iterator[tuple[Step, float]]:
    """Steps of a generator's layer, each with its cost."""
    k = layer.kernel
    if layer.kind == "linear":
        yield Step(), 0.0
    elif first:
        yield Step(), 0.0
        for padding in range(1, (k + 1) // 2):
            yield Step(1, padding), 4.0
    else:
        usual = Step(2, (k - 1) // 2, k % 2) if k > 1 else Step()
        same = Step(1, k // 2)
        # Beside even kernels, which double the maps, an odd one at the end keeps them.
        keeps = last and even and k % 2 == 1 and k > 1
        yield usual, 0.5 if keeps else 0.0
        if k % 2 and k > 1:
            yield same, 0.0 if keeps else 0.9
        for stride in (1, 2):
            for padding in range(k + 2 if last else k):
                for more in range(stride):
                    step = Step(stride, padding, more)
                    if step == usual or (k % 2 and k > 1 and step == same):
                        continue
                    off = abs(padding - usual.padding) + abs(more - usual.output_padding)
                    if k == 3 and step == Step(2, 1):  # 4 to 7, as 28x28 begins
                        yield step, 1.0
                    elif last:  # the edges cut off
                        yield step, 0.8 + 0.5 * off
                    else:
                        yield step, 2.5 if padding == 0 and more == 0 else 2.5 + off


def _up_plain(k: int, last: bool, plain: bool) -> Iterator[tuple[Step, float]]:
    """Steps of a generator's convolution; plain: no transposed ones are there beside it."""
    yield Step(1, k // 2), (0.3 * (plain and not last)) if k % 2 else 2.5
    yield Step(), 2.5
    if k % 2 and k > 1:
        yield Step(1, k // 2, upsample=2), 0.5 * last if plain else 1.5


def _down(layer: ChainShape, last: bool, even: bool) -> Iterator[tuple[Step, float]]:
    """Steps of a discriminator's layer, each with its cost; even: another kernel is even."""
    k = layer.kernel
    if layer.kind == "linear":
        yield Step(), 0.0
        return
    usual = Step(2, (k - 1) // 2) if k > 1 else Step()
    same = Step(1, k // 2)
    # Beside even kernels, which halve the maps, odd ones keep them.
    costs = {usual: 0.5 if k % 2 and even and k > 1 else 0.4 if last and k > 1 else 0.0}
    if k % 2 and k > 1:
        costs[same] = 0.0 if even else 0.6
    if last:
        costs[Step()] = 0.0
    for stride in (1, 2):
        for padding in range(k):
            off = abs(padding - usual.padding)
            costs.setdefault(Step(stride, padding), 2.0 + off + 0.5 * (stride == 1))
    yield from costs.items()
