"""Linear support vector machines of many features, one class against the rest."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dcgan_probe.errors import InputError, unknown

SOLVERS = ("auto", "library", "newton")
TOLERANCE = 1e-4
# Up to so many numbers LinearSVC takes a second or so; see benchmarks/features/solver.md.
LIBRARY_TAKES = 1_000_000
# Rows of the preconditioner, a tenth of all between these: more of them save passes over the
# features and cost more between the passes.
SAMPLE, MOST = 1024, 2048
STEPS, INNER, SEARCH = 100, 100, 60
# How much of the gradient a Newton step may leave, far from the solution.
LEAVE = 0.3
# A chunk is read once and multiplied twice: on a CPU it has to stay in the cache in between.
CHUNK_BYTES = {"cpu": 1 << 24, "cuda": 1 << 29}

Features = np.ndarray | Tensor


@dataclass(frozen=True, eq=False)
class Svm:
    """Linear machines, one a class, that `fit` found; the class of the largest score wins.

        >>> machine = fit(features, labels, c=1e-4)
        >>> machine.predict(features[:3])
        array([3, 8, 8])

    classes: K labels in ascending order. weights: K x F float32. intercepts: K float32. objective:
    K float64, the sum that was minimised. gap: K float64, what the objective lies above the least
    possible at most. solver: "library" or "newton", which one it was.
    """

    classes: np.ndarray
    weights: np.ndarray
    intercepts: np.ndarray
    objective: np.ndarray
    gap: np.ndarray
    c: float
    solver: str

    def scores(self, features: Features) -> np.ndarray:
        """How much speaks for each class: N x K float32, the border of each at 0.

        features: N x F, read in chunks. Raises InputError for another F.
        """
        x = _rows(features)
        if x.shape[1] != self.weights.shape[1]:
            raise InputError(
                f"features: found {x.shape[1]} columns, expected {self.weights.shape[1]}"
            )
        weights, intercepts = torch.from_numpy(self.weights), torch.from_numpy(self.intercepts)
        found = np.empty((len(x), len(self.classes)), np.float32)
        for at, part in _chunks(x, torch.device("cpu"), torch.float32):
            found[at] = (weights @ part.T).T.add_(intercepts).numpy()
        return found

    def predict(self, features: Features) -> np.ndarray:
        """The class of each row, N; the first of equal ones. See `scores`."""
        return self.classes[self.scores(features).argmax(1)]


def fit(
    features: Features,
    labels: Sequence[int] | np.ndarray | Tensor,
    c: float,
    *,
    solver: str = "auto",
    device: str | torch.device = "cpu",
    tolerance: float = TOLERANCE,
    start: Svm | None = None,
) -> Svm:
    """The linear machines with the least ``0.5 |(w, b)|^2 + c * sum max(0, 1 - y (w x + b))^2``.

        >>> machine = fit(features, labels, c=1e-4)
        >>> machine.weights.shape, bool((machine.gap <= 1e-4 * machine.objective).all())
        ((10, 7168), True)

    features: N x F float32, a map of a file as well; other floats are converted by the chunk.
    labels: N whole numbers of at least two kinds; y is 1 for a class and -1 for the rest. c > 0.
    This is scikit-learn's ``LinearSVC(C=c)``, with its penalty on the intercept. solver: "library"
    is that class; "newton" is ours, for features that do not fit into memory twice as doubles, on
    CPUs and on CUDA devices; "auto" takes the library's for small problems on the CPU, and goes
    on from there with ours if its gap is too wide. tolerance: the gap to end at, as a share of the
    objective; the library alone ends by a measure of its own, and ours warns if it stops before.
    start: a machine of the same classes and features to begin with, of another C for example;
    the library takes none.

    Raises InputError for an unknown solver; no rows; one class; labels of another length; c,
    tolerance or features that are not as they should be. Memory, beside the features: a
    chunk of 16 MiB (512 MiB on CUDA); M = 1024 to 2048 rows of them; and in doubles some M x M
    numbers a class, and about a dozen times K x F and N x K.
    Source: section 5.1 (a regularised linear L2-SVM).
    """
    if solver not in SOLVERS:
        raise unknown("solver", solver, SOLVERS, where="svm")
    for name, value in (("c", c), ("tolerance", tolerance)):
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"svm: {name}: found {value}, expected a finite number above 0")
    x = _rows(features)
    classes, owner = _labels(labels, len(x))
    device = torch.device(device)
    # Of two classes each is the other's rest: one machine says both.
    chosen = torch.arange(len(classes), device=device)[1 if len(classes) == 2 else 0 :, None]
    signs = torch.where(torch.from_numpy(owner).to(device) == chosen, 1.0, -1.0).double()
    problem = _Problem(x, signs, c, device)
    first = torch.zeros(len(signs), x.shape[1] + 1, dtype=torch.float64, device=device)
    if start is not None:
        shape = (len(classes), x.shape[1])
        if start.weights.shape != shape or not np.array_equal(start.classes, classes):
            raise InputError(
                f"svm: start: found {len(start.classes)} classes of {start.weights.shape[1]} "
                f"features, expected the same {shape[0]} classes of {shape[1]} features"
            )
        first = torch.from_numpy(np.column_stack([start.weights, start.intercepts])).to(first)
        first = first[-len(signs) :]
    _check_finite(x)
    small = device.type == "cpu" and x.numel() <= LIBRARY_TAKES
    used = "library" if solver == "library" or (solver == "auto" and small) else "newton"
    found = problem.at(_library(x, owner, c).to(first) if used == "library" else first)
    # The library ends by another measure, which can leave a gap where classes are far apart.
    if solver != "library" and (found.gap > tolerance * found.objective).any():
        used, found = "newton", _newton(problem, found, tolerance)
    weights = found.weights.float().cpu().numpy()
    objective, gap = found.objective.cpu().numpy(), found.gap.cpu().numpy()
    if len(classes) == 2:
        weights = np.concatenate([-weights, weights])
        objective, gap = objective.repeat(2), gap.repeat(2)
    weights, intercepts = np.ascontiguousarray(weights[:, :-1]), weights[:, -1].copy()
    return Svm(classes, weights, intercepts, objective, gap, c, used)


def _rows(features: Features) -> Tensor:
    """Features as a tensor that shares their memory, so that a map stays on the disk."""
    if not isinstance(features, Tensor):
        with warnings.catch_warnings():
            # It is only read: that a map is not writable is no harm.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            features = torch.from_numpy(np.asarray(features))
    if features.ndim != 2 or not features.is_floating_point() or not features.numel():
        shape = " x ".join(map(str, features.shape))
        raise InputError(
            f"features: found {shape} {str(features.dtype).removeprefix('torch.')}, "
            "expected N x F floats, at least one"
        )
    return features.detach()


def _labels(
    labels: Sequence[int] | np.ndarray | Tensor, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """The classes in ascending order, and the number of each row's among them."""
    found = labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        shape = " x ".join(map(str, found.shape))
        raise InputError(f"labels: found {shape} {found.dtype}, expected N whole numbers")
    if len(found) != rows:
        raise InputError(f"labels: found {len(found)}, expected one for each of {rows} rows")
    classes, owner = np.unique(found, return_inverse=True)
    if len(classes) < 2:
        raise InputError(f"labels: found only class {classes[0]}, expected at least two classes")
    return classes, owner


