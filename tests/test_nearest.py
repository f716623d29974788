"""The streamed search finds what scipy's trees and brute force find, and exact zeros."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from dcgan_probe.errors import InputError
from dcgan_probe.metrics import nearest
from dcgan_probe.metrics.nearest import Search


def found(queries: np.ndarray, references: np.ndarray, k: int, batch: int) -> Search:
    search = Search(torch.from_numpy(queries), k)
    for start in range(0, len(references), batch):
        search.add(torch.from_numpy(references[start : start + batch]))
    return search


@pytest.mark.parametrize("batch", [1, 7, 64, 500])
def test_it_finds_what_a_tree_finds(batch):
    rng = np.random.default_rng(0)
    references = rng.normal(size=(500, 6)).astype(np.float32)
    queries = rng.normal(size=(40, 6)).astype(np.float32)
    search = found(queries, references, 5, batch)
    distances, indices = cKDTree(references.astype(float)).query(queries.astype(float), 5)
    np.testing.assert_array_equal(search.indices, indices)
    np.testing.assert_allclose(search.distances, distances, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 400),
    st.sampled_from([0.0, 1e-5, 1e-3, 1.0]),
    st.sampled_from([0.0, 10.0, 1000.0]),
    st.integers(1, 4),
)
def test_far_from_the_origin_it_is_still_exact(seed, size, spread, offset, k):
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=size) + offset
    references = (centre + spread * rng.normal(size=(60, size))).astype(np.float32)
    queries = np.concatenate([references[::9], references[:3] + np.float32(spread / 7)])
    search = found(queries, references, k, 16)
    true = cdist(queries.astype(float), references.astype(float))
    order = np.argsort(true, axis=1, kind="stable")[:, :k]
    np.testing.assert_allclose(
        search.distances, np.take_along_axis(true, order, 1), rtol=1e-9, atol=1e-12
    )
    assert (search.distances[: len(references[::9]), 0] == 0).all()


def test_the_plain_formula_would_not_do():
    """The reason for the second look: near zero the norms cancel."""
    rng = np.random.default_rng(0)
    references = rng.uniform(-1, 1, (50, 12288)).astype(np.float32)
    queries = references + rng.normal(0, 1e-4, references.shape).astype(np.float32)
    a, b = torch.from_numpy(queries), torch.from_numpy(references)
    plain = (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T).clamp_min(0).sqrt()
    true = np.linalg.norm(queries.astype(float) - references, axis=1)
    assert np.abs(plain.diagonal().numpy() / true - 1).max() > 0.1
    search = found(queries, references, 1, 50)
    np.testing.assert_array_equal(search.indices[:, 0], np.arange(50))
    np.testing.assert_allclose(search.distances[:, 0], true, rtol=1e-12)


BFLOAT16 = pytest.mark.skipif(
    not nearest.multiplies_bfloat16(torch.device("cpu")), reason="this CPU has no bfloat16"
)


@BFLOAT16
@pytest.mark.parametrize("size", [7, 768, 12288])
def test_what_rules_out_by_bfloat16_is_bounded(size):
    """Sums in bfloat16 would be off by far more than its factors' rounding."""
    rng = np.random.default_rng(size)
    queries = rng.uniform(-1, 1, (40, size)).astype(np.float32)
    queries[0] = 1 + 2**-9  # sums in bfloat16 stop growing at 256; halves are rounded up
    references = np.concatenate([queries[:20], -queries[:5], queries[20:] + np.float32(0.01)])
    search = Search(torch.from_numpy(queries))
    a, b = torch.from_numpy(queries), torch.from_numpy(references)
    product = (a.bfloat16() @ b.bfloat16().T).double()
    sums = a.double().square().sum(1)[:, None] + b.double().square().sum(1)
    error = (2 * (product - a.double() @ b.double().T)).abs() / sums
    assert error.max() <= search._coarse_rounding
    assert error.max() > search._rounding  # so the wider bound is needed


@pytest.mark.parametrize("bfloat16", [False, pytest.param(True, marks=BFLOAT16)])
@pytest.mark.parametrize("offset", [0, 30])
def test_any_processor_finds_the_same(bfloat16, offset, monkeypatch):
    monkeypatch.setattr(nearest, "multiplies_bfloat16", lambda device: bfloat16)
    rng = np.random.default_rng(0)
    references = rng.normal(offset, 1, (300, 200)).astype(np.float32)
    queries = references[::10] + rng.normal(0, 0.5, (30, 200)).astype(np.float32)
    search = found(queries, references, 3, 64)
    true = cdist(queries.astype(float), references.astype(float))
    np.testing.assert_array_equal(search.indices, np.argsort(true, axis=1, kind="stable")[:, :3])
    np.testing.assert_allclose(search.distances, np.sort(true, axis=1)[:, :3], rtol=1e-12)


def test_of_equal_distances_the_first_goes_first():
    references = np.array([[1], [0], [1], [0], [-1]], np.float32)
    for batch in (1, 2, 5):
        search = found(np.zeros((1, 1), np.float32), references, 4, batch)
        assert search.indices.tolist() == [[1, 3, 0, 2]]


def test_fewer_references_than_neighbours_leave_places_empty():
    search = found(np.zeros((2, 1), np.float32), np.ones((2, 1), np.float32), 3, 1)
    assert search.indices.tolist() == [[0, 1, -1]] * 2
    assert search.distances.tolist() == [[1, 1, np.inf]] * 2


def test_most_pairs_are_ruled_out_without_a_second_look(monkeypatch):
    rng = np.random.default_rng(0)
    references = rng.uniform(-1, 1, (2000, 300)).astype(np.float32)
    measured = 0
    merge = Search._merge

    def counted(self, rows, columns, exact):
        nonlocal measured
        measured += len(rows)
        merge(self, rows, columns, exact)

    monkeypatch.setattr(Search, "_merge", counted)
    found(references[:20], references, 5, 100)
    assert measured < 0.05 * 20 * 2000


@pytest.mark.parametrize(
    ("queries", "references", "k", "message"),
    [
        ((0, 3), (1, 3), 1, "search: found queries 0 x 3, k=1, expected Q x D"),
        ((1, 3), (1, 3), 0, "k=0, expected Q x D, k at least 1"),
        ((1, 3), (2, 4), 1, "references: found 2 x 4, expected B x 3"),
    ],
)
def test_what_cannot_be_searched_is_refused(queries, references, k, message):
    with pytest.raises(InputError, match=message):
        Search(torch.zeros(queries), k).add(torch.zeros(references))


def test_what_is_not_finite_is_refused():
    bad = torch.tensor([[1.0, torch.nan]])
    with pytest.raises(InputError, match="queries: found NaN, infinite or too large numbers"):
        Search(bad)
    with pytest.raises(InputError, match="references: found NaN, infinite or too large numbers"):
        Search(torch.zeros(1, 2)).add(bad)
