"""Newton's method for the machines of `svm`: all at once, in passes over rows read in chunks.

Source: Keerthi and DeCoste (2005); Lin, Weng and Keerthi (2008).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

# Rows of the preconditioner, a tenth of all between these: more of them save passes over the
# features and cost more between the passes.
SAMPLE, MOST = 1024, 2048
# Up to this number of columns, the curvature is summed and inverted.
WIDE = 1024
# Where rows bend this many times more than the ridge, a sample no longer stands for them all, and
# what is exact is faster; up to this number of rows, whose products take 2 GiB.
STEEP, MANY = 100.0, 16_384
# Where rows bend more than that, Newton's method begins with a smaller C, and continues with C
# multiplied by this factor, each found roughly.
STIFF, FURTHER, ROUGH = 30.0, 30.0, 1e-2
STEPS, INNER, SEARCH = 100, 100, 60
# Conjugate gradients before an own factor is cheaper, and what they may leave of the gradient.
FEW, LEAVE_ROWS = 12, 0.1
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


class Iterate(NamedTuple):
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

    def at(self, weights: Tensor) -> Iterate:
        """Objective and gradient."""

        def loss(at: slice, scores: Tensor) -> Tensor:
            signs = self.signs[:, at]
            return signs * (1 - signs * scores).clamp(min=0)

        scores, product = self.swept(weights, loss)
        missing = (1 - self.signs * scores).clamp(min=0)
        objective = weights.square().sum(1) / 2 + self.c * missing.square().sum(1)
        return Iterate(weights, scores, missing > 0, objective, weights - 2 * self.c * product)

    def rounded(
        self, weights: Tensor, bound: Tensor, tolerance: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Weights in single precision, and the objective and the gap of each, in doubles.

        bound: below the least objective. Rounding moves the gradient of a large C by much and the
        objective by little, so the gradient of the weights as they were can bound it better.
        """
        self.dtype = torch.float64
        at = self.at(weights.float().double())
        bound = torch.maximum(bound, at.objective - at.gap)
        if (at.objective - bound > tolerance * at.objective).any():
            exact = self.at(weights)
            bound = torch.maximum(bound, exact.objective - exact.gap)
        return at.weights, at.objective, (at.objective - bound).clamp(min=0)


Inverse = Callable[[Tensor, Tensor], Tensor]


class _Columns:
    """The curvature of all active rows, by columns: exact, for features that are few.

    A sum for each machine is kept; from point to point, only rows that come or go are worked on.
    """

    def __init__(self, problem: Problem):
        self.problem = problem
        machines, rows = problem.signs.shape
        width = problem.x.shape[1] + 1
        self.active = torch.ones(machines, rows, dtype=torch.bool, device=problem.device)
        whole = torch.zeros(width, width, dtype=torch.float64, device=problem.device)
        for _, part in self._parts():
            whole += part.T @ part
        self.sums = whole.repeat(machines, 1, 1)

    def inverse(self, active: Tensor) -> Inverse:
        changed = active != self.active
        for at, part in self._parts():
            for machine, mine in enumerate(changed[:, at]):
                rows = part[mine]
                sign = torch.where(active[machine, at][mine], 1.0, -1.0).double()
                self.sums[machine] += (sign[:, None] * rows).T @ rows
        self.active = active
        inner = 2 * self.problem.c * self.sums
        inner.diagonal(dim1=1, dim2=2).add_(1)
        factors = torch.linalg.cholesky(inner)

        def solve(r: Tensor, machines: Tensor) -> Tensor:
            return torch.cholesky_solve(r[:, :, None], factors[machines])[:, :, 0]

        return solve

    def _parts(self) -> Iterator[tuple[slice, Tensor]]:
        for at, part in chunks(self.problem.x, self.problem.device, torch.float64):
            yield at, torch.cat([part, part.new_ones(len(part), 1)], 1)


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
        machine_factors: list[tuple[Tensor, Tensor]] = []
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
            machine_factors.append(factors[key])

        def solve(r: Tensor, machines: Tensor) -> Tensor:
            x = self.x.to(self.problem.dtype)
            u = (r.to(x) @ x.T).double()
            v = torch.zeros_like(u)
            for row, machine in enumerate(machines.tolist()):
                index, factor = machine_factors[machine]
                v[row, index] = torch.cholesky_solve(u[row, index, None], factor)[:, 0]
            return (r - (v.to(x) @ x).double()) / floors[machines]

        return solve


