"""Order the filters of a layer by a rule, and draw random orders for comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dcgan_probe.edits.filters import Selection
from dcgan_probe.errors import InputError


@dataclass(frozen=True)
class Ranking:
    """The filters of a layer that a rule chose, and all others.

    chosen: those that matter most first. rest: the others, the least fit to be chosen first. note:
    what to know of the choice, or "".
    """

    chosen: Selection
    rest: tuple[int, ...]
    note: str = ""

    @classmethod
    def drop(
        cls,
        layer: str,
        checkpoint: str,
        order: Sequence[int],
        k: int,
        values: Sequence[float] = (),
    ) -> Ranking:
        """Drop the first k filters of an order of all filters of a layer.

            >>> Ranking.drop("8x8", sha, [2, 0, 1], 2).chosen.filters
            (2, 0)

        values: one for each filter of the layer, by its number, to put in place of those that are
        dropped; empty is zero. Raises InputError for k of none or of all.
        """
        if k in (0, len(order)):
            count = "no filter" if k == 0 else f"all {k} filters"
            raise InputError(
                f"layer {layer!r}: found {count} to drop, expected some; choose another layer or "
                "another rule"
            )
        filters = tuple(order[:k])
        put = tuple(values[f] for f in filters) if values else ()
        return cls(Selection(layer, filters, checkpoint, values=put), tuple(reversed(order[k:])))

    @property
    def count(self) -> int:
        """How many filters the layer has."""
        return len(self.chosen.filters) + len(self.rest)

    def last(self) -> Selection:
        """Drop as many filters, or as many as there are, that are the least fit to be chosen."""
        filters = self.rest[: len(self.chosen.filters)]
        return replace(self.chosen, filters=filters, gains=(), values=())


def first(edit: Selection, share: float) -> Selection:
    """An edit with only the first share of its filters, and at least one.

    >>> first(Selection("8x8", (5, 1, 3, 2), sha), 0.5).filters
    (5, 1)
    """
    k = max(1, round(share * len(edit.filters)))
    return replace(edit, filters=edit.filters[:k], gains=edit.gains[:k], values=edit.values[:k])


def draw_random(
    rankings: Sequence[Ranking], means: Mapping[str, Sequence[float]], count: int, seed: int
) -> list[list[Selection]]:
    """Draw as many filters of each layer at random, with the gains of those that were chosen.

    means: of every filter of a layer, which replace the random filters where the chosen ones are
    replaced by something. Returns `count` edits, each a selection for every layer.
    """
    rng = np.random.default_rng([seed, 1])
    edits = []
    for _ in range(count):
        edit = []
        for ranking in rankings:
            chosen = ranking.chosen
            drawn = rng.choice(ranking.count, len(chosen.filters), replace=False).tolist()
            put = tuple(means[chosen.layer][f] for f in drawn) if chosen.values else ()
            edit.append(replace(chosen, filters=tuple(drawn), values=put))
        edits.append(edit)
    return edits
