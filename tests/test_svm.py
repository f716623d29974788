"""The solver held against scikit-learn's LinearSVC, scipy and autograd."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.datasets import load_digits
from sklearn.svm import LinearSVC

from dcgan_probe.errors import InputError
from dcgan_probe.metrics import newton, svm

Data = tuple[np.ndarray, np.ndarray]


def noisy(classes: int = 10, n: int = 600, width: int = 80, apart: float = 1.0) -> Data:
    """Clouds around a centre for each class."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % classes
    centres = apart * rng.standard_normal((classes, width))
    x = centres[labels] / width**0.25 + rng.standard_normal((n, width))
    return x.astype(np.float32), labels


def unbalanced() -> Data:
    """Three classes of 5, 20 and 475 rows, and labels that do not count from 0."""
    x, _ = noisy(3, 500)
    labels = np.repeat([-4, 7, 100], [5, 20, 475])
    x[:25] += 0.5
    return x, labels


def offset() -> Data:
    """As max-pooled maps are: far from the origin, all columns of one sign, unlike in scale."""
    x, labels = noisy()
    scale = np.geomspace(0.1, 10, x.shape[1], dtype=np.float32)
    return np.abs(x) * scale + 20, labels


PROBLEMS: dict[str, tuple[Callable[[], Data], float]] = {
    "two classes": (lambda: noisy(2), 0.1),
    "ten classes": (noisy, 0.01),
    "separable": (lambda: noisy(3, 200, apart=10), 1.0),
    "more columns than rows": (lambda: noisy(10, 100, 400), 1e-3),
    "unbalanced": (unbalanced, 0.1),
    "large common offset": (offset, 1e-3),
}


@pytest.fixture(params=PROBLEMS)
def problem(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, float]:
    make, c = PROBLEMS[request.param]
    return *make(), c


def objective(weights: np.ndarray, x: np.ndarray, labels: np.ndarray, c: float) -> np.ndarray:
    """What LinearSVC minimises, for each class; weights K x (F + 1). Written from its manual."""
    scores = x.astype(np.float64) @ weights[:, :-1].T + weights[:, -1]
    signs = np.where(labels[:, None] == np.unique(labels), 1, -1)
    signs = signs[:, -len(weights) :]
    losses = np.maximum(0, 1 - signs * scores) ** 2
    return 0.5 * (weights**2).sum(1) + c * losses.sum(0)


def theirs(x: np.ndarray, labels: np.ndarray, c: float) -> tuple[LinearSVC, np.ndarray]:
    # dual=False is the slower way of liblinear, and the one that reaches so small a tolerance.
    machine = LinearSVC(C=c, tol=1e-8, max_iter=100_000, dual=False)
    machine.fit(x.astype(np.float64), labels)
    return machine, np.column_stack([machine.coef_, machine.intercept_])


