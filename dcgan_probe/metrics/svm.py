"""Linear support vector machines of many features, one class against the rest."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dcgan_probe.errors import InputError, unknown
from dcgan_probe.metrics import newton
from dcgan_probe.metrics.inputs import Numbers, shape, tensor

SOLVERS = ("auto", "library", "newton")
TOLERANCE = 1e-4
# A part of it is left for what rounding the weights to single precision adds.
ROOM = 0.9
# Where LinearSVC is faster: few numbers, or mostly zeros. See benchmarks/features/solver.md.
LIBRARY_TAKES = 100_000
SPARSE = 0.2
# Tolerances of LinearSVC, as the gap allows, between these: of its primal, and of its dual.
FINE, COARSE = 1e-4, 1e-2
DUAL_FINE, DUAL_COARSE = 1e-5, 1e-3
# Measured, the dual leaves a gap of (bend * tolerance / 5)^2 at most, where rows bend so much more
# than the ridge; this keeps it below half of the gap that is asked for.
DUAL = 3.0


@dataclass(frozen=True, eq=False)
class Svm:
    """Linear machines, one for each class, from `fit`; the largest score wins.

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

    def scores(self, features: Numbers) -> np.ndarray:
        """The score of each class: N x K float32, the border of each at 0.

        features: N x F, read in chunks. Raises InputError for another F.
        """
        x = _rows(features)
        if x.shape[1] != self.weights.shape[1]:
            raise InputError(
                f"features: found {x.shape[1]} columns, expected {self.weights.shape[1]}"
            )
        weights, intercepts = torch.from_numpy(self.weights), torch.from_numpy(self.intercepts)
        scores = np.empty((len(x), len(self.classes)), np.float32)
        for at, part in newton.chunks(x, torch.device("cpu"), torch.float32):
            scores[at] = (weights @ part.T).T.add_(intercepts).numpy()
        return scores

    def predict(self, features: Numbers) -> np.ndarray:
        """The class of each row, N; the first of equal ones. See `scores`."""
        return self.classes[self.scores(features).argmax(1)]


