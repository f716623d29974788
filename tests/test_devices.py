"""Nothing mixes the CPU and another device.

The tests are those of `on_another_device`, in a process of their own: torch keeps the stand-in for
a device until its process ends, and then prefers it to the CPU in places, such as checkpointing.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def test_nothing_mixes_devices():
    line = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "on_another_device.py"]
    found = subprocess.run(line, cwd=TESTS, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
