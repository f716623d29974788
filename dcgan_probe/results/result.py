"""The base class of results: values that save, draw and, in a notebook, show themselves."""

from __future__ import annotations

import base64
import html
import json
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcgan_probe.errors import InputError, unknown
from dcgan_probe.storage import files, json_values

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

FORMAT = "dcgan-probe/result/1"
FILE = "result.json"
# Names in a result.json that are not the probe's to give.
RESERVED = ("format", "made_with", "summary", "files")
PICTURES = {".png": "image/png", ".gif": "image/gif", ".webp": "image/webp"}


@dataclass(frozen=True)
class Result(ABC):
    """The base of every probe's result: a frozen dataclass that saves itself.

        >>> result = forget.run(session)
        >>> result.save("out/forget")

    made_with: the checkpoint and its hash, seed, active edits, versions: see
    `Session.made_with`. str(result) is what the command line prints; a notebook shows it with the
    pictures.
    """

    made_with: dict[str, Any]

    @abstractmethod
    def values(self) -> dict[str, Any]:
        """The numbers of the result, as JSON values."""

    @abstractmethod
    def draw(self, folder: Path) -> None:
        """Write the pictures, and any file beside ``result.json``, into a folder.

        Figures by `figures.draw` or `figures.save`, which serve `figure` and other formats too.
        """

    @abstractmethod
    def __str__(self) -> str: ...

    def save(self, folder: str | os.PathLike[str], force: bool = False) -> None:
        """Write ``result.json`` and the pictures into a new folder, whole or not at all.

        Raises InputError if the folder already holds something; with `force` only for what no
        result wrote. Also for values that JSON cannot represent or have a name that the format uses
        itself, for anything but a session's `made_with`, and for a link or a result.json that was
        drawn.
        """
        values = self.values()
        name = type(self).__name__
        json_values.check(self.made_with, f"{name}: made_with")
        check_made_with(json_values.Value(self.made_with, name, "made_with"))
        json_values.check(values, name)
        for reserved in values.keys() & set(RESERVED):
            raise InputError(
                f"{name}: found a value named {reserved!r}, expected none of: {', '.join(RESERVED)}"
            )
        with files.new_folder(folder, force, written(folder)) as work:
            self._draw(work)
            for path in work.rglob("*"):
                if path.is_symlink() or path == work / FILE:
                    kind = "a link" if path.is_symlink() else "a file of the format's"
                    raise InputError(f"{name}: drew {kind}, {path.name}, expected files of its own")
            head = {
                "format": FORMAT,
                "made_with": self.made_with,
                "summary": str(self),
                "files": hashes(work),
            }
            files.write_json(work / FILE, {**head, **values})

    def figures(self) -> dict[str, Figure]:
        """All figures, by their file name without its ending, as matplotlib draws them.

        >>> list(forget.run(session).figures())
        ['forget', 'where']

        Those that `draw` writes with `figures.draw` or `figures.save`. pyplot knows none of them.
        """
        from dcgan_probe.figures.output import hold

        with tempfile.TemporaryDirectory() as folder, hold() as held:
            self._draw(Path(folder))
        return held

    def figure(self, name: str | None = None) -> Figure:
        """One of `figures`: the first, or that of a name.

            >>> result.figure().savefig("forget.pdf")

        Raises InputError for another name, and where nothing is drawn.
        """
        drawn, kind = self.figures(), type(self).__name__
        if not drawn:
            raise InputError(f"{kind}: found no figure, expected a result that draws one")
        name = next(iter(drawn)) if name is None else name
        if name not in drawn:
            raise unknown("figure", name, drawn, where=kind)
        return drawn[name]

    def to_frame(self, table: str | None = None) -> DataFrame:
        """A table of `values` as a pandas DataFrame: the first, or that at a place.

        >>> dissect.run(session, boxes).to_frame("objects.0.filters")  # one row for each filter

        A table is a list of objects, or an object of alike ones, whose names become the index. What
        an object holds is a column each, as "area_left.low". The first is that of more than one
        row, if there is one. Values without a table are one row.
        Raises InputError for another place, and where pandas is not installed.
        """
        from dcgan_probe.results.frames import frame

        return frame(self.values(), table, type(self).__name__)

    def _draw(self, folder: Path) -> None:
        from dcgan_probe.figures.canvas import look  # matplotlib, which reading results needs not

        with look():
            self.draw(folder)

    def _repr_html_(self) -> str:
        with tempfile.TemporaryDirectory() as folder:
            self._draw(Path(folder))
            return as_html(str(self), sorted(Path(folder).iterdir()))

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        # IPython's terminal, where nothing shows HTML: not every field of the dataclass.
        return {"text/plain": str(self)}


@dataclass(frozen=True)
class Report(Result):
    """A result of named values and no pictures."""

    named: dict[str, Any]

    def values(self) -> dict[str, Any]:
        return self.named

    def draw(self, folder: Path) -> None:
        pass

    def __str__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self.named.items())


def written(folder: str | os.PathLike[str]) -> set[str]:
    """Names of the files that a result wrote into a folder; none if no result did.

    >>> written("out/sample") >= {"result.json", "sheet.png"}
    True
    """
    path = Path(folder) / FILE
    if not os.path.isfile(path):
        return set()
    file = json_values.load(path, "results")
    format_name = str(file["format"].found if "format" in file else "")
    if not format_name.startswith(FORMAT.rpartition("/")[0]) or "files" not in file:
        return set()
    file["files"].members()
    return {FILE, *file["files"].found}


def check_made_with(made: json_values.Value) -> None:
    """Make sure of what `Session.made_with` gives; the whole is in the JSON Schema."""
    for name in ("command", "line"):
        if made[name].found is not None:
            made[name].text()
    for name in ("dcgan_probe", "torch", "numpy", "python", "device"):
        made[name].text()
    if "threads" in made:  # older results do not say
        made["threads"].whole(1, 2**31)
    for name in ("name", "sha256"):
        made["checkpoint"][name].text()
    made["seed"].whole(0, 2**63)
    made["edits"].items()
    made["options"].members()
    for each in made["inputs"].items():
        for name in ("option", "file"):
            each[name].text()
        if each["sha256"].found is not None:
            each["sha256"].text()


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder and those below, by relative path with forward slashes."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): files.sha256(path) for path in paths}


def as_html(text: str, pictures: Iterable[Path]) -> str:
    """Text and pictures as HTML that needs no other file, as notebooks take it.

    >>> as_html("a < b", [])
    '<pre style="white-space: pre-wrap">a &lt; b</pre>'

    Long lines wrap, and pictures are no wider than the page. What is not a PNG, GIF or WebP is left
    out, and so are `figures.strips` beside another picture.
    """
    from dcgan_probe.figures.strips import STRIPS

    parts = [f'<pre style="white-space: pre-wrap">{html.escape(text)}</pre>']
    shown = [path for path in pictures if path.suffix in PICTURES]
    for path in [path for path in shown if path.name not in STRIPS] or shown:
        data = base64.b64encode(path.read_bytes()).decode()
        name = html.escape(path.name)
        source = f"data:{PICTURES[path.suffix]};base64,{data}"
        parts.append(f'<img style="max-width: 100%" alt="{name}" title="{name}" src="{source}">')
    return "\n".join(parts)


def schema() -> dict[str, Any]:
    """The JSON Schema of ``result.json``.

    >>> schema()["properties"]["format"]["const"] == FORMAT
    True
    """
    return json.loads((Path(__file__).parent / "result.schema.json").read_text(encoding="utf-8"))
