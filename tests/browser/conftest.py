"""A real browser, and `dcgan-probe label` or `paint` in a process of its own."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from dcgan_probe.__main__ import main

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


# A command is forked from a process that has imported what it needs: to start one afresh would take
# longer than most tests. How `python -m dcgan_probe` starts is tested elsewhere.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["dcgan_probe.label.opening", "dcgan_probe.paint.opening", "scipy.stats", "sklearn.metrics"]
)


def serve(folder: Path, line: list[str], out: Connection, err: Connection) -> None:
    """Be `dcgan-probe` in a folder, with this line, as a process of its own."""
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, closefd=False) for number in (1, 2))
    os.chdir(folder)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        os.environ.pop(name, None)
    torch.set_num_threads(1)
    sys.argv = ["dcgan-probe", *line]
    main()


class Running:
    """A command that serves a page, running in a folder."""

    def __init__(self, folder: Path, command: str, *arguments: str, options: tuple[str, ...] = ()):
        self.folder = folder
        out, err = FORKS.Pipe(duplex=False), FORKS.Pipe(duplex=False)
        line = [*options, command, *arguments]
        self.process = FORKS.Process(target=serve, args=(folder, line, out[1], err[1]))
        self.process.start()
        self.out, self.err = (os.fdopen(os.dup(end.fileno())) for end, _ in (out, err))
        for end in (*out, *err):
            end.close()
        self.said: list[str] = []
        for text in self.err:
            self.said.append(text.strip())
            if text.startswith("http://"):
                self.address = text.strip()
                self.port = int(text.split(":")[2].split("/")[0])
                return
        raise AssertionError(self.said)

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.out.close()
        self.err.close()

    def interrupt(self) -> tuple[int, str, str]:
        """Ctrl-C: the exit code and the rest of what it said."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGINT)
        self.process.join(20)
        assert self.process.exitcode is not None
        return self.process.exitcode, self.out.read(), self.err.read()

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
