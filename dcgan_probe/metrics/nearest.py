"""Exact nearest neighbours of a few vectors among many that arrive in batches."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dcgan_probe.errors import InputError
from dcgan_probe.metrics.inputs import Numbers, tensor
from dcgan_probe.networks.arithmetic import multiplies_bfloat16

EXACT_NUMBERS = 1 << 16  # of the pairs that are measured at once, which then fit into a CPU's cache
# Measuring a pair takes as long as some fifty of the matrix product in float32.
FEW = 1 / 50


class Search:
    """The k nearest references of each query, among references that are seen once.

        >>> search = Search(torch.zeros(2, 3), k=2)
        >>> for batch in torch.eye(3).split(2):
        ...     search.add(batch)
        >>> search.indices
        array([[0, 1],
               [0, 1]])

    queries: Q x D, finite: float32 as they are, others as float64; references are brought to their
    type and device. The result is exact: a matrix
    product rules out most pairs, by a bound on its own rounding (Higham 2002, equation 3.5), and
    the others are measured in float64 from their differences, so that the distance of equal
    vectors is 0. Of equal distances the reference that came first goes first. The product is in
    float32. On CPUs that multiply bfloat16 it is in bfloat16 first, which takes half the time, and
    in float32 as well where that leaves more than `FEW` of the pairs.

    Memory: the queries, one batch of B references, both by half more where they are in bfloat16
    too, and 16 bytes for each of Q x B pairs, however many references come.

    Raises InputError for fewer than one query or neighbour, and for numbers that are not finite.
    """

    def __init__(self, queries: Numbers, k: int = 1):
        queries = tensor(queries, "queries").detach()
        queries = queries if queries.dtype == torch.float32 else queries.double()
        if k < 1 or queries.ndim != 2 or not len(queries):
            shape = " x ".join(map(str, queries.shape))
            raise InputError(f"search: found queries {shape}, k={k}, expected Q x D, k at least 1")
        self.queries = queries
        self.k = k
        self.seen = 0
        self._norms = _norms(queries, "queries")
        # gamma of the D products of a norm and of twice an inner product, which by Cauchy and
        # Schwarz is at most the norms' sum, and a few roundings more.
        units = (queries.shape[1] + 8) * torch.finfo(torch.float32).eps / 2
        self._rounding = 2 * units / (1 - 2 * units)
        # In bfloat16 both factors and the product are rounded; it is summed in float32.
        unit = torch.finfo(torch.bfloat16).eps / 2
        self._coarse_rounding = (1 + unit) ** 3 - 1 + 2 * self._rounding
        self._coarse = queries.bfloat16() if multiplies_bfloat16(queries.device) else None
        self._distances = np.full((len(queries), k), np.inf)
        self._indices = np.full((len(queries), k), -1, np.int64)

    @property
    def distances(self) -> np.ndarray:
        """Q x k float64, ascending: Euclidean; infinite where fewer than k references came."""
        return np.sqrt(self._distances)

    @property
    def indices(self) -> np.ndarray:
        """Q x k int64: which of all references, in the order they came; -1 if missing."""
        return self._indices

    def add(self, references: Numbers) -> None:
        """Look at more references, B x D."""
        references = tensor(references, "references").detach()
        if references.ndim != 2 or references.shape[1] != self.queries.shape[1]:
            shape = " x ".join(map(str, references.shape))
            raise InputError(f"references: found {shape}, expected B x {self.queries.shape[1]}")
        references = references.to(self.queries)
        rows, columns = self._candidates(references, _norms(references, "references"))
        step = max(1, EXACT_NUMBERS // references.shape[1])
        exact = [
            _squared_distances(self.queries, references, r, c)
            for r, c in zip(rows.split(step), columns.split(step), strict=True)
        ]
        if exact:
            self._merge(rows.cpu().numpy(), columns.cpu().numpy(), np.concatenate(exact))
        self.seen += len(references)

    def _candidates(self, references: Tensor, norms: Tensor) -> tuple[Tensor, Tensor]:
        """Pairs of query and reference that may be among the k nearest; no other pair is."""
        sums = self._norms[:, None] + norms
        if self._coarse is not None:
            products = (self._coarse @ references.bfloat16().T).float()
            rows, columns = self._possible(products, sums, self._coarse_rounding)
            if len(rows) <= FEW * sums.numel():
                return rows, columns
        return self._possible(self.queries @ references.T, sums, self._rounding)

    def _possible(self, products: Tensor, sums: Tensor, rounding: float) -> tuple[Tensor, Tensor]:
        """Pairs that may be among the k nearest, if products are right to `rounding` of sums."""
        products.mul_(-2)
        worst = torch.from_numpy(self._distances[:, -1]).to(sums)
        if sums.shape[1] >= self.k:
            most = torch.add(products, sums, alpha=1 + rounding)
            worst = worst.minimum(most.kthvalue(self.k, dim=1).values)
        least = products.add_(sums, alpha=1 - rounding)
        rows, columns = torch.where(least <= worst[:, None])
        return rows, columns

    def _merge(self, rows: np.ndarray, columns: np.ndarray, exact: np.ndarray) -> None:
        """Keep the k least of what was kept and what was measured, of each query."""
        changed = np.unique(rows)
        owner = np.concatenate([np.repeat(changed, self.k), rows])
        distance = np.concatenate([self._distances[changed].ravel(), exact])
        index = np.concatenate([self._indices[changed].ravel(), columns + self.seen])
        order = np.lexsort((index, distance, owner))
        firsts = np.searchsorted(owner[order], changed)
        best = order[firsts[:, None] + np.arange(self.k)]
        self._distances[changed], self._indices[changed] = distance[best], index[best]


def _squared_distances(x: Tensor, y: Tensor, rows: Tensor, columns: Tensor) -> np.ndarray:
    """Of rows of x to those of y, in float64."""
    if x.device.type != "cpu":
        apart = x[rows].double().sub_(y[columns])
        return torch.linalg.vecdot(apart, apart).cpu().numpy()
    # numpy takes half as long: it converts a block at a time, in the cache.
    a, b = x.numpy()[rows.numpy()], y.numpy()[columns.numpy()]
    difference = np.subtract(a, b, dtype=np.float64)
    return np.vecdot(difference, difference)


def _norms(vectors: Tensor, name: str) -> Tensor:
    """Squared lengths; InputError for vectors with numbers that are not finite."""
    norms = torch.linalg.vecdot(vectors, vectors)
    if not norms.isfinite().all():
        raise InputError(f"{name}: found NaN, infinite or too large numbers, expected finite ones")
    return norms
