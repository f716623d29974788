"""Start ``dcgan-probe`` and ``python -m dcgan_probe``, before the command line is imported."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130  # what `cli.border` ends with; to import it here would take most of the time


def main() -> None:
    """Run the command line. Until it has begun, and once it has ended, Ctrl-C ends the process."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as of what a script runs with &
        signal.signal(signal.SIGINT, _end)
    from dcgan_probe.cli.group import main

    main()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    try:
        os.write(2, b"Error: interrupted\n")
    finally:
        os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
