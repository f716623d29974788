"""The pages of the documentation, and the lines of shell that they show."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(ROOT.glob("fixtures/*/README.md")),
]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines(page: str) -> list[list[str]]:
    """The words of every line of a page's shell blocks, up to a pipe or a comment."""
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                found.append(words[: words.index("|")] if "|" in words else words)
    return found


def ours(words: list[str]) -> list[str] | None:
    """The arguments of dcgan-probe on a line; None if it runs something else."""
    if words[0] == "dcgan-probe":
        return words[1:]
    if "dcgan_probe" in words and words[words.index("dcgan_probe") - 1] == "-m":
        return words[words.index("dcgan_probe") + 1 :]
    return None


def strangers(page: Path, text: str) -> set[str]:
    """Commands that a page makes: by new-probe, or by an entry point that it shows."""
    shown = re.findall(r"new-probe (\S+)", text)
    tables = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for table in tables:
        points = tomllib.loads(table).get("project", {}).get("entry-points", {})
        shown += points.get("dcgan_probe.probes", {})
    return set(shown)
