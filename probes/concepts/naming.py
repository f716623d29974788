"""Add, remove and list the concepts of a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dcgan_probe import terminal
from dcgan_probe.errors import unknown
from dcgan_probe.latents.concepts import Concept, Concepts, exemplars_of
from dcgan_probe.session import Session
from dcgan_probe.storage import files


def read(session: Session, path: Path) -> Concepts:
    """Concepts of a file on the session's checkpoint; none where there is no file yet."""
    if not path.exists():
        return Concepts(session.checkpoint.sha256, {}, str(path))
    concepts = session.read_concepts(path)
    assert concepts is not None, "a path was given"
    return concepts


def add(
    session: Session, path: Path, name: str, exemplars: Sequence[str], shows: tuple[str, ...]
) -> None:
    """Name exemplars in a file, in place of those of the same name, and list what it holds.

    Raises InputError as `latents.concepts.exemplars_of` and `Concepts.write` do.
    """
    latents = exemplars_of(exemplars, session.config, session.checkpoint.sha256)
    with files.locked(path):  # another process that adds at the same time waits
        concepts = read(session, path)
        named = {**concepts.named, name: Concept(latents, shows)}
        changed = replace(concepts, named=named)
        changed.write(path)
    show(changed)


def remove(session: Session, path: Path, names: Iterable[str]) -> None:
    """Remove names from a file, and list what is left; InputError for an unknown name."""
    with files.locked(path):
        concepts = read(session, path)
        named = dict(concepts.named)
        for name in names:
            if name not in named:
                raise unknown("concept", name, named, where=str(path))
            del named[name]
        changed = replace(concepts, named=named)
        changed.write(path)
    show(changed)


def show(concepts: Concepts) -> None:
    """Answer with the names, the exemplars and the conditions of concepts."""
    terminal.answer(
        {name: _values(concept) for name, concept in concepts.named.items()},
        "\n".join(_line(name, concept) for name, concept in concepts.named.items()),
    )


def _values(concept: Concept) -> dict[str, Any]:
    return {"exemplars": list(concept.exemplars), "shows": list(concept.shows)}


def _line(name: str, concept: Concept) -> str:
    shown = [e if isinstance(e, str) else "a stored z" for e in concept.exemplars]
    note = f"   shows {', '.join(concept.shows)}" if concept.shows else ""
    return f"{name}: {' '.join(shown)}{note}"