class _Rows:
    """The same problem between rows, exact and in doubles, for rows that are few.

    Weights are a sum of rows, w = sum a x. Newton's step goes to the solution of
    (K + 1 / 2c) a = y among the active rows, where K are products of rows: with K at hand,
    features are needed no more. Source: Chapelle (2007), section 3.
    """

    def __init__(self, problem: Problem):
        self.problem = problem
        rows, columns = problem.x.shape
        self.gram = torch.ones(rows, rows, dtype=torch.float64, device=problem.device)
        for first in range(0, columns, 1024):
            part = problem.x[:, first : first + 1024].to(problem.device, torch.float64)
            self.gram.addmm_(part, part.T)
        # All rows, factored once, precondition the machines that keep most rows active. Where that
        # takes too long it is not tried again: own factors cost less.
        self.tired = set(range(len(problem.signs)))
        if rows <= MOST:
            self.factor = self._factored(torch.arange(rows, device=problem.device), problem.c)
            self.tired.clear()

    def solve(self, at: Iterate, c: float, tolerance: float) -> tuple[Tensor, Tensor]:
        """Weights, from a point on that was found for a C, and a bound below each objective."""
        signs = self.problem.signs
        sums = 2 * c * signs * (1 - signs * at.scores).clamp(min=0)
        # Far from the solution a large C sends Newton's method astray: smaller ones lead there.
        while c < self.problem.c:
            sums, _ = self._settled(sums, c, max(tolerance, ROUGH))
            c *= FURTHER
        sums, bound = self._settled(sums, self.problem.c, tolerance)
        return self._weights(sums), bound

    def _settled(self, sums: Tensor, c: float, tolerance: float) -> tuple[Tensor, Tensor]:
        signs = self.problem.signs
        scores = sums @ self.gram
        bound = torch.zeros_like(sums[:, 0])
        before = torch.full_like(bound, torch.inf)
        for _ in range(STEPS):
            missing = (1 - signs * scores).clamp(min=0)
            objective = (sums * scores).sum(1) / 2 + c * missing.square().sum(1)
            size = self._size(sums - 2 * c * signs * missing)  # of the gradient
            bound = torch.maximum(bound, objective - size.square() / 2)
            on = (objective - bound > tolerance * objective).nonzero()[:, 0]
            if not len(on) or not (objective < before)[on].any():
                break
            before = objective
            enough = torch.maximum(LEAVE_ROWS * size, (tolerance * objective / 2).sqrt())[on]
            target = self._target(sums[on], missing[on] > 0, on, enough / (2 * c), c)
            bound[on] = torch.maximum(bound[on], self._dual(signs[on] * target, on, c))
            step = target - sums[on]
            along = step @ self.gram
            linear, square = (scores[on] * step).sum(1), (along * step).sum(1)
            length = _length(signs[on], c, scores[on], along, linear, square)[:, None]
            sums[on] += length * step
            scores[on] += length * along
        return sums, bound

    def _dual(self, variables: Tensor, on: Tensor, c: float) -> Tensor:
        """The dual objective of variables brought to at least 0, which makes them feasible."""
        alpha = variables.clamp(min=0)
        size = self._size(self.problem.signs[on] * alpha)
        return alpha.sum(1) - (size.square() + alpha.square().sum(1) / (2 * c)) / 2

    def _size(self, sums: Tensor) -> Tensor:
        """How long weights are."""
        return ((sums @ self.gram) * sums).sum(1).clamp(min=0).sqrt()

    def _target(self, sums: Tensor, active: Tensor, on: Tensor, enough: Tensor, c: float) -> Tensor:
        """Where Newton's step goes: exact, or by a few conjugate gradients of the shared factor."""
        signs, ridge = self.problem.signs[on], 1 / (2 * c)
        solution = sums * active
        residual = (signs - solution @ self.gram - ridge * solution) * active
        ahead = torch.tensor(
            [row for row, machine in enumerate(on.tolist()) if machine not in self.tired],
            dtype=torch.int64,
            device=on.device,
        )
        way, slope = torch.zeros_like(solution), torch.ones_like(enough)
        for tries in range(FEW):
            ahead = ahead[self._size(residual[ahead]) > enough[ahead]]
            if not len(ahead):
                break
            ready = torch.cholesky_solve(residual[ahead].T, self.factor).T * active[ahead]
            new = (residual[ahead] * ready).sum(1)
            keep = (new / slope[ahead])[:, None] if tries else 0.0
            way[ahead] = ready + keep * way[ahead]
            slope[ahead] = new
            moved = (way[ahead] @ self.gram + ridge * way[ahead]) * active[ahead]
            length = (new / (way[ahead] * moved).sum(1))[:, None]
            solution[ahead] += length * way[ahead]
            residual[ahead] -= length * moved
        failed = self._size(residual) > enough
        self.tired.update(on[failed].tolist())
        for row in failed.nonzero()[:, 0].tolist():
            rows = active[row].nonzero()[:, 0]
            y = signs[row, rows, None]
            solution[row, rows] = torch.cholesky_solve(y, self._factored(rows, c))[:, 0]
        return solution

    def _factored(self, rows: Tensor, c: float) -> Tensor:
        inner = self.gram[rows][:, rows]
        inner.diagonal().add_(1 / (2 * c))
        return torch.linalg.cholesky(inner)

    def _weights(self, sums: Tensor) -> Tensor:
        weights = sums.new_zeros(len(sums), self.problem.x.shape[1] + 1)
        weights[:, -1] = sums.sum(1)
        for at, part in chunks(self.problem.x, self.problem.device, torch.float64):
            weights[:, :-1] += sums[:, at] @ part
        return weights


