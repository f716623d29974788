"""Exemplars that a person picks on the page, saved after every change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

from dcgan_probe.errors import InputError
from dcgan_probe.latents import concepts
from dcgan_probe.latents.concepts import Concept, Concepts
from dcgan_probe.pages.work_file import resume, saving
from dcgan_probe.storage import files
from dcgan_probe.storage.json_values import Value


class ConceptWork:
    """Concepts, with samples 0 to n-1 of a seed among their exemplars.

        >>> work = ConceptWork(Path("/tmp/new.json"), 150, seed=3, checkpoint="ab" * 32)
        >>> work.change(Value({"concept": "smiling", "samples": [17, 42]}, "request"))
        >>> work.concepts.named["smiling"].exemplars
        ('3:17', '3:42')

    Exemplars of other seeds, latents, and what a concept `shows` are kept in the file. An
    existing file is resumed, as `BoxWork` does; raises as that does.
    """

    mode = "concepts"

    def __init__(self, path: Path, n: int, seed: int, checkpoint: str):
        self.path, self.n, self.seed = path, n, seed
        saved, self.notice = resume(path, concepts.FORMAT, Concepts.read)
        if saved is not None and saved.checkpoint != checkpoint:
            raise InputError(
                f"{path}: checkpoint: found concepts of {saved.checkpoint[:8]}, "
                f"expected those of {checkpoint[:8]}"
            )
        self.concepts = saved or Concepts(checkpoint, {}, str(path))
        self._lock = Lock()

    def state(self) -> dict[str, Any]:
        """Everything the page needs to show the work, as JSON values."""
        picked = {
            name: {
                "samples": [i for i in map(self._index, concept.exemplars) if i is not None],
                "others": sum(self._index(e) is None for e in concept.exemplars),
            }
            for name, concept in self.concepts.named.items()
        }
        return {"concepts": picked}

    def change(self, request: Value) -> None:
        """Make `samples` the exemplars of `concept` from this seed, and write the file.

        A concept that is left without any exemplar is gone. InputError for anything else, NotSaved
        where the file cannot be written.
        """
        with self._lock:
            name = concepts.check_name(request["concept"].text(), "request")
            samples = [item.whole(0, self.n - 1) for item in request["samples"].items()]
            with saving(self.path), files.locked(self.path):
                made = self._changed(name, samples)
                made.write(self.path)
            self.concepts = made

    def _changed(self, name: str, samples: list[int]) -> Concepts:
        """The concepts of the file as it is now: `concepts add` may have written it meanwhile."""
        current = self.concepts
        if self.path.exists():
            current = Concepts.read(self.path)
            if current.checkpoint != self.concepts.checkpoint:
                raise InputError(f"{self.path}: found concepts of another checkpoint meanwhile")
        before = current.named.get(name, Concept(()))
        others = [e for e in before.exemplars if self._index(e) is None]
        exemplars = (*others, *(f"{self.seed}:{i}" for i in sorted(set(samples))))
        named = dict(current.named) | {name: replace(before, exemplars=exemplars)}
        if not exemplars:
            del named[name]
        return replace(current, named=named)

    def _index(self, exemplar: concepts.Exemplar) -> int | None:
        """Which of the samples on the page an exemplar is, or None."""
        if not isinstance(exemplar, str):
            return None
        seed, index = map(int, exemplar.split(":"))
        return index if seed == self.seed and index < self.n else None

    def __str__(self) -> str:
        counts = [f"{n} ({len(c.exemplars)} exemplars)" for n, c in self.concepts.named.items()]
        return ", ".join(counts) or "no concept named"
