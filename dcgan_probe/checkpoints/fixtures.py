"""Checkpoints that ship: their names, and the boxes and concepts beside them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

CONCEPTS = "concepts.json"


def folder() -> Path:
    """The folder of all that ships."""
    return Path(str(resources.files("dcgan_probe.fixtures")))


def shipped() -> list[str]:
    """Names of the checkpoints that ship, which `load` takes in place of a path.

    >>> "svhn" in shipped()
    True
    """
    return sorted(path.parent.name for path in folder().glob("*/checkpoint.safetensors"))


def shipped_boxes(name: str) -> Path | None:
    """The boxes that ship beside a checkpoint, its one other JSON file; None if there are none."""
    paths = list((folder() / name).glob("*.json")) if name in shipped() else []
    return next((path for path in paths if path.name != CONCEPTS), None)


def shipped_concepts(name: str) -> Path | None:
    """The concepts that ship beside a checkpoint, or None."""
    path = folder() / name / CONCEPTS
    return path if name in shipped() and path.exists() else None
