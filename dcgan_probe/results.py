"""What a probe returns: values that save and draw themselves."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan_probe import files

FORMAT = "dcgan-probe/result/1"


@dataclass(frozen=True)
class Result(ABC):
    """The base of every probe's result: a frozen dataclass that saves itself.

        >>> result = forget.run(session)
        >>> result.save("out/forget")

    made_with: the checkpoint and its hash, seed, edits in force, versions: see
    `Session.made_with`. str(result) is what the command line prints.
    """

    made_with: dict[str, Any]

    @abstractmethod
    def values(self) -> dict[str, Any]:
        """The numbers of the result, as JSON values."""

    @abstractmethod
    def draw(self, folder: Path) -> None:
        """Write the pictures, and any file beside ``result.json``, into a folder."""

    @abstractmethod
    def __str__(self) -> str: ...

    def save(self, folder: str | os.PathLike[str], force: bool = False) -> None:
        """Write ``result.json`` and the pictures into a new folder, whole or not at all.

        Raises InputError if the folder already holds something, unless `force`.
        """
        with files.new_folder(folder, force) as work:
            self.draw(work)
            values = {"format": FORMAT, "made_with": self.made_with, **self.values()}
            files.write_json(work / "result.json", values)
