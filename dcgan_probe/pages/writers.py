"""Let one tab of a page at a time change the work."""

from __future__ import annotations

from threading import Lock
from typing import Any

from dcgan_probe.storage.json_values import Value


class Writers:
    """Lets one tab at a time write; a tab names itself in every request.

        >>> writers = Writers()
        >>> writers.may("a"), writers.may("b")
        (True, False)

    The first one writes. A later one may take that over, and gets it where the first one left.
    """

    def __init__(self) -> None:
        self._writer: str | None = None
        self._lock = Lock()

    def may(self, tab: str) -> bool:
        """Whether a tab writes; it begins to where nobody else does."""
        with self._lock:
            if self._writer is None:
                self._writer = tab
            return self._writer == tab

    def take(self, request: Value) -> None:
        """Let the tab of a request write from here on."""
        with self._lock:
            self._writer = request["tab"].text()

    def alive(self, request: Value) -> dict[str, Any]:
        """Whether the tab writes; one that waits begins to when the writer left."""
        return {"writes": self.may(request["tab"].text())}

    def leave(self, request: Value) -> dict[str, Any]:
        """The tab is closed."""
        with self._lock:
            if self._writer == request["tab"].text():
                self._writer = None
        return {}