def solve(
    problem: Problem, at: Iterate, tolerance: float, begun: float | None = None
) -> tuple[Tensor, Tensor]:
    """Weights, until each machine's gap is at most `tolerance` of its objective, and bounds.

    at: where to begin, found for the C `begun` if that is not None. A bound lies below the least
    objective; it is 0 where nothing better came along on the way. It may stop before.
    """
    rows, columns = problem.x.shape
    nothing = torch.zeros_like(at.objective)
    if columns <= min(WIDE, rows / 2):
        return _passes(problem, at, tolerance, _Columns(problem)), nothing
    # How much more than the ridge the rows bend; it decides, and not C, which depends on units.
    bend = 2 * problem.c * _mean_square(problem)
    if rows <= MOST:
        if begun is None:
            begun = problem.c * min(1.0, STIFF / bend)
        return _Rows(problem).solve(at, begun, tolerance)
    count = min(MOST, max(SAMPLE, rows // 10))
    if bend <= STEEP or rows > MANY:
        return _passes(problem, at, tolerance, _Sample(problem, count)), nothing
    if begun is None:
        begun = problem.c * STEEP / bend
        easier = Problem(problem.x, problem.signs, begun, problem.device)
        weights = _passes(easier, easier.at(at.weights), ROUGH, _Sample(easier, count))
        at = problem.at(weights)
    return _Rows(problem).solve(at, begun, tolerance)


def _mean_square(problem: Problem) -> float:
    """The mean length of a row, squared."""
    total = 0.0
    for _, part in chunks(problem.x, problem.device, torch.float32):
        total += float(part.square().sum())
    return 1 + total / len(problem.x)


def _passes(
    problem: Problem, at: Iterate, tolerance: float, curvature: _Columns | _Sample
) -> Tensor:
    """All machines in the same passes, each with its own rows in the margin."""
    begun = at.gradient.norm(dim=1)
    for _ in range(STEPS):
        unsettled = at.gap > tolerance * at.objective
        if not unsettled.any():
            break
        size = at.gradient.norm(dim=1)
        enough = torch.maximum(
            (size / begun).sqrt().clamp(max=LEAVE) * size, (tolerance * at.objective / 2).sqrt()
        )
        direction, along = _direction(problem, at, enough, unsettled, curvature)
        linear, square = (at.weights * direction).sum(1), direction.square().sum(1)
        length = _length(problem.signs, problem.c, at.scores, along, linear, square)
        new = problem.at(at.weights + length[:, None] * direction)
        stuck = unsettled & (new.objective >= at.objective) & (new.gap >= at.gap)
        at = new
        if stuck.any():
            if problem.dtype == torch.float64:
                break
            # The digits of single precision are used up.
            problem.dtype = torch.float64
            at = problem.at(at.weights)
    return at.weights


def _direction(
    problem: Problem, at: Iterate, enough: Tensor, unsettled: Tensor, curvature: _Columns | _Sample
) -> tuple[Tensor, Tensor]:
    """Newton's step M x (F + 1) and what it adds to the scores M x N; 0 of settled machines.

    By preconditioned conjugate gradients, to a residual as small as `enough`.
    """
    step, along = torch.zeros_like(at.weights), torch.zeros_like(at.scores)
    residual = -at.gradient
    solve = curvature.inverse(at.active)
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


def _length(
    signs: Tensor, c: float, scores: Tensor, along: Tensor, linear: Tensor, square: Tensor
) -> Tensor:
    """How far to go for the least objective on the way, M: exact, without a pass.

    scores, along: M x N, and what the way adds to them. linear, square: of the
    weights with the way, and of the way. The slope along the way rises in straight pieces, so
    Newton's method finds where it is 0.
    """
    length = torch.ones_like(linear)
    low, high = torch.zeros_like(length), torch.full_like(length, torch.inf)
    for _ in range(SEARCH):
        missing = (1 - signs * (scores + length[:, None] * along)).clamp(min=0)
        slope = linear + length * square
        slope -= 2 * c * (signs * along * missing).sum(1)
        curve = square + 2 * c * (along.square() * (missing > 0)).sum(1)
        low, high = torch.where(slope < 0, length, low), torch.where(slope > 0, length, high)
        new = length - slope / curve.clamp(min=1e-300)
        outside = (new <= low) | (new >= high)
        new = torch.where(outside, torch.where(high.isinf(), 2 * length, (low + high) / 2), new)
        if torch.allclose(new, length, rtol=1e-6, atol=0):
            break
        length = new
    return torch.where(square > 0, length, 0.0)
