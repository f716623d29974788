"""No reader answers a damaged file with anything but one line, soon, and in little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mutations import READERS

MUTATIONS = Path(__file__).with_name("mutations.py")


def attack(count: int, names: list[str], timeout: int) -> None:
    """In a process of its own, which a parser in C may kill."""
    run = subprocess.run(
        [sys.executable, str(MUTATIONS), str(count), *names],
        capture_output=True,
        text=True,
        timeout=timeout,
        errors="replace",
    )
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr[-3000:]}"


@pytest.mark.parametrize("half", (0, 1))
def test_damaged_files_are_refused_in_one_line(half):
    attack(100, list(READERS)[half::2], timeout=600)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_thousands_of_damaged_files_are_refused_in_one_line(name):
    attack(10_000, [name], timeout=3600)


def test_the_tester_finds_what_it_looks_for(tmp_path):
    """A reader that indexes what it did not check, and one that never ends."""
    source = f"""
import sys; sys.path.insert(0, {str(MUTATIONS.parent)!r})
import json, mutations
make = mutations._write("a.json", '{{"a": {{"b": 1}}}}')
mutations.READERS = {{
    "careless": mutations.Reader(make, lambda path: json.loads(path.read_bytes())["a"]["b"]),
}}
sys.argv = ["", "50"]
sys.exit(mutations.main())
"""
    run = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert run.returncode == 1
    assert "JSONDecodeError" in run.stdout and "KeyError" in run.stdout
