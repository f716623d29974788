"""A classifier's mean probabilities along an axis: which change most, and how, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# Between the ends of an axis a change of at least this much is worth a remark.
NOTABLE = 0.1


def rank(*means: Mapping[str, Sequence[float]]) -> list[str]:
    """Labels by how far their mean goes anywhere along an axis, the largest first.

        >>> rank({"hat": [0.1, 0.2, 0.3], "smile": [0.9, 0.5, 0.9]})
        ['smile', 'hat']

    means: by label, at each place; of several axes the one along which a label goes farthest
    counts. A label that goes away and comes back has changed, too.
    """
    return sorted(means[0], key=lambda label: -max(span(mean[label]) for mean in means))


def span(mean: Sequence[float]) -> float:
    """The largest mean less the smallest."""
    return max(mean) - min(mean)


def describe(mean: Sequence[float]) -> str:
    """The first and the last mean, and the farthest between them if it is notably beyond both.

    >>> describe([0.95, 0.5, 0.98])
    '0.95 to 0.98, but 0.50 in between'
    """
    low, high = sorted((mean[0], mean[-1]))
    far = max(mean, key=lambda value: max(low - value, value - high))
    beyond = max(low - far, far - high) >= NOTABLE
    return f"{mean[0]:.2f} to {mean[-1]:.2f}{f', but {far:.2f} in between' if beyond else ''}"
