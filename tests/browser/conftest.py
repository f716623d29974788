"""A real browser, and `dcgan-probe label` or `paint` in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Running:
    """A command that serves a page, running in a folder."""

    def __init__(self, folder: Path, command: str, *arguments: str, options: tuple[str, ...] = ()):
        self.folder = folder
        environment = dict(os.environ, OMP_NUM_THREADS="1")
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dcgan_probe", *options, command, *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.strip())
            if line.startswith("http://"):
                self.address = line.strip()
                self.port = int(line.split(":")[2].split("/")[0])
                return
        raise AssertionError(self.process.communicate())

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def interrupt(self) -> tuple[int, str, str]:
        """Ctrl-C: the exit code and the rest of what it said."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err

    def written(self, name: str = "windows.json") -> dict:
        return json.loads((self.folder / name).read_text())


@pytest.fixture
def start(tmp_path: Path) -> Iterator:
    """Starts a command in a folder of the test, and ends what was started."""
    started: list[Running] = []

    def run(command: str, *arguments: str, options: tuple[str, ...] = ()) -> Running:
        started.append(Running(tmp_path, command, *arguments, options=options))
        return started[-1]

    yield run
    for each in started:
        if each.process.poll() is None:
            each.kill()


@pytest.fixture
def label(start):
    return partial(start, "label")


@pytest.fixture
def paint(start):
    return partial(start, "paint")


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("found no chromium, expected that of apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium) -> Iterator:
    """A browser of one user; what its console calls an error fails the test, unless expected."""
    made = chromium.new_context(viewport={"width": 1280, "height": 800})
    errors: list[str] = []
    made.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    made.on("weberror", lambda e: errors.append(str(e.error)))
    made.errors = errors
    yield made
    made.close()
    assert errors == []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shots", help="Folder for the pictures of the docs.")
