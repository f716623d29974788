"""Boxes that a person draws on the page, and samples viewed, saved after every change."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from dcgan_probe.boxes.boxes import Box, Boxes
from dcgan_probe.boxes.formats import OWN_FORMAT
from dcgan_probe.errors import InputError
from dcgan_probe.pages.work_file import resume, saving
from dcgan_probe.storage.json_values import Value

EDGES = ("x0", "y0", "x1", "y1")
_NOTE = re.compile(r" ?Drawn with dcgan-probe label, (\d+) of the boxes as proposed\.\Z")


class BoxWork:
    """Boxes on samples 0 to n-1 of a seed, in a file that is whole after every change.

        >>> work = BoxWork(Path("/tmp/new.json"), 150, (64, 64), seed=0, checkpoint="ab" * 32)
        >>> box = {"label": "window", "x0": 10, "y0": 8, "x1": 30, "y1": 25}
        >>> work.change(Value({"image": 3, "looked": True, "boxes": [box]}, "request"))
        >>> work.boxes.images, len(work.boxes.boxes)
        ((3,), 1)

    The file lists the samples that were looked at, so it is right at every moment, however few they
    are. There is no file until something was looked at. A file that is there is resumed; one that
    cannot be read is renamed, and `notice` holds the new name. Raises InputError, and leaves the
    file as it is, where it is of another checkpoint, seed or size, or of another program.
    """

    mode = "boxes"

    def __init__(
        self,
        path: Path,
        n: int,
        size: tuple[int, int],
        seed: int,
        checkpoint: str,
        labels: Sequence[str] = (),
    ):
        self.path = path
        self.size, self.seed, self.checkpoint = size, seed, checkpoint
        self._asked = [Value(label, "--object").text() for label in labels]
        self.boxes, self.notice = resume(path, OWN_FORMAT, Boxes.read)
        if self.boxes is not None:
            _check(self.boxes, size, seed, checkpoint)
        self.n = max(n, self.boxes.n if self.boxes else 0)
        note = self.boxes.note if self.boxes else ""
        before = _NOTE.search(note)
        self._proposed_before = int(before[1]) if before else 0
        self._note = _NOTE.sub("", note)
        self._proposed: set[Box] = set()
        self._lock = Lock()

    @property
    def labels(self) -> list[str]:
        """Those asked for, in their order, and after them those of the boxes."""
        drawn = self.boxes.labels if self.boxes else ()
        return list(dict.fromkeys([*self._asked, *drawn]))

    def state(self) -> dict[str, Any]:
        """Everything the page needs to show the work, as JSON values."""
        boxes = self.boxes
        images: dict[int, list[dict[str, Any]]] = {}
        for image in boxes.images if boxes else ():
            images[image] = []
        for box in boxes.boxes if boxes else ():
            images[box.image].append({"label": box.label, **{e: getattr(box, e) for e in EDGES}})
        return {"labels": self.labels, "images": images}

    def proposed(self, boxes: Iterable[Box]) -> None:
        """Remember what was proposed, so that the file's note can count what was taken of it."""
        self._proposed |= set(boxes)

    def change(self, request: Value) -> None:
        """Put what the page now has on one sample in place of what was there, and write the file.

        request: `image`, `looked` and `boxes`, a list of a label and four edges each. InputError
        for anything else, NotSaved where the file cannot be written.
        """
        with self._lock:
            image = request["image"].whole(0, self.n - 1)
            drawn = [
                Box(image, entry["label"].text(), *(entry[edge].number() for edge in EDGES))
                for entry in request["boxes"].items()
            ]
            looked = {*(self.boxes.images if self.boxes else ())} - {image}
            if request["looked"].found is True or drawn:
                looked.add(image)
            kept = [box for box in (self.boxes.boxes if self.boxes else ()) if box.image != image]
            self._write(self._with(drawn + kept, looked))

    def _with(self, boxes: Iterable[Box], looked: set[int]) -> Boxes | None:
        if not looked:
            return None
        made = Boxes(
            tuple(boxes), tuple(looked), self.size, self.seed, None, self.checkpoint, "request"
        )
        proposed = self._proposed_before + len(self._proposed & set(made.boxes))
        note = f"{self._note} Drawn with dcgan-probe label, {proposed} of the boxes as proposed."
        return replace(made, source=str(self.path), note=note.strip())

    def _write(self, boxes: Boxes | None) -> None:
        with saving(self.path):
            if boxes is None:
                self.path.resolve().unlink(missing_ok=True)
            else:
                boxes.write(self.path)
        # Only now: the page may only see what is on disk.
        self.boxes = boxes

    def __str__(self) -> str:
        boxes = self.boxes
        drawn, looked = (len(boxes.boxes), len(boxes.images)) if boxes else (0, 0)
        return f"{drawn} box{'es'[: 2 * (drawn != 1)]}, {looked} of {self.n} samples looked at"


def _check(boxes: Boxes, size: tuple[int, int], seed: int, checkpoint: str) -> None:
    boxes.check(checkpoint)
    if boxes.image_size != size:
        image_size, own = (f"{width}x{height}" for width, height in (boxes.image_size, size))
        raise InputError(f"{boxes.source}: image_size: found {image_size}, expected {own}")
    if boxes.seed is None:
        raise InputError(
            f"{boxes.source}: found boxes on latents of {boxes.latents}, expected those of a seed"
        )
    if boxes.seed != seed:
        raise InputError(
            f"{boxes.source}: seed: found {boxes.seed}, expected {seed} "
            f"(or dcgan-probe --seed {boxes.seed})"
        )
