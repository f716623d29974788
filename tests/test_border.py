"""A command line ends in one line and an exit code, whatever was raised, and wherever it runs."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from dcgan_probe.cli import border
from dcgan_probe.cli.group import main
from dcgan_probe.errors import MAX_LINE, InputError
from dcgan_probe.training import interrupt

COMMAND = [sys.executable, "-m", "dcgan_probe"]


@pytest.mark.parametrize(
    "raised, line, code",
    [
        (InputError("a.json: found b"), "a.json: found b", 2),
        (PermissionError(13, "Permission denied", "out"), "out: Permission denied", 2),
        (OSError(errno.ENOSPC, "No space left on device"), "TMPDIR names another folder", 2),
        (MemoryError(), "out of memory", 2),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), "out of memory", 2),
        (ImportError("libGL.so.1: cannot open shared object file"), "libGL.so.1", 2),
        (KeyboardInterrupt(), "interrupted", 130),
        (KeyError("step"), "bug: KeyError: 'step'", 1),
    ],
)
def test_what_is_raised_becomes_one_line_and_an_exit_code(raised, line, code, monkeypatch):
    @click.command()
    def fails():
        raise raised

    monkeypatch.setitem(main.commands, "show", fails)
    answer = CliRunner().invoke(main, ["show"])
    assert answer.exit_code == code
    assert line in answer.stderr and answer.stderr.count("\n") == 1
    verbose = CliRunner().invoke(main, ["--verbose", "show"])
    assert "Traceback" in verbose.stderr and verbose.exit_code == code


def test_a_line_has_a_bound_and_steers_no_terminal():
    line = border.ending(OSError(2, "No such file", "\x1b[2J" + "a" * 9000)).message
    assert len(line) < MAX_LINE + 10 and "\x1b" not in line


def _run(*words: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], stderr=subprocess.PIPE, text=True, timeout=60, **more)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_stdout_that_cannot_be_written_is_one_line():
    with open("/dev/full", "w") as full:
        answer = _run("plugins", "--help", stdout=full)
        assert (answer.returncode, answer.stderr.count("\n")) == (2, 1), answer.stderr
        assert "No space left" in answer.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_result_that_cannot_be_said_is_one_line():
    source = (
        "import sys; sys.stdout = open('/dev/full', 'w');"
        "from dcgan_probe.terminal import answer; answer({}, 'text')"
    )
    run = [sys.executable, "-c", source]
    answer = subprocess.run(run, capture_output=True, text=True)
    assert "stdout: cannot be written: No space left" in answer.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_ends_with_130_and_one_line(tmp_path):
    words = ["--out", str(tmp_path), "sample", "--n", "1000000"]
    run = subprocess.Popen([*COMMAND, *words], stderr=subprocess.PIPE, text=True)
    time.sleep(1)  # among the samples, or yet among the imports: it is all the same
    run.send_signal(signal.SIGINT)
    try:
        _, said = run.communicate(timeout=30)
    finally:
        run.kill()
    assert run.returncode == 130 and "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


# Sends SIGINT at one of the imports, counted from where the console script begins.
_INTERRUPTED_AT = """
import os, signal, sys
from dcgan_probe.__main__ import main
left = int(sys.argv.pop(1))
def count(event, arguments):
    global left
    if event == "import":
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(count)
main()
"""


def _interrupted_at(number: int, folder: Path) -> subprocess.CompletedProcess[str]:
    words = ["--out", str(folder), "sample", "--n", "1000000"]
    run = [sys.executable, "-c", _INTERRUPTED_AT, str(number), *words]
    return subprocess.run(run, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    "number",
    [1, 2, 30, 100, 600, *(pytest.param(n, marks=pytest.mark.slow) for n in range(3, 1500, 60))],
)
def test_ctrl_c_among_the_imports_is_one_line(number, tmp_path):
    answer = _interrupted_at(number, tmp_path)
    assert (answer.returncode, answer.stderr) == (130, "Error: interrupted\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_that_is_ignored_stays_so():
    """A shell lets what a script runs in the background ignore it; Ctrl-C is not meant for it."""
    source = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "from dcgan_probe.cli import group;"
        "group.terminal.begin = lambda *_: os.kill(os.getpid(), signal.SIGINT);"
        "sys.argv[1:] = ['show', 'nothing'];"
        "from dcgan_probe.__main__ import main; main()"
    )
    answer = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert answer.returncode == 2 and "found no such" in answer.stderr
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupt.awaited() as stop:
            os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_backend_of_a_notebook_is_no_obstacle(monkeypatch):
    """matplotlib refuses to be imported where MPLBACKEND names one that is not installed."""
    monkeypatch.setenv("MPLBACKEND", "module://not_installed.backend")
    assert CliRunner().invoke(main, ["plugins", "--help"]).exit_code == 0
    assert os.environ["MPLBACKEND"] == "agg"
