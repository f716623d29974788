"""Write the results in a folder to one HTML file."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from dcgan_probe import plugins, terminal
from dcgan_probe.errors import InputError, option
from dcgan_probe.figures.strips import STRIPS
from dcgan_probe.report import contents, media, plots
from dcgan_probe.report.charts import Chart
from dcgan_probe.report.contents import Found
from dcgan_probe.report.media import EmbeddedPicture, Pair
from dcgan_probe.report.reading import Reading, interpret
from dcgan_probe.report.tables import Group, Listing, cut, group
from dcgan_probe.storage import files, json_values

NAME = "report.html"
LARGE = 10_000_000  # bytes; many mail servers take no more, of which a third is packing
_DOUBTS = ("doubts", "warnings")  # values that say so of the result
# Of made_with: in the page's own words, not in the table of the rest.
_IN_WORDS = ("checkpoint", "command", "line", "edits", "edits_in_words", "options")
# What turns the direction of text, has no shape, or is half a character, as names of files and JSON
# may hold and UTF-8 may not: shown as its number.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


@dataclass(frozen=True)
class Section:
    """What the page says of one probe. anchor: its id; reading: None where the probe brings none.

    finding: what was found, in a line; the first key number where the reading says none. differs:
    what it was made with where that is not the same for all; edits: the active ones.
    """

    anchor: str
    found: Found
    summary: str
    finding: str
    reading: Reading | None
    key: Sequence[tuple[str, str]]
    doubts: list[str]
    pairs: tuple[Pair, ...]
    pictures: list[tuple[EmbeddedPicture, str]]
    films: list[EmbeddedPicture]
    charts: Sequence[Chart]
    values: Group
    options: Group
    differs: Group
    edits: list[tuple[str, Group]]


def write(folder: Path, to: Path | None = None, force: bool = False) -> Path:
    """Write the report of a chain's folder, and say where: FOLDER/report.html, or `to`.

        >>> write(Path("out"), Path("rooms.html"))
        PosixPath('rooms.html')

    One HTML file that needs nothing beside it; the same folder gives the same bytes. Raises
    InputError if the file is there already, unless `force`, and for whatever in the folder cannot
    be read: a report that leaves out what is damaged would not say what was done.
    """
    to = folder / NAME if to is None else to
    check_free(to, force)
    results = contents.read(folder)
    files.write_text(to, _html(results))
    if (size := to.stat().st_size) > LARGE:
        shown = [path for one in results for path in one.shown]
        largest = sorted(shown, key=lambda path: -path.stat().st_size)[:3]
        names = (f"{path.relative_to(folder)} {_megabytes(path)}" for path in largest)
        terminal.note(
            f"{to}: {size / 1e6:.0f} MB, too large for most mail; largest in it: {', '.join(names)}"
        )
    return to


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"


def check_free(to: Path, force: bool) -> None:
    """Refuse a file to write that is already there, unless `force`, or is a folder."""
    if to.is_dir():
        raise InputError(f"{to}: found a folder, expected a file to write")
    if to.exists() and not force:
        raise InputError(f"{to}: already exists, expected a new file (or {option('force')})")


def html(folder: Path) -> str:
    """The report of a chain's folder as HTML; raises as `contents.read` and `media` do."""
    return _html(contents.read(folder))


