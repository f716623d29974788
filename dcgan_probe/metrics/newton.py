"""Newton's method for the machines of `svm`: all at once, in passes over rows read in chunks.

Source: Keerthi and DeCoste (2005); Lin, Weng and Keerthi (2008).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

# Rows of the preconditioner, a tenth of all between these: more of them save passes over the
# features and cost more between the passes.
SAMPLE, MOST = 1024, 2048
STEPS, INNER, SEARCH = 100, 100, 60
# How much of the gradient a Newton step may leave, far from the solution.
LEAVE = 0.3
# A chunk is read once and multiplied twice: on a CPU it has to stay in the cache in between.
CHUNK_BYTES = {"cpu": 1 << 24, "cuda": 1 << 29}


def chunks(x: Tensor, device: torch.device, dtype: torch.dtype) -> Iterator[tuple[slice, Tensor]]:
    """Rows a chunk at a time, and where they are."""
    size = max(1, CHUNK_BYTES.get(device.type, CHUNK_BYTES["cuda"]) // (4 * x.shape[1]))
    for first in range(0, len(x), size):
        at = slice(first, min(first + size, len(x)))
        yield at, x[at].to(device, dtype)


class Point(NamedTuple):
    """What one pass says of some weights: M x (F + 1), intercepts last, M machines.

    scores, active: M x N. active: the rows that lie in the margin or beyond it.
    """

    weights: Tensor
    scores: Tensor
    active: Tensor
    objective: Tensor
    gradient: Tensor

    @property
    def gap(self) -> Tensor:
        # The dual variables 2 c max(0, 1 - y f) are feasible, and their gap to this point comes
        # out as half the squared gradient.
        return self.gradient.square().sum(1) / 2


class Problem:
    """The rows, what each machine calls them (M x N signs), and passes over them."""

    def __init__(self, x: Tensor, signs: Tensor, c: float, device: torch.device):
        self.x, self.signs, self.c, self.device = x, signs, c, device
        self.dtype = torch.float32
        if device.type == "cuda" and 4 * x.numel() < torch.cuda.mem_get_info(device)[0] / 2:
            self.x = x.to(device, self.dtype)

    def swept(self, weights: Tensor, f: Callable[[slice, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """In one pass: the scores m x N of weights, and f(scores) times the rows, m x (F + 1)."""
        scores = weights.new_empty(len(weights), len(self.x))
        product = torch.zeros_like(weights)
        narrow = weights[:, :-1].to(self.dtype)
        for at, part in chunks(self.x, self.device, self.dtype):
            scores[:, at] = (narrow @ part.T).double() + weights[:, -1:]
            factors = f(at, scores[:, at])
            product[:, :-1] += factors.to(self.dtype) @ part
            product[:, -1] += factors.sum(1)
        return scores, product

    def at(self, weights: Tensor) -> Point:
        """Objective and gradient."""

        def loss(at: slice, scores: Tensor) -> Tensor:
            signs = self.signs[:, at]
            return signs * (1 - signs * scores).clamp(min=0)

        scores, product = self.swept(weights, loss)
        missing = (1 - self.signs * scores).clamp(min=0)
        objective = weights.square().sum(1) / 2 + self.c * missing.square().sum(1)
        return Point(weights, scores, missing > 0, objective, weights - 2 * self.c * product)


class _Sample:
    """The curvature of some rows, to be inverted: it stands for all, and is all of few rows."""

    def __init__(self, problem: Problem, count: int):
        draw = torch.Generator().manual_seed(0)
        rows = torch.randperm(len(problem.x), generator=draw)[:count].sort().values
        self.problem, self.rows = problem, rows.to(problem.device)
        self.x = torch.ones(len(rows), problem.x.shape[1] + 1, device=problem.device)
        self.x[:, :-1] = problem.x[rows.to(problem.x.device)].to(self.x)
        self.gram = sum(part.double() @ part.double().T for part in self.x.split(4096, dim=1))
        self.rest = 0.0
        if len(rows) < len(problem.x):
            # The rows left out bend all other directions too: taken for as much, a row, as the
            # upper quartile of what these bend, which saves a quarter to a half of the passes.
            self.rest = float(torch.linalg.eigvalsh(self.gram).quantile(0.75)) / len(rows)

    def inverse(self, active: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """What solves (1 + curvature) z = r of chosen machines, where `active` rows count."""
        factors: dict[bytes, tuple[Tensor, Tensor]] = {}
        of: list[tuple[Tensor, Tensor]] = []
        twice, counts = 2 * self.problem.c, active.sum(1, keepdim=True).double()
        floors = (twice * self.rest * counts).clamp(min=1)
        for mine, count, floor in zip(active, counts, floors, strict=True):
            here = mine[self.rows]
            key = here.cpu().numpy().tobytes()  # at the start all machines have the same
            if key not in factors:
                index = here.nonzero()[:, 0]
                inner = self.gram[index][:, index]
                inner.diagonal().add_(floor * len(index) / (twice * count.clamp(min=1)))
                factors[key] = index, torch.linalg.cholesky(inner)
            of.append(factors[key])

        def solve(r: Tensor, machines: Tensor) -> Tensor:
            x = self.x.to(self.problem.dtype)
            u = (r.to(x) @ x.T).double()
            v = torch.zeros_like(u)
            for row, machine in enumerate(machines.tolist()):
                index, factor = of[machine]
                v[row, index] = torch.cholesky_solve(u[row, index, None], factor)[:, 0]
            return (r - (v.to(x) @ x).double()) / floors[machines]

        return solve


def solve(problem: Problem, at: Point, tolerance: float) -> Point:
    """From weights on, until each machine's gap is at most `tolerance` of its objective.

    All are in the same passes, each with its own rows in the margin. Warns if it stops before.
    """
    sample = _Sample(problem, min(MOST, max(SAMPLE, len(problem.x) // 10)))
    begun = at.gradient.norm(dim=1)
    for _ in range(STEPS):
        unsettled = at.gap > tolerance * at.objective
        if not unsettled.any():
            return at
        size = at.gradient.norm(dim=1)
        enough = torch.maximum(
            (size / begun).sqrt().clamp(max=LEAVE) * size, (tolerance * at.objective / 2).sqrt()
        )
        direction, along = _direction(problem, at, enough, unsettled, sample)
        length = _length(problem, at, direction, along)
        new = problem.at(at.weights + length[:, None] * direction)
        stuck = unsettled & (new.objective >= at.objective) & (new.gap >= at.gap)
        at = new
        if stuck.any():
            if problem.dtype == torch.float64:
                break
            # The digits of single precision are used up.
            problem.dtype = torch.float64
            at = problem.at(at.weights)
    worst = float((at.gap / at.objective).max())
    warnings.warn(f"svm: stopped at a gap of {worst:.1e}, expected {tolerance:.1e}", stacklevel=3)
    return at


def _direction(
    problem: Problem, at: Point, enough: Tensor, unsettled: Tensor, sample: _Sample
) -> tuple[Tensor, Tensor]:
    """Newton's step M x (F + 1) and what it adds to the scores M x N; 0 of settled machines.

    By preconditioned conjugate gradients, to a residual as small as `enough`.
    """
    step, along = torch.zeros_like(at.weights), torch.zeros_like(at.scores)
    residual = -at.gradient
    solve = sample.inverse(at.active)
    on = unsettled.nonzero()[:, 0]
    way = solve(residual[on], on)
    slope = (residual[on] * way).sum(1)
    for _ in range(INNER):
        scores, product = problem.swept(way, partial(_within, at.active[on]))
        curved = way + 2 * problem.c * product
        length = (slope / (way * curved).sum(1))[:, None]
        step[on] += length * way
        along[on] += length * scores
        residual[on] -= length * curved
        further = residual[on].norm(dim=1) > enough[on]
        on, way, before = on[further], way[further], slope[further]
        if not len(on):
            break
        direct = solve(residual[on], on)
        slope = (residual[on] * direct).sum(1)
        way = direct + (slope / before)[:, None] * way
    return step, along


def _within(active: Tensor, at: slice, scores: Tensor) -> Tensor:
    return scores * active[:, at]


def _length(problem: Problem, at: Point, direction: Tensor, along: Tensor) -> Tensor:
    """How far to go for the least objective on the way, M: exact, without a pass.

    The slope along the way rises in straight pieces, so Newton's method finds where it is 0.
    """
    linear, square = (at.weights * direction).sum(1), direction.square().sum(1)
    length = torch.ones_like(linear)
    low, high = torch.zeros_like(length), torch.full_like(length, torch.inf)
    for _ in range(SEARCH):
        missing = (1 - problem.signs * (at.scores + length[:, None] * along)).clamp(min=0)
        slope = linear + length * square
        slope -= 2 * problem.c * (problem.signs * along * missing).sum(1)
        curve = square + 2 * problem.c * (along.square() * (missing > 0)).sum(1)
        low, high = torch.where(slope < 0, length, low), torch.where(slope > 0, length, high)
        new = length - slope / curve.clamp(min=1e-300)
        outside = (new <= low) | (new >= high)
        new = torch.where(outside, torch.where(high.isinf(), 2 * length, (low + high) / 2), new)
        if torch.allclose(new, length, rtol=1e-6, atol=0):
            break
        length = new
    return torch.where(square > 0, length, 0.0)