# Each way to solve, forced by what it is chosen by.
WAYS = {
    "columns": {"WIDE": 10**4},
    "rows": {"WIDE": 0, "MOST": 10**4},
    "many rows": {"WIDE": 0, "MOST": 64, "SAMPLE": 64},
    "sampled": {"WIDE": 0, "MOST": 64, "SAMPLE": 64, "MANY": 0},
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in WAYS[request.param].items():
        monkeypatch.setattr(newton, name, value)
    return request.param


def test_newton_reaches_the_objective_of_linear_svc(
    problem: tuple[np.ndarray, np.ndarray, float], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, labels, c = problem
    monkeypatch.setitem(newton.CHUNK_BYTES, "cpu", 4 * x.shape[1] * 97)  # many uneven chunks
    ours = svm.fit(x, labels, c, solver="newton", tolerance=1e-6)
    machine, weights = theirs(x, labels, c)
    best = objective(weights, x, labels, c)
    found = objective(np.column_stack([ours.weights, ours.intercepts]), x, labels, c)
    np.testing.assert_allclose(found, best.repeat(len(found) // len(best)), rtol=1e-5)
    np.testing.assert_allclose(ours.objective, found, rtol=1e-5)
    assert (ours.gap <= 1e-6 * ours.objective).all()
    # Rows that the library itself puts on the border, to single precision, may fall either way.
    scores = machine.decision_function(x)
    ordered = np.sort(scores, 1) if scores.ndim == 2 else np.abs(scores)[:, None] * [0, 1]
    clear = ordered[:, -1] - ordered[:, -2] > 1e-2
    assert clear.mean() > 0.9
    assert (ours.predict(x) == machine.predict(x))[clear].all()


def test_small_problems_end_within_the_gap_too(
    problem: tuple[np.ndarray, np.ndarray, float],
) -> None:
    x, labels, c = problem
    machine = svm.fit(x, labels, c)
    assert (machine.gap <= svm.TOLERANCE * machine.objective).all()
    _, weights = theirs(x, labels, c)
    best = objective(weights, x, labels, c)
    np.testing.assert_allclose(machine.objective, best.repeat(2) if len(best) == 1 else best, 1e-4)


@pytest.mark.parametrize("c", [1e-3, 1.0])
@pytest.mark.parametrize("shape", [(300, 40), (60, 1500)])
def test_the_gap_of_the_library_bounds_its_distance_from_the_least(shape, c) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=shape[0])
    x = np.maximum(rng.normal(size=shape) + np.eye(3)[labels] @ rng.normal(size=(3, shape[1])), 2)
    x = (x - 2).astype(np.float32)  # mostly zeros
    ours = svm.fit(x, labels, c, solver="library")
    least = svm.fit(x, labels, c, solver="newton", tolerance=1e-9)
    weights = np.column_stack([ours.weights, ours.intercepts]).astype(float)
    mine = objective(weights, x, labels, c)
    np.testing.assert_allclose(ours.objective, mine, rtol=1e-12)
    above = mine - (least.objective - least.gap)
    assert (above >= 0).all() and (mine - least.objective <= ours.gap).all()
    assert (ours.gap <= 1e-4 * ours.objective).all()


@pytest.mark.parametrize("c", [1e-5, 1e-3, 0.1])
@pytest.mark.parametrize("make", [noisy, unbalanced, offset])
def test_the_tolerance_of_the_library_leaves_the_gap_that_is_asked_for(
    make: Callable[[], Data], c: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the limits of that tolerance: it follows from the problem alone."""
    monkeypatch.setattr(svm, "FINE", 1e-9)
    monkeypatch.setattr(svm, "COARSE", 10.0)
    x, labels = make()
    rough, fine = (svm.fit(x, labels, c, solver="library", tolerance=t) for t in (1e-2, 1e-6))
    assert (rough.gap <= 1e-2 * rough.objective).all()
    assert (fine.gap <= 1e-6 * fine.objective).all()
    assert rough.gap.max() > fine.gap.max()


def test_the_library_takes_what_is_small_or_sparse() -> None:
    x, labels = noisy()
    assert svm.fit(x, labels, 0.01).solver == "library"
    x, labels = noisy(2, 1100, 500)
    assert svm.fit(x, labels, 1e-3).solver == "newton"
    sparse = np.where(x > 2.5, x, 0)
    assert 0 < (sparse != 0).mean() < svm.SPARSE
    machine = svm.fit(sparse, labels, 1e-3)
    assert machine.solver == "library"
    _, weights = theirs(sparse, labels, 1e-3)
    np.testing.assert_allclose(machine.objective, objective(weights, sparse, labels, 1e-3)[0], 1e-4)


@pytest.mark.parametrize("c", [1e-3, 0.1, 1.0])
@pytest.mark.parametrize("make", [offset, lambda: noisy(3, 200, 300)], ids=["offset", "wide"])
def test_weights_in_single_precision_keep_the_gap_that_is_stated(
    make: Callable[[], Data], c: float, way: str
) -> None:
    """Worked out anew from what is returned, against liblinear's optimum in doubles."""
    x, labels = make()
    ours = svm.fit(x, labels, c, solver="newton")
    weights = np.column_stack([ours.weights, ours.intercepts]).astype(np.float64)
    found = objective(weights, x, labels, c)
    np.testing.assert_allclose(ours.objective, found, rtol=1e-9)
    assert (ours.gap <= svm.TOLERANCE * ours.objective).all()
    # Any weights lie above the bound; liblinear's are close enough to the optimum to prove it.
    machine = LinearSVC(C=c, tol=1e-6, max_iter=10_000, dual=len(x) < x.shape[1])
    machine.fit(x.astype(np.float64), labels)
    best = objective(np.column_stack([machine.coef_, machine.intercept_]), x, labels, c)
    assert (found - ours.gap <= best * (1 + 1e-9)).all()


@pytest.mark.parametrize("c", [10.0, 1e4])
def test_a_large_c_does_not_stall(c: float) -> None:
    digits = load_digits()
    x, labels = digits.data[:600].astype(np.float32), digits.target[:600]
    ours = svm.fit(x, labels, c, solver="newton")
    assert (ours.gap <= svm.TOLERANCE * ours.objective).all()


def test_the_optimum_is_that_of_scipy() -> None:
    x, labels = noisy(2, 120, 12)
    found = minimize(
        lambda w: float(objective(w[None], x, labels, 0.1)[0]), np.zeros(13), method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-9, "maxfun": 10**6, "maxiter": 10**4},
    )  # fmt: skip
    ours = svm.fit(x, labels, 0.1, solver="newton", tolerance=1e-8)
    assert ours.objective[1] == pytest.approx(found.fun, rel=1e-7)
    np.testing.assert_allclose(ours.weights[1], found.x[:-1], atol=1e-4)


def test_features_that_say_nothing_leave_the_loss_of_not_knowing() -> None:
    machine = svm.fit(np.zeros((10, 3), np.float32), np.arange(10) % 2, 0.7, solver="newton")
    np.testing.assert_allclose(machine.objective, 7.0)  # c * 10 rows * (1 - 0)^2
    assert not machine.weights.any() and not machine.intercepts.any()


def test_the_gradient_is_that_of_autograd_and_half_its_square_the_duality_gap() -> None:
    x, labels = noisy(3, 100, 20)
    signs = torch.where(torch.from_numpy(labels) == torch.arange(3)[:, None], 1.0, -1.0).double()
    problem = newton.Problem(torch.from_numpy(x), signs, 0.3, torch.device("cpu"))
    problem.dtype = torch.float64
    weights = torch.randn(3, 21, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights.requires_grad_()
    scores = weights[:, :-1] @ torch.from_numpy(x).double().T + weights[:, -1:]
    missing = (1 - signs * scores).relu()
    primal = weights.square().sum(1) / 2 + 0.3 * missing.square().sum(1)
    (gradient,) = torch.autograd.grad(primal.sum(), weights)
    at = problem.at(weights.detach())
    torch.testing.assert_close(at.gradient, gradient)
    torch.testing.assert_close(at.objective, primal.detach())
    alpha = 2 * 0.3 * missing.detach()
    ones = torch.cat([torch.from_numpy(x).double(), torch.ones(100, 1)], 1)
    dual = alpha.sum(1) - ((alpha * signs) @ ones).square().sum(1) / 2
    dual -= alpha.square().sum(1) / (4 * 0.3)
    torch.testing.assert_close(at.gap, primal.detach() - dual)


def test_far_from_the_origin_single_precision_is_not_the_end() -> None:
    x, labels = noisy(3, 200, 30)
    x += 1000
    ours = svm.fit(x, labels, 0.1, solver="newton", tolerance=1e-5)
    _, weights = theirs(x, labels, 0.1)
    np.testing.assert_allclose(ours.objective, objective(weights, x, labels, 0.1), rtol=1e-4)


def test_a_start_saves_passes_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = noisy()
    passes = 0
    swept = newton.Problem.swept

    def counted(*arguments: object) -> object:
        nonlocal passes
        passes += 1
        return swept(*arguments)  # type: ignore[arg-type]

    cold = svm.fit(x, labels, 0.01, solver="newton", tolerance=1e-6)
    near = svm.fit(x, labels, 0.009, solver="newton", tolerance=1e-6)
    monkeypatch.setattr(newton.Problem, "swept", counted)
    svm.fit(x, labels, 0.01, solver="newton", tolerance=1e-6)
    without, passes = passes, 0
    warm = svm.fit(x, labels, 0.01, solver="newton", tolerance=1e-6, start=near)
    assert passes < without
    np.testing.assert_allclose(warm.objective, cold.objective, rtol=1e-6)
    svm.fit(x, labels, 0.01, solver="newton", tolerance=1e-5, start=cold)


def test_maps_tensors_strided_and_other_floats_are_the_same_features(tmp_path) -> None:  # type: ignore[no-untyped-def]
    x, labels = noisy(3, 90, 20)
    np.save(tmp_path / "x.npy", np.concatenate([x, x], 1))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")[:, 20:]
    kinds = (x, mapped, torch.from_numpy(x), x.astype(np.float64), np.asfortranarray(x))
    first, *others = (svm.fit(kind, labels, 0.1, solver="newton") for kind in kinds)
    for other in others:
        np.testing.assert_allclose(other.weights, first.weights, atol=1e-5)
    np.testing.assert_allclose(first.scores(mapped), x @ first.weights.T + first.intercepts, 1e-4)
    assert first.scores(x).dtype == first.weights.dtype == np.float32


def test_the_same_twice_is_the_same_to_the_bit() -> None:
    x, labels = noisy()
    a, b = (svm.fit(x, labels, 0.01, solver="newton") for _ in range(2))
    assert np.array_equal(a.weights, b.weights)


def test_stopping_early_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newton, "STEPS", 1)
    with pytest.warns(UserWarning, match="svm: stopped at a gap of"):
        svm.fit(*noisy(), 0.1, solver="newton")


X, Y = noisy(3, 30, 4)
NAN = np.where(np.arange(30)[:, None] == 17, np.nan, X).astype(np.float32)
INFINITE = np.where(np.arange(30)[:, None] == 29, np.inf, X).astype(np.float32)


@pytest.mark.parametrize(
    "arguments, options, words",
    [
        ((X, Y * 0 + 5, 1.0), {}, "labels: found only class 5, expected at least two classes"),
        ((X, Y[:29], 1.0), {}, "labels: found 29, expected one for each of 30 rows"),
        ((X, Y + 0.5, 1.0), {}, "labels: found 30 float64, expected N whole numbers"),
        ((NAN, Y, 1.0), {}, "features: row 17: found NaN or infinity"),
        ((INFINITE, Y, 1.0), {}, "features: row 29: found NaN or infinity"),
        ((X[:0], Y[:0], 1.0), {}, "features: found 0 x 4 float32, expected N x F floats"),
        ((X[0], Y, 1.0), {}, "features: found 4 float32, expected N x F floats"),
        ((X.astype(int), Y, 1.0), {}, "features: found 30 x 4 int64, expected N x F floats"),
        ((X, Y, 0.0), {}, "svm: c: found 0.0, expected a finite number above 0"),
        ((X, Y, -1.0), {}, "svm: c: found -1.0"),
        ((X, Y, float("nan")), {}, "svm: c: found nan"),
        ((X, Y, 1.0), {"tolerance": 0.0}, "svm: tolerance: found 0.0"),
        ((X, Y, 1.0), {"solver": "sgd"}, "unknown solver 'sgd', expected one of: auto, library"),
    ],
)
def test_bad_input_is_one_line(arguments: tuple, options: dict, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        svm.fit(*arguments, **options)


def test_a_start_or_rows_of_another_kind_are_refused() -> None:
    machine = svm.fit(X, Y, 1.0)
    with pytest.raises(InputError, match="start: found 3 classes of 4 features, expected the same"):
        svm.fit(X[:, :3], Y, 1.0, start=machine)
    with pytest.raises(InputError, match="found 3 columns, expected 4"):
        machine.predict(X[:, :3])


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_finds_the_same() -> None:
    x, labels = noisy()
    here = svm.fit(x, labels, 0.01, solver="newton", tolerance=1e-6)
    there = svm.fit(x, labels, 0.01, device="cuda", tolerance=1e-6)
    np.testing.assert_allclose(there.objective, here.objective, rtol=1e-5)