def _html(results: list[Found]) -> str:
    shared = _shared(results)
    sections = [_section(one, f"probe-{i}", shared) for i, one in enumerate(results, start=1)]
    style, script = _asset("report.css"), _asset("report.js")
    policy = (
        "default-src 'none'; img-src data:; media-src data:; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    made = [one.made_with for one in results]
    names = list(dict.fromkeys(_checkpoint(one)[0] for one in results))
    return _template().render(
        title=", ".join(names),
        checkpoints=list(dict.fromkeys(map(_checkpoint, results))),
        shared=group({k: v for k, v in shared.items() if k not in _IN_WORDS and v != []}),
        lines=list(dict.fromkeys(cut(str(m["line"]), 4000) for m in made if m.get("line"))),
        sections=sections,
        policy=policy,
        style=Markup(style),
        script=Markup(script),
        list_chart=plots.chart_list,
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dcgan_probe.report", "static"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=seen,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["listing"] = lambda part: isinstance(part, Listing)
    environment.tests["group"] = lambda part: isinstance(part, Group)
    return environment.get_template("report.html")


def seen(value: Any) -> Any:
    """Text whose every character is seen; all that the template outputs goes through here.

    >>> seen("win\\u202ewod")
    'win\\\\u202ewod'
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", value)


def _asset(name: str) -> str:
    return resources.files("dcgan_probe.report").joinpath("static", name).read_text("utf-8")


def _hash(text: str) -> str:
    """As a Content-Security-Policy names what may be in the page."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _shared(results: Sequence[Found]) -> dict[str, Any]:
    """What all results were made with alike."""
    first = results[0].made_with
    return {
        key: value
        for key, value in first.items()
        if all(one.made_with.get(key) == value and key in one.made_with for one in results)
    }


def _checkpoint(one: Found) -> tuple[str, str]:
    name, sha = (plots.at(one.made_with, f"checkpoint.{part}") for part in ("name", "sha256"))
    return cut(str(name or "no checkpoint"), 200), cut(str(sha or ""), 128)


def _section(one: Found, anchor: str, shared: dict[str, Any]) -> Section:
    read = interpret(one.command, one.values, _selections(one))
    reading = read.reading
    halves = {path.name: path for path in one.pictures if path.name in STRIPS}
    pairs = media.pairs(*(halves[name] for name in STRIPS)) if len(halves) == 2 else None
    pictures = [path for path in one.pictures if pairs is None or path.name not in STRIPS]
    said = reading.pictures if reading else {}
    values = {key: value for key, value in one.values.items() if key not in _DOUBTS}
    differs = {
        key: value
        for key, value in one.made_with.items()
        if key not in shared and key not in _IN_WORDS and value != []
    }
    options = one.made_with.get("options")
    return Section(
        anchor,
        one,
        "" if reading else _summary(one.command),
        read.finding or " ".join(read.key[0] if read.key else ()),
        reading,
        read.key,
        _doubts(one, read.fault),
        pairs or (),
        [(media.picture(path), _said(said, path)) for path in pictures],
        [media.film(path) for path in one.films],
        read.charts,
        group(values),
        group(options) if isinstance(options, dict) else group({}),
        group(differs),
        _edits(one.made_with),
    )


def _doubts(one: Found, fault: str) -> list[str]:
    """What the probe itself doubts, what is wrong with its reading, what became of its files."""
    said = [one.values.get(name) for name in _DOUBTS]
    lines = [str(line) for lines in said if isinstance(lines, list) for line in lines]
    return [cut(line) for line in [*filter(None, [fault]), *lines, *one.changed][:20]]


def _said(said: Mapping[str, str], path: Path) -> str:
    """What is on a picture, numbered pages too: filters_02 is of filters."""
    return said.get(path.stem) or said.get(re.sub(r"_?\d+$", "", path.stem), "")


def _summary(command: str) -> str:
    """The first line of a probe's docstring, if it is installed here."""
    points = plugins.find().get(command, [])
    text = plugins.summary(points[0]) if len(points) == 1 else ""
    return "" if text.startswith("(broken") else cut(text)


def _selections(one: Found) -> list[dict[str, Any]]:
    """The selection files beside a result, as JSON."""
    names = [name for name in one.others if re.fullmatch(r"selection[\w.-]*\.json", name)]
    values = [json_values.load(one.folder / name, "filters").found for name in names]
    return [value for value in values if isinstance(value, dict)]


def _edits(made_with: dict[str, Any]) -> list[tuple[str, Group]]:
    """The active edits, each in words and as its values; results of older versions have no words.

    >>> _edits({"edits": [{"vector": [0.5]}], "edits_in_words": ["latents shifted by 0.5"]})[0][0]
    'latents shifted by 0.5'
    """
    edits, words = made_with.get("edits"), made_with.get("edits_in_words")
    if not isinstance(edits, list):
        return []
    named = words if isinstance(words, list) and len(words) == len(edits) else None
    return [
        (cut(str(named[i])) if named else f"number {i + 1}, see below", group(edit))
        for i, edit in enumerate(edits)
        if isinstance(edit, dict)
    ]
