"""Choose the filters to drop: the paper's rule, and the alternatives."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from dcgan_probe.edits.filters import Selection
from dcgan_probe.edits.ranking import Ranking
from dcgan_probe.edits.tails import Tail
from dcgan_probe.probes.forget.gates import learn
from dcgan_probe.probes.forget.guidance import Guidance
from dcgan_probe.probes.forget.settings import RuleSettings
from dcgan_probe.recognition.judges import learn_from_boxes
from dcgan_probe.recognition.regression import sparse
from dcgan_probe.recognition.rule import positive, rank_by_weight
from dcgan_probe.recognition.samples import BoxedSamples

OPEN = 0.95  # a gate that is further open is taken for open
SCANNED, VERIFIED = 24, 96  # samples on which `causal` compares filters, and measures what it chose
BATCH = 24
LEAST_CHANGE = 1e-3  # outside; smaller ones all count the same
CHOOSING = 100_000  # samples from here on are chosen with, those before are judged and shown


def paper(samples: BoxedSamples, settings: RuleSettings) -> list[Ranking]:
    """Drop every filter of a weight above zero. Source: section 6.3.1."""
    values = replacements(settings.replace, samples)
    return [rank_by_weight(samples, positive(samples), values)]


def top(samples: BoxedSamples, settings: RuleSettings) -> list[Ranking]:
    """Drop the `k` filters of the largest weights."""
    k = min(settings.k, len(samples.regression.weights))
    return [rank_by_weight(samples, k, replacements(settings.replace, samples))]


def l1(samples: BoxedSamples, settings: RuleSettings) -> list[Ranking]:
    """Drop the filters of positive weight in the sparsest regression that is about as accurate."""
    few, weights = sparse(samples.cells), samples.regression.weights
    order = sorted(range(len(few)), key=lambda f: (-few[f], -weights[f]))
    values = replacements(settings.replace, samples)
    sha256 = samples.session.checkpoint.sha256
    return [Ranking.drop(samples.layer, sha256, order, int((few > 0).sum()), values)]


def causal(samples: BoxedSamples, settings: RuleSettings) -> list[Ranking]:
    """Drop filters by the measured effect of dropping them."""
    values = replacements(settings.replace, samples)
    guidance = _guidance(samples)
    filters = [f for f, weight in enumerate(samples.regression.weights) if weight > 0]
    count = guidance.maps.shape[1]
    paper = math.inf  # where the rule chooses none or all, the ratio means nothing
    if 0 < len(filters) < count:
        paper = measure_dropped(guidance, [filters], torch.zeros(count), VERIFIED)[0, 1].item()
    return [rank_by_effect(guidance, values, settings.left, paper)]


def gates(samples: BoxedSamples, settings: RuleSettings) -> list[Ranking]:
    """Learn gains and replacements by gradient, of one layer or several at once."""
    session, boxes = samples.session, samples.boxes
    later = [BoxedSamples.draw(session, boxes, layer) for layer in settings.layers[1:]]
    values = {each.layer: torch.tensor(each.means(outside=True)) for each in [samples, *later]}
    return rank_by_gates(_guidance(samples), values, settings.left)


RULES: dict[str, Callable[[BoxedSamples, RuleSettings], list[Ranking]]] = {
    "paper": paper,
    "top": top,
    "l1": l1,
    "causal": causal,
    "gates": gates,
}


def replacements(kind: str, samples: BoxedSamples) -> tuple[float, ...]:
    """The replacement value of each filter of a layer: () for zero, or one number for each filter.

    kind: "mean" is each filter's mean over all locations, "outside" that over the locations outside
    of the boxes.
    """
    return () if kind == "zero" else samples.means(outside=kind == "outside")


def _guidance(samples: BoxedSamples) -> Guidance:
    guide = learn_from_boxes(samples.session, samples.boxes)
    return Guidance.draw(samples.session, samples.layer, guide, CHOOSING)


def rank_by_effect(
    guidance: Guidance, values: Sequence[float], left: float, most: float = math.inf
) -> Ranking:
    """Select filters greedily by measured effect, then restore those that are not needed.

    What dropping a filter does depends on what has been dropped: so in each round every other one
    is dropped beside those, on `SCANNED` samples, and worth what evidence for the object goes with
    it over what more changes outside. The best are dropped, half as many as there are already, and
    at least one. When `left` of the evidence or less is left on `VERIFIED` samples, those that
    are not needed for that are restored, the one first that saves most change; if it never comes to
    that, the set that leaves least is taken. Filters that are not chosen are in the order of what
    dropping each one does.

    most: change outside that no choice may exceed, such as that by the paper's rule. Where `left`
    is not reached within it, the set that leaves least within it is taken, and the ranking's note
    says so.
    """
    count = guidance.maps.shape[1]
    put = torch.tensor(values or [0.0] * count)
    dropped: list[int] = []
    best, least = dropped, 1.0
    note = ""
    alone: list[int] = []
    while least > left:
        others = [f for f in range(count) if f not in dropped]
        scanned = measure_dropped(guidance, [[], *([f] for f in others)], put, SCANNED, dropped)
        gone, change = (scanned[0] - scanned[1:])[:, 0], (scanned[1:] - scanned[0])[:, 1]
        # Where nothing is removed, a small change outside does not count.
        worth = torch.where(gone > 0, gone / (change.clamp_min(0) + LEAST_CHANGE), gone)
        good = worth.argsort(descending=True, stable=True).tolist()
        # In the first round nothing is dropped yet, so every filter is among the others.
        alone = alone or good
        more = [others[i] for i in good[: max(1, len(dropped) // 2)] if gone[i] > 0]
        if not more or len(dropped) + len(more) == count:
            break
        dropped = [*dropped, *more]
        still, change_outside = measure_dropped(guidance, [dropped], put, VERIFIED)[0].tolist()
        if still <= left:
            fewer = _fewer(guidance, dropped, put, left)
            change_outside = measure_dropped(guidance, [fewer], put, VERIFIED)[0, 1].item()
            if change_outside <= most or not best:
                best, least = fewer, still
        elif still < least and (change_outside <= most or not best):
            best, least = dropped, still
        if change_outside > most:
            note = (
                f"STOPPED EARLY: to leave {left:g} of the evidence the rest would change by more "
                f"than by the paper's rule ({most:.3f}); {least:.2f} is left"
            )
            break
    order = [*best, *(f for f in alone if f not in best)]
    sha256 = guidance.session.checkpoint.sha256
    ranking = Ranking.drop(guidance.layer, sha256, order, len(best), values)
    return replace(ranking, note=note)


def _fewer(guidance: Guidance, dropped: list[int], put: Tensor, left: float) -> list[int]:
    """Without those filters that need not be dropped for `left` of the evidence to stay."""
    while len(dropped) > 1:
        sets = [[other for other in dropped if other != f] for f in dropped]
        scanned = measure_dropped(guidance, [dropped, *sets], put, SCANNED)
        saves = scanned[0, 1] - scanned[1:, 1]
        saves[scanned[1:, 0] > left] = 0
        fewer = sets[int(saves.argmax())]
        if saves.max() <= 0 or measure_dropped(guidance, [fewer], put, VERIFIED)[0, 0] > left:
            break
        dropped = fewer
    return dropped


def measure_dropped(
    guidance: Guidance,
    sets: Sequence[Sequence[int]],
    put: Tensor,
    n: int,
    beside: Sequence[int] = (),
) -> Tensor:
    """Evidence left and change outside without each of some sets of filters, on n samples.

    beside: filters that are dropped with every set.
    """
    session = guidance.session
    tail = Tail(session.generator, guidance.layer)
    measured = torch.zeros(len(sets), 2)
    holding = guidance.holding[:n]
    for rows in holding.split(BATCH):
        maps = guidance.maps[rows]
        maps[:, list(beside)] = put[list(beside)].view(1, -1, 1, 1)
        base = tail.start(guidance.z[rows].to(session.device), maps.to(session.device))
        title = f"{guidance.layer}: {len(beside)} filters dropped"
        with torch.no_grad():
            for i, filters in enumerate(session.progress(sets, title)):
                new = put[list(filters)].to(base.maps).view(1, -1, 1, 1)
                images = base.replaced(filters, new) if filters else base.images()
                # The last batch may hold fewer samples, and counts for as much less.
                share = len(rows) / len(holding)
                measured[i] += torch.stack(guidance.measure(images, rows)).cpu() * share
    return measured


def rank_by_gates(guidance: Guidance, values: dict[str, Tensor], left: float) -> list[Ranking]:
    """Learn gains and replacements for every filter of some layers; change those not left open.

    values: by layer, in the order of the data, what replaces each filter, where the learning of it
    starts; the first is the layer of `guidance`.
    """
    sha256 = guidance.session.checkpoint.sha256
    rankings = []
    for gates in learn(guidance, values, left, seed=guidance.session.seed):
        order = gates.gains.argsort(stable=True).tolist()
        k = int((gates.gains < OPEN).sum())
        gains = tuple(gates.gains[order[:k]].tolist())
        put = tuple(gates.values[order[:k]].tolist())
        chosen = Selection(gates.layer, tuple(order[:k]), sha256, gains=gains, values=put)
        rankings.append(Ranking(chosen, tuple(reversed(order[k:]))))
    return rankings
