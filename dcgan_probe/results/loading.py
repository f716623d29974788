"""Load saved results, for scripts and for reading."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcgan_probe.errors import InputError
from dcgan_probe.results.frames import frame
from dcgan_probe.results.result import FILE, FORMAT, PICTURES, RESERVED, as_html, check_made_with
from dcgan_probe.storage import files, json_values

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Saved:
    """A result that was saved, as `load_result` returns it.

    values: what the probe found. made_with: how, see `Session.made_with`. command: the command,
    None if a script made it. summary: what the command printed. files: SHA-256 of every file that
    was written beside, by name. path: of the result.json.
    """

    path: Path
    command: str | None
    made_with: dict[str, Any]
    summary: str
    files: dict[str, str]
    values: dict[str, Any]

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def pictures(self) -> tuple[Path, ...]:
        """The pictures beside the result that are there, without those in folders of their own."""
        paths = [self.folder / name for name in self.files if "/" not in name]
        return tuple(path for path in paths if path.suffix in PICTURES and path.is_file())

    def changed(self) -> dict[str, str]:
        """Files that are no longer what the probe wrote, and why: "missing" or "changed"."""
        reasons = {}
        for name, sha in self.files.items():
            path = self.folder / name
            if not path.is_file():
                reasons[name] = "missing"
            elif files.sha256(path) != sha:
                reasons[name] = "changed"
        return reasons

    def to_dict(self) -> dict[str, Any]:
        """All of it, as result.json holds it."""
        head = {"format": FORMAT, "made_with": self.made_with}
        return {**head, "summary": self.summary, "files": self.files, **self.values}

    def to_frame(self, table: str | None = None) -> DataFrame:
        """A table of the values as a pandas DataFrame, as `Result.to_frame` gives it."""
        return frame(self.values, table, str(self.path))

    def __str__(self) -> str:
        made = self.made_with
        network = made["checkpoint"]
        rows = {
            "command": self.command or "(a script)",
            "line": made["line"],
            "network": f"{network['name']} ({network['sha256'][:8]})",
            "seed": made["seed"],
            "edits": "; ".join(map(_short, made["edits"])),
            "options": ", ".join(f"{k} {_short(v)}" for k, v in made["options"].items()),
            "inputs": ", ".join(
                f"{each['option']} {each['file']} ({(each['sha256'] or 'not hashed')[:10]})"
                for each in made["inputs"]
            ),
            "made with": f"dcgan-probe {made['dcgan_probe']}, torch {made['torch']}, "
            f"numpy {made['numpy']}, Python {made['python']}, {made['device']}{_threads(made)}",
            "files": ", ".join(self._shown_files()),
            "not as written": ", ".join(f"{name} ({how})" for name, how in self.changed().items()),
        }
        lines = [f"{name + ':':16}{text}" for name, text in rows.items() if text not in ("", None)]
        text = "\n".join([*lines, "", self.summary])
        # A file from elsewhere must not steer the terminal that it is shown on.
        return "".join(
            c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text
        )

    def _shown_files(self) -> list[str]:
        """Files of the folder itself, and how many there are in each folder below."""
        own = [name for name in self.files if "/" not in name]
        below: dict[str, int] = {}
        for name in self.files:
            if "/" in name:
                top = name.split("/")[0]
                below[top] = below.get(top, 0) + 1
        return [*own, *(f"{top}/ ({count} files)" for top, count in below.items())]

    def _repr_html_(self) -> str:
        return as_html(str(self), self.pictures)


def load_result(path: str | os.PathLike[str]) -> Saved:
    """Read the result of any probe, from its ``result.json`` or the folder that holds it.

        >>> saved = load_result("out/sample")
        >>> saved.command, saved.made_with["seed"], len(saved.values["images"])
        ('sample', 0, 64)

    Raises InputError, with file and place, for what is not a result of this format.
    """
    path = Path(path)
    if os.path.isdir(path):  # a name that is too long is not a folder
        path = path / FILE
    file = json_values.read_own(path, "results", FORMAT)
    check_made_with(file["made_with"])
    if not isinstance(file["summary"].found, str):
        raise file["summary"].error("text")
    for sha in file["files"].members():
        sha.text()
    for name in file["files"].found:
        # A name from a file must not lead out of the folder that the file is in.
        if not _is_below(path.parent, name):
            raise InputError(
                f"{path}: files: found {name!r:.100}, expected a file below its folder"
            )
    return Saved(
        path,
        file["made_with"]["command"].found,
        file["made_with"].found,
        file["summary"].found,
        file["files"].found,
        {name: value for name, value in file.found.items() if name not in RESERVED},
    )


def _is_below(folder: Path, name: str) -> bool:
    try:
        there = (folder / name).resolve()
        there.exists()
    except (OSError, ValueError):  # too long, or with a NUL
        return False
    return there.is_relative_to(folder.resolve())


def _threads(made: dict[str, Any]) -> str:
    count = made.get("threads")
    return f", {count} thread{'s'[: count != 1]}" if count else ""


def _short(value: Any) -> str:
    """A value in a line: long lists and texts are cut."""
    text = json_values.shown(value) if not isinstance(value, str) else value
    return text if len(text) <= 60 else f"{text[:57]}..."
