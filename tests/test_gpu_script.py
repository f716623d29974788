"""benchmarks/gpu.py runs from end to end where there is no GPU, on networks of a few filters."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = importlib.import_module("gpu")
    yield module
    for name in ("gpu", "peer", "training"):
        sys.modules.pop(name, None)


def test_the_script_checks_and_measures_all_it_says(gpu, tmp_path):
    to = tmp_path / "gpu.md"
    done = CliRunner().invoke(gpu.main, ["--device", "cpu", "--small", "--to", str(to)])
    assert done.exit_code == 0, done.output
    text = to.read_text()
    assert "FAILED" not in text and "| FAR |" not in text
    for name in (*gpu.IN_SMALL, *gpu.edits_of("ab" * 32, 32), "cpu, bfloat16"):
        assert f"| {name} |" in text
    for title in ("Training, images a second", "Probes, seconds", "Not measured"):
        assert f"## {title}" in text


def test_numbers_that_are_far_apart_are_found_with_their_place(gpu):
    a = [{"left": 0.5, "rows": [{"x": 1.0, "n": 3}], "nan": float("nan")}]
    b = [{"left": 0.5, "rows": [{"x": 1.2, "n": 4}], "nan": float("nan"), "more": 1}]
    count, other, worst, where = gpu.compare(a, b)
    assert (count, other, where) == (2, 2, "0.rows.0.x")
    assert worst == pytest.approx(0.2)


def test_without_a_gpu_it_says_so(gpu, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = CliRunner().invoke(gpu.main, [])
    assert done.exit_code == 1 and "found no CUDA device" in done.output
