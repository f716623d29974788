"""The chosen edit, and the edits to compare it with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dcgan_probe.edits.filters import Selection
from dcgan_probe.edits.ranking import Ranking, draw_random, first

POINTS = 6  # of the curve

Edits = Sequence[Selection]  # at once, each of one layer, in the order of the data


@dataclass(frozen=True)
class Rivals:
    """The chosen edit, and the edits to compare it with.

    last: those that the rule ranks lowest, as many or, where a layer has fewer others, all of them.
    random: as many of the same layers, drawn at random, once for each set. parts: only the first of
    the chosen filters, more and more of them. random_parts: the same of two random sets, for each
    size a pair.
    """

    chosen: Edits
    last: Edits
    random: Sequence[Edits]
    parts: Sequence[Edits]
    random_parts: Sequence[Edits]

    @classmethod
    def draw(
        cls,
        rankings: Sequence[Ranking],
        means: Mapping[str, Sequence[float]],
        controls: int,
        seed: int,
    ) -> Rivals:
        """Draw `controls` random sets beside a choice; see `ranking.draw_random`."""
        chosen = [ranking.chosen for ranking in rankings]
        random = draw_random(rankings, means, controls, seed)
        two = [*random, *random][:2]  # of one control, that one twice
        shares = _shares(chosen)
        return cls(
            chosen,
            [ranking.last() for ranking in rankings],
            random,
            [_part(chosen, share) for share in shares],
            [_part(edits, share) for share in shares for edits in two],
        )

    @property
    def layer(self) -> str:
        """The first layer that is edited."""
        return self.chosen[0].layer


def count(edits: Edits) -> int:
    """How many filters are changed."""
    return sum(len(edit.filters) for edit in edits)


def _shares(edits: Edits) -> list[float]:
    """Parts of the chosen filters at which the curve is measured, each a larger number of them."""
    total = count(edits)
    counts = sorted({max(1, round(total ** (i / POINTS))) for i in range(1, POINTS)})
    return [k / total for k in counts if k < total]


def _part(edits: Edits, share: float) -> Edits:
    return [first(edit, share) for edit in edits]
