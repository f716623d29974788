"""Answer the requests of the page; only one tab may change the work."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from dcgan_probe.boxes.boxes import Box
from dcgan_probe.figures.panels import tile
from dcgan_probe.figures.rasters import pixels, png
from dcgan_probe.label.learning import HANDFUL, Learner
from dcgan_probe.label.picks import ConceptWork
from dcgan_probe.label.work import BoxWork
from dcgan_probe.pages.server import Answer
from dcgan_probe.pages.writers import Writers
from dcgan_probe.session import Session
from dcgan_probe.storage.json_values import Value

COLUMNS = 16  # of samples on the one picture that holds them all


class Desk:
    """Lets one tab at a time work on boxes or concepts, and tells the others.

        >>> desk = Desk(session, work, [])
        >>> desk.answers["/join"](Value({"tab": "a"}, "request"))["writes"]
        True
        >>> desk.answers["/join"](Value({"tab": "b"}, "request"))["writes"]
        False

    A tab names itself in every request. The first one writes; a later one may take that over.
    """

    def __init__(self, session: Session, work: BoxWork | ConceptWork, notices: list[str]):
        self.session, self.work = session, work
        self.notices = notices
        self._writers = Writers()
        self.answers: dict[str, Answer] = {
            "/join": self.join,
            "/take": self.take,
            "/alive": self._writers.alive,
            "/leave": self._writers.leave,
            "/change": self.change,
        }
        if isinstance(work, BoxWork):
            self._learner, self._boxes = Learner(session, work.n), work
            self.answers |= {"/propose": self.propose, "/forget": self.forget}

    def samples(self) -> bytes:
        """All samples as one PNG, 16 a row without gaps."""
        return _png(pixels(self.session.sample(self.work.n)), COLUMNS)

    def join(self, request: Value) -> dict[str, Any]:
        """The whole work, and whether the tab may change it."""
        checkpoint = self.session.checkpoint
        return {
            "writes": self._writers.may(request["tab"].text()),
            "mode": self.work.mode,
            "file": str(self.work.path),
            "key": f"{checkpoint.sha256} {self.session.seed} {self.work.path.resolve()}",
            "model": f"{checkpoint.name} ({checkpoint.sha256[:8]})",
            "seed": self.session.seed,
            "n": self.work.n,
            "size": self.session.config.size,
            "columns": COLUMNS,
            "handful": HANDFUL,
            "notices": self.notices,
            **self.work.state(),
        }

    def take(self, request: Value) -> dict[str, Any]:
        """Let this tab write from here on."""
        self._writers.take(request)
        return self.join(request)

    def change(self, request: Value) -> dict[str, Any]:
        """Change the work, and write it."""
        if not self._writers.may(request["tab"].text()):
            return {"writes": False}
        self.work.change(request)
        return {"writes": True}

    def propose(self, request: Value) -> dict[str, Any]:
        """Boxes proposed for a label, by sample."""
        label = request["label"].text()
        proposals = self._learner.propose(self._boxes.boxes, label)
        self._boxes.proposed(
            Box(image, label, *edges) for image, extents in proposals.items() for edges in extents
        )
        return {"images": proposals}

    def forget(self, request: Value) -> dict[str, Any]:
        """Samples before and after the object of a label is forgotten, as two PNGs."""
        preview = self._learner.preview(self._boxes.boxes, request["label"].text())
        rows = {"before": preview.before, "after": preview.after}
        pictures = {
            name: base64.b64encode(_png(row, len(row))).decode() for name, row in rows.items()
        }
        about = {"edit": str(preview.edit), "seconds": round(preview.seconds, 2)}
        return {"samples": preview.samples, **pictures, **about}


def _png(images: np.ndarray, columns: int) -> bytes:
    sheet = tile(images, columns, gap=0)
    return png(sheet)
