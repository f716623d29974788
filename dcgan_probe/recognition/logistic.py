"""Ridge logistic regression by Newton's method, with row weights, soft targets and an offset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

STEPS = 30
TOLERANCE = 1e-7


@dataclass(frozen=True, eq=False)
class LogisticProblem:
    """Rows to learn from.

    x: M x K float32. y: M float64, targets in [0, 1]. weight: M float64. group: M int64, such as
    the image that a row is of. offset: M float64, added to every logit as it is.
    """

    x: Tensor
    y: Tensor
    weight: Tensor
    group: Tensor
    offset: Tensor

    def rows(self, keep: Tensor) -> LogisticProblem:
        """Some of the rows."""
        parts = (self.x, self.y, self.weight, self.group, self.offset)
        return LogisticProblem(*(part[keep] for part in parts))


def draw_rows(kinds: Sequence[Tensor], most: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows to learn from, at most `most` of each kind, and what each weighs: on average 1.

    kinds: masks of rows. A row weighs as much as the rows of its kind that it stands for.
    """
    random = torch.Generator().manual_seed(seed)
    picked, weights = [], []
    for kind in kinds:
        at = torch.where(kind)[0]
        drawn = at[torch.randperm(len(at), generator=random)[:most]]
        picked.append(drawn)
        weights.append(torch.full((len(drawn),), len(at) / max(1, len(drawn)), dtype=torch.float64))
    weight = torch.cat(weights)
    return torch.cat(picked), weight / weight.mean()


def minimise(
    problem: LogisticProblem,
    ridge: float,
    start: Tensor | None = None,
    tolerance: float = TOLERANCE,
) -> Tensor:
    """Weights of the columns and, last, the intercept: K + 1 float64.

        >>> minimise(problem, ridge=10.0).shape
        torch.Size([129])

    Minimises sum of weight * cross-entropy + ridge / 2 * |weights|^2; the intercept is free. It
    ends after `STEPS`, or one that gains no more than a share `tolerance`.
    """
    x = torch.cat([problem.x, torch.ones_like(problem.x[:, :1])], 1)
    penalty = torch.full((x.shape[1],), ridge, dtype=torch.float64)
    penalty[-1] = 1e-8

    def objective(logit: Tensor, w: Tensor) -> Tensor:
        loss = F.softplus(logit) - problem.y * logit
        return (problem.weight * loss).sum() + 0.5 * (penalty * w * w).sum()

    w = torch.zeros(x.shape[1], dtype=torch.float64) if start is None else start
    logit = (x @ w.to(x.dtype)).double() + problem.offset
    now = objective(logit, w)
    for _ in range(STEPS):
        p = torch.sigmoid(logit)
        gradient = (x.T @ (problem.weight * (p - problem.y)).to(x.dtype)).double() + penalty * w
        bend = (problem.weight * p * (1 - p)).sqrt().to(x.dtype)
        scaled = x * bend[:, None]
        hessian = (scaled.T @ scaled).double() + torch.diag(penalty)
        step = torch.linalg.solve(hessian, gradient)
        along = (x @ step.to(x.dtype)).double()
        length = 1.0
        while length > 1e-4:  # Newton's step may be too long where few rows bend
            new = objective(logit - length * along, w - length * step)
            if new <= now:
                break
            length /= 2
        else:
            return w
        w, logit = w - length * step, logit - length * along
        settled = (now - new) <= tolerance * now.abs()
        now = new
        if settled:
            break
    return w


@dataclass(frozen=True, eq=False)
class CrossFit:
    """A regression on all rows, and one for every fold of groups that has not seen that fold.

    whole: K + 1. parts: folds x K + 1.
    """

    whole: Tensor
    parts: Tensor


def cross_fit(problem: LogisticProblem, fold_of: Tensor, ridges: Sequence[float]) -> CrossFit:
    """Choose the ridge by folds of groups.

        >>> cross_fit(problem, torch.arange(150) % 5, ridges=(3.0, 30.0)).parts.shape
        torch.Size([5, 129])

    fold_of: the fold of every group, int64; with one fold nothing is held out, and the middle one
    of `ridges` is taken.
    """
    folds = int(fold_of.max()) + 1
    if folds < 2:
        ridge = sorted(ridges)[len(ridges) // 2]
        return CrossFit(minimise(problem, ridge), torch.empty(0))
    fold = fold_of[problem.group]
    best = (torch.inf, 0.0, torch.empty(0))
    starts: list[Tensor | None] = [None] * folds
    for ridge in sorted(ridges, reverse=True):
        loss, parts = 0.0, []
        for i in range(folds):
            held_out = fold == i
            # From the smoother solution on: a few steps are enough.
            w = minimise(problem.rows(~held_out), ridge, starts[i])
            starts[i] = w
            parts.append(w)
            test = problem.rows(held_out)
            logit = (test.x @ w[:-1].to(test.x.dtype)).double() + w[-1] + test.offset
            loss += float((test.weight * (F.softplus(logit) - test.y * logit)).sum())
        best = min(best, (loss, ridge, torch.stack(parts)), key=lambda each: each[0])
    _, ridge, parts_ = best
    return CrossFit(minimise(problem, ridge, parts_.mean(0)), parts_)
