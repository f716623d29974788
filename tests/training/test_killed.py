"""A run that is killed at random moments, again and again, ends as if it never had been."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the harness forks")
@pytest.mark.parametrize("kills", [10, pytest.param(50, marks=pytest.mark.slow)])
def test_kills_change_no_bit_and_leave_no_broken_file(tmp_path, kills):
    harness = Path(__file__).parent / "kill_a_run.py"
    done = subprocess.run(
        [sys.executable, str(harness), str(tmp_path), str(kills)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["kills"] >= kills
    assert len(set(report["steps"])) > min(kills // 3, 5), "the kills fell at few moments"
    assert report["broken"] == []
    assert report["left"] == []
    assert set(report["sha256"]) == {report["unbroken"]}
