"""Handle Ctrl-C and SIGTERM at the end of a training step."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether somebody has asked to stop, and by which signal."""

    signal: signal.Signals | None = None


@contextmanager
def awaited() -> Iterator[Stop]:
    """Inside the ``with``, a first SIGINT or SIGTERM is noted; a second one acts as it always did.

    One that is ignored stays so.

    >>> with awaited() as stop:
    ...     stop.signal is None
    True
    """
    stop = Stop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: old for number, old in before.items() if old != signal.SIG_IGN}

    def note(number: int, frame: FrameType | None) -> None:
        stop.signal = signal.Signals(number)
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
