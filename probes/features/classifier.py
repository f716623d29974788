"""Linear classification of features: choose C on held-out images, report over draws of labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dcgan_probe.errors import InputError
from dcgan_probe.metrics import splits, svm
from dcgan_probe.metrics.svm import Svm

from .accuracy import Point, Score
from .protocols import Protocol

C_LEAST, C_MOST = 1e-8, 1e4
STEP = 10**0.5


@dataclass(frozen=True, eq=False)
class Split:
    """Rows for training, choosing C and testing; the rows of one kind do not overlap another's.

    labels: N int64 of all rows.
    """

    labels: np.ndarray
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, test: np.ndarray, valid: float, seed: int) -> Split:
        """Hold out `valid` of the rows that are not for testing, drawn by the seed."""
        rows = np.flatnonzero(~test)
        count = round(valid * len(rows)) if valid < 1 else int(valid)
        if not 0 < count < len(rows):
            raise InputError(
                f"--valid: found {valid:g}, expected to hold out at least one of {len(rows)} "
                "training images, and fewer than all"
            )
        train, held_out = splits.hold_out(rows, count, np.random.default_rng(seed))
        return cls(labels, train, held_out, np.flatnonzero(test))

    def check(self, per_class: Sequence[int | None], classes: Sequence[str]) -> None:
        """Refuse more labels of a class than there are, and a class without training images."""
        counts = np.bincount(self.labels[self.train], minlength=len(classes))
        fewest = int(counts.argmin())
        most = max((count for count in per_class if count is not None), default=1)
        if counts[fewest] < most:
            raise InputError(
                f"class {classes[fewest]}: found {counts[fewest]} training images beside "
                f"{len(self.valid)} to choose C by, expected at least the {most} a class asked for"
            )

    def curve(self, counts: Sequence[int]) -> tuple[int | None, ...]:
        """Of these labels a class those of which there are twice as many, and all."""
        fewest = np.bincount(self.labels[self.train]).min()
        return (*(count for count in counts if 2 * count <= fewest), None)

    def draw(self, per_class: int | None, rng: np.random.Generator) -> np.ndarray:
        """Rows for training: `per_class` of each class, or all."""
        if per_class is None:
            return self.train
        labels = self.labels[self.train]
        return np.sort(
            np.concatenate(
                [
                    rng.permutation(self.train[labels == k])[:per_class]
                    for k in range(int(self.labels.max()) + 1)
                ]
            )
        )


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """Features with the rows that they are split into, and what fits and measures on them."""

    features: np.ndarray
    split: Split
    device: str
    seed: int

    def point(self, per_class: int | None, protocol: Protocol) -> tuple[Point, Svm, np.ndarray]:
        """Choose C and measure; also the last machine, and K x K counts: true and predicted class.

        Labels are redrawn to report. With all labels, those that C was chosen by are trained
        on too, once C is fixed.
        """
        c, chosen = self.choose(per_class, protocol)
        classes = int(self.split.labels.max()) + 1
        counts = np.zeros((classes, classes), np.int64)
        accuracies = []
        truth = self.split.labels[self.split.test]
        tested = self.rows(self.split.test)
        for draw in range(1 if per_class is None else protocol.draws):
            rng = np.random.default_rng([self.seed, 1, per_class or 0, draw])
            rows = self.split.draw(per_class, rng)
            if per_class is None:
                rows = np.sort(np.concatenate([rows, self.split.valid]))
            machine = self.fit(rows, c)
            predicted = np.asarray(machine.predict(tested))
            np.add.at(counts, (truth, predicted), 1)
            accuracies.append(float((predicted == truth).mean()))
        score = Score(tuple(accuracies), len(truth))
        return Point(per_class, len(rows), c, chosen, score), machine, counts

    def choose(self, per_class: int | None, protocol: Protocol) -> tuple[float, dict[float, float]]:
        """The C of the best mean accuracy on the images held out, the smallest of equal ones."""
        draws = 1 if per_class is None else protocol.choosing
        truth = self.split.labels[self.split.valid]
        held_out = self.rows(self.split.valid)
        drawn = [
            self.split.draw(per_class, np.random.default_rng([self.seed, 0, per_class or 0, draw]))
            for draw in range(draws)
        ]
        one = self.rows(drawn[0]) if draws == 1 else None

        # Each C begins where the one before it, which is next to it, ended.
        machines: list[Svm | None] = [None] * draws

        def accuracy(c: float) -> float:
            right = []
            for draw, rows in enumerate(drawn):
                machines[draw] = machine = self.fit(rows, c, one, machines[draw])
                right.append(np.asarray(machine.predict(held_out)) == truth)
            return float(np.mean(right))

        return choose(accuracy, protocol.grid, protocol.extend)

    def fit(
        self,
        rows: np.ndarray,
        c: float,
        values: np.ndarray | None = None,
        start: Svm | None = None,
    ) -> Svm:
        """A machine on some rows. values: their features, if taken already; start: of another C."""
        values = self.rows(rows) if values is None else values
        return svm.fit(values, self.split.labels[rows], c, device=self.device, start=start)

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Features of rows: the map itself where they follow each other, and no copy is needed."""
        if len(rows) and rows[-1] - rows[0] + 1 == len(rows):
            return self.features[rows[0] : rows[-1] + 1]
        return self.features[rows]

    def only(self, columns: slice) -> LinearClassifier:
        """The same with some of the columns."""
        return LinearClassifier(self.features[:, columns], self.split, self.device, self.seed)


def choose(
    accuracy: Callable[[float], float], grid: Sequence[float], extend: bool
) -> tuple[float, dict[float, float]]:
    """The C of the best accuracy, the smallest of equal ones, and the accuracies by C.

    extend: if the best is at an end of the grid, extend it by factors of the root of 10.

    >>> choose(lambda c: -abs(c - 1), [0.1, 0.2], extend=True)[0]
    0.6324555320336759
    """
    if len(grid) == 1:
        return grid[0], {}
    accuracies = {c: accuracy(c) for c in sorted(grid)}
    while True:
        ordered = sorted(accuracies)
        best = max(ordered, key=lambda c: (accuracies[c], -c))
        further = {ordered[0]: best / STEP, ordered[-1]: best * STEP}.get(best)
        if not extend or further is None or not C_LEAST < further < C_MOST:
            return best, {c: accuracies[c] for c in ordered}
        accuracies[further] = accuracy(further)