def _chunks(x: Tensor, device: torch.device, dtype: torch.dtype) -> Iterator[tuple[slice, Tensor]]:
    """Rows a chunk at a time, and where they are."""
    size = max(1, CHUNK_BYTES.get(device.type, CHUNK_BYTES["cuda"]) // (4 * x.shape[1]))
    for first in range(0, len(x), size):
        at = slice(first, min(first + size, len(x)))
        yield at, x[at].to(device, dtype)


def _check_finite(x: Tensor) -> None:
    for at, part in _chunks(x, x.device, x.dtype):
        if not part.isfinite().all():
            row = at.start + int((~part.isfinite().all(1)).nonzero()[0])
            raise InputError(f"features: row {row}: found NaN or infinity, expected finite numbers")


def _library(x: Tensor, owner: np.ndarray, c: float) -> Tensor:
    from sklearn.svm import LinearSVC

    machine = LinearSVC(C=c, tol=1e-6, max_iter=100_000, dual="auto", random_state=0)
    machine.fit(x.cpu().numpy(), owner)
    return torch.from_numpy(np.column_stack([machine.coef_, machine.intercept_]))


class _Point(NamedTuple):
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


class _Problem:
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
        for at, part in _chunks(self.x, self.device, self.dtype):
            scores[:, at] = (narrow @ part.T).double() + weights[:, -1:]
            factors = f(at, scores[:, at])
            product[:, :-1] += factors.to(self.dtype) @ part
            product[:, -1] += factors.sum(1)
        return scores, product

    def at(self, weights: Tensor) -> _Point:
        """Objective and gradient."""

        def loss(at: slice, scores: Tensor) -> Tensor:
            signs = self.signs[:, at]
            return signs * (1 - signs * scores).clamp(min=0)

        scores, product = self.swept(weights, loss)
        missing = (1 - self.signs * scores).clamp(min=0)
        objective = weights.square().sum(1) / 2 + self.c * missing.square().sum(1)
        return _Point(weights, scores, missing > 0, objective, weights - 2 * self.c * product)


class _Sample:
    """The curvature of some rows, to be inverted: it stands for all, and is all of few rows."""

    def __init__(self, problem: _Problem, count: int):
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


def _newton(problem: _Problem, at: _Point, tolerance: float) -> _Point:
    """Newton's method, all machines in the same passes, each with its own rows in the margin.

    Source: Keerthi and DeCoste (2005); Lin, Weng and Keerthi (2008).
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
    problem: _Problem, at: _Point, enough: Tensor, unsettled: Tensor, sample: _Sample
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


def _length(problem: _Problem, at: _Point, direction: Tensor, along: Tensor) -> Tensor:
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