def fit(
    features: Numbers,
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
    CPUs and on CUDA devices; "auto" takes the library's on the CPU for small problems and for
    features that are mostly 0, and continues from there with "newton" if its gap is too wide.
    tolerance: the gap to end at, as a share of the objective, of the weights as returned; the
    library alone ends by a measure of its own, and ours warns if it stops before.
    start: a machine of the same classes and features to begin with, of another C for example;
    the library takes none.

    Raises InputError for an unknown solver; no rows; one class; labels of another length; c,
    tolerance or features that are not as they should be. Memory, beside the features: a
    chunk of 16 MiB (512 MiB on CUDA); M = 1024 to 2048 rows of them; and in doubles some M x M
    numbers a class, and about a dozen times K x F and N x K. Where C is large for the length of
    rows and they are at most 16,384: N x N doubles, and beyond that it may stop early, and warn.
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
    problem = newton.Problem(x, signs, c, device)
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
    density = _density(x)
    used = solver
    if solver == "auto":
        handed_over = device.type == "cpu" and _suits_the_library(x, density)
        used = "library" if handed_over else "newton"
    bound = torch.zeros(len(signs), dtype=torch.float64, device=device)
    begun = None if start is None else start.c
    if used == "library":
        machines = _library(x, owner, signs, c, density, tolerance)
        first, objective, gap = (part.to(first) for part in machines)
        # The library ends by another measure, which can leave a gap where classes are far apart.
        if solver == "auto" and (gap > tolerance * objective).any():
            used, begun = "newton", c
    if used == "newton":
        for precision in (torch.float32, torch.float64):
            problem.dtype = precision
            first, bound = newton.solve(problem, problem.at(first), ROOM * tolerance, begun)
            begun = c
            first, objective, gap = problem.rounded(first, bound, tolerance)
            if (gap <= tolerance * objective).all():
                break
        else:
            worst = float((gap / objective).max())
            warnings.warn(
                f"svm: stopped at a gap of {worst:.1e}, expected {tolerance:.1e}", stacklevel=2
            )
    weights = first.float().cpu().numpy()
    least, above = objective.cpu().numpy(), gap.cpu().numpy()
    if len(classes) == 2:
        weights = np.concatenate([-weights, weights])
        least, above = least.repeat(2), above.repeat(2)
    weights, intercepts = np.ascontiguousarray(weights[:, :-1]), weights[:, -1].copy()
    return Svm(classes, weights, intercepts, least, above, c, used)


def _rows(features: Numbers) -> Tensor:
    """Numbers as a tensor that shares their memory, so that a map stays on the disk."""
    rows = tensor(features, "features").detach()
    if rows.ndim != 2 or not rows.is_floating_point() or not rows.numel():
        raise InputError(
            f"features: found {shape(rows)} {str(rows.dtype).removeprefix('torch.')}, "
            "expected N x F floats, at least one"
        )
    return rows


def _labels(
    labels: Sequence[int] | np.ndarray | Tensor, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """The classes in ascending order, and the number of each row's among them."""
    numbers = labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        shape = " x ".join(map(str, numbers.shape))
        raise InputError(f"labels: found {shape} {numbers.dtype}, expected N whole numbers")
    if len(numbers) != rows:
        raise InputError(f"labels: found {len(numbers)}, expected one for each of {rows} rows")
    classes, owner = np.unique(numbers, return_inverse=True)
    if len(classes) < 2:
        raise InputError(f"labels: found only class {classes[0]}, expected at least two classes")
    return classes, owner


def _density(x: Tensor) -> float:
    """The share of numbers that are not 0; InputError unless all are finite."""
    filled = 0
    for at, part in newton.chunks(x, x.device, x.dtype):
        if not torch.stack(part.aminmax()).isfinite().all():  # NaN is both
            row = at.start + int((~part.isfinite().all(1)).nonzero()[0])
            raise InputError(f"features: row {row}: found NaN or infinity, expected finite numbers")
        filled += int(part.count_nonzero() if part.is_cuda else np.count_nonzero(_filled(part)))
    return filled / x.numel()


def _filled(part: Tensor) -> np.ndarray:
    """Where numbers are not 0. numpy compares in a tenth of the time of torch."""
    part = part.cpu()
    filled: np.ndarray = (part.float() if part.dtype == torch.bfloat16 else part).numpy() != 0
    return filled


def _suits_the_library(x: Tensor, density: float) -> bool:
    return x.numel() <= LIBRARY_TAKES or density < SPARSE


def _library(
    x: Tensor, owner: np.ndarray, signs: Tensor, c: float, density: float, tolerance: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights by LinearSVC; and of these in single precision the objective and the gap.

    tolerance: the gap to end at; its own tolerance follows from it.
    """
    from sklearn.svm import LinearSVC

    # Coordinate descent in the dual suits many columns; few are faster by the primal, whose
    # tolerance means more.
    dual = x.shape[1] >= min(len(x), newton.WIDE)
    values = _sparse(x) if density < SPARSE else x.cpu().double().numpy()
    y = signs.cpu().numpy().T
    gap_left = ROOM * tolerance
    if dual:
        ends = _dual_tolerance(values, c, gap_left)
    else:
        ends = _primal_tolerance(values, y, c, gap_left)
    machine = LinearSVC(C=c, tol=ends, max_iter=100_000, dual=dual, random_state=0)
    machine.fit(values, owner)
    weights = np.column_stack([machine.coef_, machine.intercept_])

    def at(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The objective, and a bound below the least one; see newton.Iterate.gap."""
        left = np.maximum(0, 1 - y * (values @ weights[:, :-1].T + weights[:, -1]))
        objective = np.square(weights).sum(1) / 2 + c * np.square(left).sum(0)
        factors = y * left
        product = np.column_stack([(values.T @ factors).T, factors.sum(0)])
        return objective, objective - np.square(weights - 2 * c * product).sum(1) / 2

    objective, bound = at(weights.astype(np.float32).astype(np.float64))
    if (objective - bound > tolerance * objective).any():  # see newton.Problem.rounded
        bound = np.maximum(bound, at(weights)[1])
    gap = np.maximum(objective - bound, 0)
    return torch.from_numpy(weights), torch.from_numpy(objective), torch.from_numpy(gap)


def _dual_tolerance(values: Any, c: float, gap: float) -> float:
    """A tolerance of liblinear's dual that leaves less than half of this gap, in its bounds."""
    from sklearn.utils.extmath import row_norms

    bend = 2 * c * (1 + float(row_norms(values, squared=True).mean()))
    return float(np.clip(DUAL * math.sqrt(gap) / bend, DUAL_FINE, DUAL_COARSE))


def _primal_tolerance(values: Any, y: np.ndarray, c: float, gap: float) -> float:
    """The largest tolerance of liblinear's primal that leaves at most this gap, in its bounds.

    It ends where the gradient is as short as tolerance * rarer / N * |start|: its length without
    weights, and the share of the rarer sign. Half the squared gradient is a gap (see
    newton.Iterate.gap), and equal dual variables for all rows bound the objective from below.
    """
    start = 2 * c * np.sqrt(np.square(values.T @ y).sum(0) + np.square(y.sum(0)))
    rarer = np.minimum((y > 0).sum(0), (y < 0).sum(0)) / len(y)
    bound = np.square(2 * c * len(y)) / (start**2 + 2 * c * len(y)) / 2
    wanted = np.sqrt(2 * gap * bound) / np.maximum(rarer * start, np.finfo(float).tiny)
    return float(np.clip(wanted.min(), FINE, COARSE))


def _sparse(x: Tensor) -> Any:
    """As scipy's CSR matrix of doubles, in a third of the time that scipy takes."""
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

    flat = x.cpu().flatten()
    at = np.flatnonzero(_filled(flat))
    starts = np.searchsorted(at, np.arange(0, x.numel() + 1, x.shape[1]))
    columns = at % x.shape[1]
    return csr_matrix((flat[torch.from_numpy(at)].double().numpy(), columns, starts), x.shape)
