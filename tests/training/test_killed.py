"""A run that is killed at random moments, again and again, ends as if it never had been."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = 30


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the harness forks")
def test_kills_change_no_bit_and_leave_no_broken_file(tmp_path):
    harness = Path(__file__).parent / "kill_a_run.py"
    done = subprocess.run(
        [sys.executable, str(harness), str(tmp_path), str(KILLS)],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["kills"] >= KILLS
    assert len(set(report["steps"])) > 5, "the kills fell at few moments"
    assert report["broken"] == []
    assert report["left"] == []
    assert set(report["sha256"]) == {report["unbroken"]}
