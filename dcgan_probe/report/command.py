"""The command ``dcgan-probe report``: write the page and print its path."""

from __future__ import annotations

from pathlib import Path

import click

from dcgan_probe.plugins.contract import Last, opener_of
from dcgan_probe.terminal import answer


@click.command(cls=Last)
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="File to write. Default: FOLDER/report.html.",
)
@click.pass_context
def report(context: click.Context, folder: Path | None, to: Path | None) -> None:
    """Write the results of a chain to one HTML file, to read, print or mail.

    FOLDER holds the results, each in its own sub-folder. Default: the folder of --out. The HTML
    file is self-contained.

        dcgan-probe --out out forget sample report
    """
    from dcgan_probe.report import page
    from dcgan_probe.storage import files

    line = opener_of(context)
    where = folder or line.out
    if to is None and line.numbered:
        to = files.next_free(where / page.NAME)
    written = page.write(where, to, context.find_root().params["force"])
    size = written.stat().st_size / 1e6
    answer({"report": str(written)}, f"wrote {written} ({size:.1f} MB)")
