"""benchmarks/speed.py: its table says of ours how much faster it is than each peer of its group."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def speed() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    module = importlib.import_module("speed")
    yield module
    sys.path.remove(str(BENCHMARKS))
    for name in ("speed", "gpu", "peer", "run", "scan", "training"):
        sys.modules.pop(name, None)


def test_a_ratio_is_of_the_two_of_one_round(speed):
    found = {"theirs": [2.0, 4.0, 9.0], f"{speed.OURS}it": [1.0, 4.0, 3.0]}
    first, second = speed.rows(found, {"theirs": 6e9, f"{speed.OURS}it": 2e9})
    assert first == "| theirs | 4 (2 to 9) |  | 6 |  |"
    assert second == "| dcgan-probe, it | 3 (1 to 4) | 2 (1 to 3) | 2 | 3 |"


def test_multiply_adds_are_those_of_the_shapes(speed):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))
    found = speed.multiply_adds(lambda: network(torch.zeros(5, 3, 8, 8)))
    assert found == 5 * (4 * 6 * 6 * 3 * 3 * 3 + 144 * 2)


@pytest.mark.parametrize("group", ["scanned", "nearest"])
def test_a_group_is_peers_and_ours_and_runs(speed, group):
    ways = {"scanned": lambda: speed.scanned(1), "nearest": lambda: speed.nearest(40, 5)}[group]()
    assert list(ways)[-1].startswith(speed.OURS)
    found = speed.turns(ways, 1)
    assert all(len(times) == 1 and times[0] >= 0 for times in found.values())
