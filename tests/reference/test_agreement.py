"""The table of benchmarks/peers/agreement.py, for those peers that the tests install."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = ("captum", "scipy", "scikit-learn", "pytorch-msssim")


@pytest.fixture(scope="module")
def agreement() -> ModuleType:
    path = ROOT / "benchmarks" / "peers" / "agreement.py"
    spec = importlib.util.spec_from_file_location("agreement", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["agreement"] = module  # dataclasses ask for it
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("peer", INSTALLED)
def test_what_a_peer_computes_is_the_same(agreement, peer):
    compared = [one for one in agreement.COMPARISONS if one.peer == peer]
    assert compared
    for comparison in compared:
        *_, share = agreement.row(comparison)
        assert float(share) < 1e-5, comparison.what


def test_a_peer_that_is_not_installed_is_said_to_be(agreement):
    absent = agreement.Comparison("all", "no-such-peer", "by name", lambda: (0, 1))
    assert agreement.row(absent)[3] == "not installed"
    assert "| all | no-such-peer | by name | not installed |" in agreement.page(
        [agreement.row(absent)], False
    )
