"""Axes in latent space: linear directions of a value, and axes that keep other values constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dcgan_probe.errors import InputError

# Directions that differ by less are one: their difference is noise of what they were measured on,
# as of a label and its opposite.
SAME = 0.05


@dataclass(frozen=True, eq=False, kw_only=True)
class Regression:
    """Values as linear functions of z, by least squares.

    labels: L names. weights: L x z_size float64, the change of each value with each number of z.
    r2: L shares of a value's variance that the line explains of samples it was not fitted to; 0
    for a value that never changes. correlations: L x L float64, of the values themselves.
    deviations: L standard deviations of the values. samples: how many were fitted. exclusive: L x L
    bool, labels that hardly ever appear together, or None where the values are of no labels.
    """

    labels: tuple[str, ...]
    weights: Tensor
    r2: tuple[float, ...]
    correlations: Tensor
    deviations: tuple[float, ...]
    samples: int
    exclusive: Tensor | None = None

    def rows(self, labels: Sequence[str]) -> Tensor:
        """The weights of some labels, n x z_size float64."""
        return self.weights[[self.labels.index(label) for label in labels]]

    def r2_of(self, label: str) -> float:
        """The share of the variance of a label that the line explains."""
        return self.r2[self.labels.index(label)]

    def alike(self, label: str, others: Sequence[str]) -> float:
        """The strongest correlation of a label with any of others, of either sign; 0 if none."""
        row = self.correlations[self.labels.index(label)]
        return max((abs(float(row[self.labels.index(other)])) for other in others), default=0.0)

    def excluded_by(self, label: str, others: Sequence[str]) -> list[str]:
        """Those of some labels that hardly ever appear together with a label."""
        if self.exclusive is None:
            return []
        row = self.exclusive[self.labels.index(label)]
        return [other for other in others if row[self.labels.index(other)]]

    def most_moved(self, axis: Tensor) -> str:
        """The label that an axis (z_size) moves by most of its standard deviations."""
        moved = self.weights @ axis.double()
        deviations = torch.tensor(self.deviations, dtype=torch.float64)
        by = torch.where(deviations > 0, moved.abs() / deviations, torch.zeros_like(moved))
        return self.labels[int(by.argmax())]


def regress(z: Tensor, values: Tensor, labels: Sequence[str]) -> Regression:
    """Fit values of samples as linear functions of their z.

        >>> z = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
        >>> regress(z, z[:, :1] * 2, ["first"]).weights.round(decimals=3)
        tensor([[2., 0., 0.]], dtype=torch.float64)

    z: N x z_size; values: N x L. R^2 is that of each sample from the fit to all others
    (leave-one-out), so it does not rise with z_size alone. Raises InputError for fewer samples than
    z_size + 2: any values lie on a line then. Source: least squares; Allen (1974) for the R^2.
    """
    n, size = z.shape
    check_enough(n, size)
    inputs = torch.cat([z.double(), torch.ones(n, 1, dtype=torch.float64)], 1)
    y = values.double()
    coefficients = torch.linalg.lstsq(inputs, y).solution
    basis = torch.linalg.qr(inputs).Q
    # Of a linear fit the error on a sample left out follows from the fit to all.
    left_out = (y - inputs @ coefficients) / (1 - basis.square().sum(1, keepdim=True))
    centred = y - y.mean(0)
    total = centred.square().sum(0)
    varies = total > 1e-12 * n
    r2 = torch.where(varies, 1 - left_out.square().sum(0) / total.clamp_min(1e-300), 0.0)
    lengths = total.sqrt().clamp_min(1e-300)
    correlations = (centred.T @ centred) / lengths / lengths[:, None]
    # LAPACK's last bits depend on where memory lies, so two runs differ in them: they are cut off.
    return Regression(
        labels=tuple(labels),
        weights=coefficients[:-1].T.contiguous().float().double(),
        r2=tuple(r2.float().tolist()),
        correlations=correlations,
        deviations=tuple((total / n).sqrt().tolist()),
        samples=n,
    )


def check_enough(n: int, size: int) -> None:
    """Make sure that n samples say something of z_size numbers; InputError if not."""
    if n < size + 2:
        raise InputError(
            f"regression on z: found {n} samples of {size} numbers, expected at least {size + 2}"
        )


def hold(axis: Tensor, asked: Tensor, kept: Tensor, rest: bool = False) -> Tensor:
    """Return the nearest axis that changes the target as much and the kept values not at all.

        >>> one, other = torch.eye(3)[0], torch.eye(3)[1]
        >>> hold(torch.tensor([1.0, 2.0, 3.0]), one[None], other[None])
        tensor([1., 0., 3.])
        >>> hold(torch.tensor([1.0, 2.0, 3.0]), one[None], other[None], rest=True)
        tensor([1., 0., 0.])

    axis: z_size, or N x z_size float32. asked, kept: weights of linear functions of z, A x z_size
    and K x z_size. rest: keep also what no function describes: the shortest such axis. With nothing
    asked it is the part of the axis at right angles to what is kept. Functions of nearly the same
    direction, or the opposite, count as one. Returns axes of the same
    shape. Source: the conditional manipulation of InterFaceGAN (Shen et al. 2020, section 3.2),
    for several labels at once and without a change of what is asked.
    """
    axes = axis.double().reshape(-1, axis.shape[-1])
    functions = torch.nn.functional.normalize(torch.cat([kept.double(), asked.double()]))
    goal = axes @ functions.T
    goal[:, : len(kept)] = 0
    start = torch.zeros_like(axes) if rest else axes
    missing = goal - start @ functions.T
    moved = start + missing @ torch.linalg.pinv(functions, rtol=SAME).T
    return moved.to(axis.dtype).view_as(axis)
