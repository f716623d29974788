"""From the docstrings of this project, which are plain text, to the reStructuredText of autodoc.

    `name`                  a link, where it is something that the API pages show; else as code
    name: what it means     a point of a list, where the function or class has such a parameter
    an indented block       code; examples begin with >>>

All other text is taken for text: a star or an underscore in it is not markup.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib
import inspect
import itertools
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dcgan_probe

_NAMES = r"\w+(?:, \w+)*"
_SENTENCE = re.compile(r"(?:Raises|Returns|Yields|Source)\b")
_CODE = re.compile(r"``(.+?)``|`(.+?)`", re.DOTALL)


def process(
    _app: object, what: str, name: str, obj: Any, _options: object, lines: list[str]
) -> None:
    """The hook of autodoc-process-docstring: changes `lines`."""
    lines[:] = [*converted("\n".join(lines), name, obj), ""]


def converted(text: str, name: str, obj: Any) -> list[str]:
    """The lines of a docstring as reStructuredText; `name` is the full name of what it is of.

    >>> converted("Sum of a*b.\\n\\n    >>> f(1)\\n    2", "m.f", None)
    ['Sum of a\\\\*b.', '', '.. code-block:: pycon', '', '   >>> f(1)', '   2', '']
    """
    known = parameters(obj)
    found: list[str] = []
    for block in blocks(text):
        if block.startswith((" ", ">>>")):
            code = textwrap.dedent(block)
            found += [
                f".. code-block:: {_language(code)}",
                "",
                *textwrap.indent(code, "   ").split("\n"),
                "",
            ]
        else:
            for part in _parts(block, known):
                found += [*_prose(part, name, known).split("\n"), ""]
    return found


def blocks(text: str) -> Iterator[str]:
    """Paragraphs and indented blocks; an indented block keeps the empty lines inside of it."""
    held: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        if paragraph.startswith(" "):
            held.append(paragraph)
            continue
        if held:
            yield "\n\n".join(held)
            held = []
        yield paragraph
    if held:
        yield "\n\n".join(held)


def parameters(obj: Any) -> set[str]:
    """What a docstring may explain as `name: meaning`: parameters and fields."""
    try:
        names = set(inspect.signature(obj).parameters)
    except (TypeError, ValueError):
        names = set()
    if dataclasses.is_dataclass(obj):
        names |= {field.name for field in dataclasses.fields(obj)}
    return names


def _parts(paragraph: str, known: set[str]) -> Iterator[str]:
    """A paragraph, with what it says of each parameter and each `Raises` on its own."""
    starts = [0]
    for match in re.finditer(rf"(?:^|(?<=[.;]) |(?<=[.;])\n)({_NAMES}): ", paragraph):
        if set(match[1].split(", ")) <= known:
            starts.append(match.start(1))
    if len(starts) > 1:
        for match in re.finditer(r"(?<=[.;])\n", paragraph):
            if _SENTENCE.match(paragraph, match.end()):
                starts.append(match.end())
    edges = [*sorted(set(starts)), len(paragraph)]
    for a, b in zip(edges, edges[1:], strict=False):
        if part := paragraph[a:b].strip():
            yield part


def _prose(part: str, name: str, known: set[str]) -> str:
    match = re.match(rf"({_NAMES}): ", part)
    if match and set(match[1].split(", ")) <= known:
        names = ", ".join(f"``{each}``" for each in match[1].split(", "))
        meaning = " ".join(part[match.end() :].split())
        return f"- {names}: {_inline(meaning, name, known)}"
    return _inline(part, name, known)


def _inline(text: str, name: str, known: set[str]) -> str:
    """Text with its code marked as such, and nothing else in it taken for markup."""
    found, at = [], 0
    for match in _CODE.finditer(text):
        found.append(_escaped(text[at : match.start()]))
        code = match[1] or match[2]
        full = None if match[1] or code in known else target(code, name)
        found.append(f":py:obj:`{code} <{full}>`" if full else f"``{code}``")
        # Markup must not touch a word that follows it, as in `Box`es.
        if text[match.end() : match.end() + 1].isalnum():
            found.append("\\ ")
        at = match.end()
    return "".join([*found, _escaped(text[at:])])


def _escaped(text: str) -> str:
    return re.sub(r"([*|\\]|_(?!\w))", r"\\\1", text)


def _language(code: str) -> str:
    if code.startswith(">>>"):
        return "pycon"
    for language, read in (("json", json.loads), ("python", ast.parse)):
        try:
            read(code)
            return language
        except (ValueError, SyntaxError):
            pass
    return "text"


def target(code: str, where: str) -> str | None:
    """The full name of what `code` names in a docstring of `where`, if the API pages show it.

    >>> target("Boxes.mask", "dcgan_probe.edits.cells")
    'dcgan_probe.boxes.boxes.Boxes.mask'
    """
    first, *rest = code.removesuffix("()").split(".")
    for scope in _scopes(where):
        found = getattr(scope, first, None) if first.isidentifier() else None
        if found is None or (inspect.ismodule(found) and not rest):
            continue
        owner: Any = scope
        names = [first, *rest]
        for part in rest:
            owner, found = found, getattr(found, part, None)
        return _shown(found, owner, names[-1])
    return None


def _scopes(where: str) -> Iterator[Any]:
    """The class and the module that a docstring is in, and the package."""
    parts = where.split(".")
    for end in range(len(parts), 1, -1):
        try:
            module = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        inner: Any = module
        scopes: list[Any] = [module]
        for part in parts[end:]:
            inner = getattr(inner, part, None)
            if isinstance(inner, type):
                scopes.append(inner)
        yield from reversed(scopes)
        break
    yield dcgan_probe


def _shown(found: Any, owner: Any, name: str) -> str | None:
    """The full name of a class, a function or a member of a class, if the API pages show it."""
    if not isinstance(found, type | property) and not inspect.isroutine(found):
        return None
    holder: Any = owner if isinstance(owner, type) else found
    full = f"{holder.__module__}.{holder.__qualname__}" + f".{name}" * (holder is owner)
    shown = holder.__module__ in modules() and "._" not in full
    return full if shown and found.__doc__ else None


@functools.cache
def modules() -> frozenset[str]:
    """The modules that the API pages show."""
    pages = (Path(__file__).parent / "api").glob("*.md")
    shown = (re.findall(r"automodule:: (\S+)", page.read_text()) for page in pages)
    return frozenset(itertools.chain.from_iterable(shown))
