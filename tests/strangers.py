"""Packages of strangers, as pip would have installed them."""

from __future__ import annotations

from pathlib import Path

PROBE = '''
import click
from dcgan_probe.plugins import pass_session

@click.command()
@click.option("--n", default=4)
@pass_session
def probe(session, n):
    """Mean brightness of n samples."""
    session.report({"brightness": session.sample(n).mean().item()})
'''


def install(
    site: Path, package: str, modules: dict[str, str], group: str = "probes", **points: str
) -> None:
    """Write modules, by path, and the metadata of a package with entry points into a folder."""
    for path, source in modules.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(source)
    info = site / f"{package}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    lines = [f"[dcgan_probe.{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
