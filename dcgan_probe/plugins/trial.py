"""Import every installed probe, detector and classifier, and report whether it works.

Every package has a child process, ``python -m dcgan_probe.plugins.trial``, that imports what it
offers one after the other and prints a line of JSON for each. What hangs or dies
costs only itself: another child continues after it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from typing import IO

from dcgan_probe.errors import InputError
from dcgan_probe.plugins import entry_points

JUDGES = ("boxes",)  # what --judge takes for the one that is learnt from boxes
LIMIT = 30.0  # seconds for an import; torch's own takes some


@dataclass(frozen=True)
class Plugin:
    """kind: "probe", "detector" or "classifier". target: module and attribute.

    status: "ok", or "broken", "slow" or "taken" and, in why, what is the matter. kind is "package"
    for one whose metadata cannot be read, as `plugins.Broken` tells.
    """

    kind: str
    name: str
    package: str
    version: str
    target: str
    status: str = "ok"
    why: str = ""

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


def check(
    only_ours: bool = False, commands: Sequence[str] = (), limit: float = LIMIT
) -> list[Plugin]:
    """Import every plugin that is installed, each for at most `limit` seconds.

        >>> [plugin.status for plugin in check() if plugin.name == "sample"]
        ['ok']

    commands: names of probes that a plugin cannot have. A name that was taken several times is
    "taken" in each package, except those that ship.
    """
    points: list[metadata.EntryPoint] = []
    plugins: list[Plugin] = []
    for kind, group in entry_points.GROUPS.items():
        reserved = {"probe": commands, "detector": JUDGES}.get(kind, ())
        for name, owners in entry_points.find(group, only_ours).items():
            for point in owners:
                others = [entry_points.owner(other) for other in owners if other is not point]
                others += ["dcgan-probe"] if name in reserved else []
                taken = "" if entry_points.is_ours(point) else " and ".join(others)
                plugin = Plugin(
                    kind,
                    name,
                    entry_points.owner(point),
                    entry_points.version(point),
                    point.value,
                    "taken" if taken else "ok",
                    f"{taken} has the name too" if taken else "",
                )
                points.append(point)
                plugins.append(plugin)
    for package in dict.fromkeys(plugin.package for plugin in plugins):
        own = [i for i, plugin in enumerate(plugins) if plugin.package == package]
        for i, (status, why) in zip(own, imported([points[i] for i in own], limit), strict=True):
            if status != "ok":
                plugins[i] = replace(plugins[i], status=status, why=why)
    for broken in entry_points.discover(only_ours)[1]:
        plugins.append(Plugin(*broken[:-1], "broken", broken.why))
    return plugins


def table(plugins: Sequence[Plugin]) -> str:
    """A table of plugins, one on each line."""
    rows = [("kind", "name", "package", "version", "status")]
    for plug in plugins:
        status = f"{plug.status}: {plug.why}" if plug.why else plug.status
        rows.append((plug.kind, plug.name, plug.package, plug.version, status))
    shown = [[_shown(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in shown) for i in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[4]])
        for row in shown
    )


def _shown(text: str) -> str:
    """Text of another package without what would move the cursor of a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def imported(points: Sequence[metadata.EntryPoint], limit: float) -> list[tuple[str, str]]:
    """Import entry points of one package in a process beside this one: status and why of each."""
    done: list[tuple[str, str]] = []
    while len(done) < len(points):
        # -P: as for the installed command, nothing is imported from the working folder.
        line = [sys.executable, "-P", "-m", __name__]
        for point in points[len(done) :]:
            line += [point.group, point.name, point.value]
        child = subprocess.Popen(
            line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert child.stdout is not None
        said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        reader = threading.Thread(target=_pass_on, args=(child.stdout, said), daemon=True)
        reader.start()
        try:
            while len(done) < len(points):
                answer = said.get(timeout=limit)
                if not answer:  # the end of its stdout
                    code = child.wait(limit)
                    done.append(("broken", f"the import ended the process, with code {code}"))
                    break
                status, why = json.loads(answer)
                done.append((status, why))
        except (queue.Empty, subprocess.TimeoutExpired):
            done.append(("slow", f"not imported after {limit:g} s"))
        finally:
            child.kill()
            child.wait()
            reader.join(limit)
    return done


def _pass_on(stdout: IO[bytes], said: queue.SimpleQueue[bytes]) -> None:
    with contextlib.closing(stdout):
        for line in stdout:
            said.put(line)
    said.put(b"")


def _status(point: metadata.EntryPoint) -> tuple[str, str]:
    try:
        if point.group == entry_points.GROUP:
            entry_points.load(point)
        elif not callable(factory := point.load()):
            return "broken", f"found {type(factory).__name__}, expected a factory"
    except InputError as error:
        return "broken", str(error).partition("): ")[2] or str(error)
    except BaseException as error:  # SystemExit too: another package may raise anything
        return "broken", " ".join(f"{type(error).__name__}: {error}".split())
    return "ok", ""


def _main(arguments: Sequence[str]) -> None:
    # What the modules print must not land between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for group, name, value in zip(*[iter(arguments)] * 3, strict=True):
        point = metadata.EntryPoint(name, value, group)
        answers.write(json.dumps(_status(point)) + "\n")
        answers.flush()


if __name__ == "__main__":
    _main(sys.argv[1:])
