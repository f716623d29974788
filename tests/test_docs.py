"""What the pages show is true of the commands, and the site builds."""

from __future__ import annotations

import doctest
import importlib.metadata
import importlib.util
import inspect
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from mutations import READERS
from pages import PAGES, ROOT, lines, name, ours, strangers

import dcgan_probe as dp
from dcgan_probe.cli.group import main

ABOUT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def parse(arguments: list[str], strangers: set[str]) -> None:
    """Parse a line as click does, without running it; it raises what a user would read.

    A command of `strangers`, packages that the page makes, ends it: its options are not ours.
    """
    with main.make_context("dcgan-probe", list(arguments)) as context:
        model = context.params["model"]
        assert model in dp.checkpoints.shipped() or Path(model).suffix, f"no model is named {model}"
        rest = [*context._protected_args, *context.args]
        while rest:
            if rest[0] in strangers:
                return
            command_name, command, rest = main.resolve_command(context, rest)
            assert command is not None
            extra = {"allow_extra_args": True, "allow_interspersed_args": False}
            with command.make_context(command_name, rest, parent=context, **extra) as sub:
                rest = [*sub._protected_args, *sub.args]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_that_a_page_shows_parses(page):
    text = page.read_text()
    inline = [shlex.split(span) for span in re.findall(r"`(dcgan-probe -?[^`]+)`", text)]
    wrong = []
    for words in [*lines(text), *(span for span in inline if "..." not in span)]:
        arguments = ours(words)
        if arguments is None:
            continue
        try:
            parse(arguments, strangers(page, text))
        except click.exceptions.Exit:
            pass  # --help
        except (click.ClickException, AssertionError) as error:
            wrong.append(f"{shlex.join(words)}: {error}")
    assert wrong == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--modle rooms forget", "No such option '--modle'"),
        ("forgett", "unknown command 'forgett'"),
        ("sample --n 4 forget --boxs x.json", "No such option '--boxs'"),
        ("forget --select best", "'best' is not one of"),
        ("sample --n 0", "not in the range"),
        ("convert a.pth", "Missing parameter: to"),
        ("arithmetic 'a - b' --drws 9", "No such option '--drws'"),
        ("--model bedrooms sample", "no model is named bedrooms"),
    ],
)
def test_a_wrong_line_would_be_found(line, said):
    with pytest.raises((click.ClickException, AssertionError), match=re.escape(said)):
        parse(shlex.split(line), set())


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_whatever_else_a_page_runs_is_there(page):
    """Targets of make, scripts, modules and extras of this package."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    wrong = []
    for words in lines(page.read_text()):
        if words[0] == "make":
            wrong += [word for word in words[1:] if word not in targets]
        if words[:2] == ["python", "-m"] and words[2].startswith("dcgan_probe"):
            wrong += [words[2]] * (importlib.util.find_spec(words[2]) is None)
        elif words[0] == "python" and words[1].endswith(".py"):
            wrong += [words[1]] * (not (ROOT / words[1]).exists())
        for extra in re.findall(r"dcgan-probe\[([\w,]+)\]", " ".join(words)):
            wrong += [e for e in extra.split(",") if e not in ABOUT["optional-dependencies"]]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_and_pictures_are_there(page):
    """By the file system, as the repository's own view follows them."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)\s#]+)", prose)
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_every_public_package_and_probe_has_its_place_in_the_api():
    shown: set[str] = set()
    for page in (ROOT / "docs/api").glob("*.md"):
        shown.update(re.findall(r"automodule:: (\S+)", page.read_text()))
    assert [module for module in shown if importlib.util.find_spec(module) is None] == []
    # A package has its place if one of its modules has.
    places = {module[: end.start()] for module in shown for end in re.finditer(r"\.|$", module)}
    public = {f"dcgan_probe.{each}" for each in dp.__all__ if inspect.ismodule(getattr(dp, each))}
    found = {
        ".".join(point.module.split(".")[:3])
        for points in dp.plugins.find(only_ours=True).values()
        for point in points
        if point.module.startswith("dcgan_probe.probes.")
    }
    assert len(public) > 15 and len(found) > 10
    assert (public | found) - places == set()
    index = (ROOT / "docs/api/index.md").read_text()
    assert [each for each in dp.__all__ if f"`{each}`" not in index] == []


def test_every_public_name_is_on_the_page_of_the_module_that_defines_it():
    text = "".join(page.read_text() for page in (ROOT / "docs/api").glob("*.md"))
    names = [each for each in dp.__all__ if not inspect.ismodule(getattr(dp, each))]
    homes = {each: getattr(dp, each).__module__ for each in names}
    assert [each for each, home in homes.items() if f"automodule:: {home}\n" not in text] == []


def probes() -> list[str]:
    points = importlib.metadata.entry_points(group="dcgan_probe.probes")
    return sorted(point.name for point in points if dp.plugins.is_ours(point))


def test_every_message_explained_when_forgetting_fails_exists():
    text = (ROOT / "docs/when-forgetting-fails.md").read_text()
    code = "".join(
        path.read_text()
        for folder in ("probes/forget", "dcgan_probe/recognition")
        for path in sorted((ROOT / folder).glob("*.py"))
    )
    shown = re.findall(r"^\| ([A-Z][A-Z', ]{9,}[A-Z])", text, re.MULTILINE)
    assert len(shown) > 8
    assert [words for words in shown if words not in code] == []
    said = re.findall(r"\"((?:[A-Z']{2,}[ :,]){3,})", code)
    assert len(said) > 8
    assert [words for words in said if words.rstrip(" :,") not in text] == []


def test_every_page_of_a_probe_is_of_one():
    pages = {page.stem for page in (ROOT / "docs/probes").glob("*.md")}
    assert pages | {"label", "paint", "report"} == set(probes())  # these return no result


@pytest.mark.parametrize("probe", probes())
def test_every_probe_has_its_page_in_the_index(probe):
    folder = "" if probe in ("label", "paint", "report") else "probes/"
    text = (ROOT / "docs" / f"{folder}{probe}.md").read_text()
    index = (ROOT / "docs/index.md").read_text()
    assert f"]({folder}{probe}.md)" in index  # in the table
    assert f"\n{folder}{probe}\n" in index  # in the tree
    assert f"](docs/{folder}{probe}.md)" in (ROOT / "README.md").read_text()
    if folder:
        assert text.startswith(f"# {probe}\n\n*")  # what it asks
        headings = re.findall(r"^## (.+)", text, re.MULTILINE)
        expected = ["How it is computed", "How to read it", "When not to believe it", "Files"]
        assert [heading for heading in headings if heading in expected] == expected


def examples() -> dict[str, dict]:
    text = (ROOT / "docs/formats.md").read_text()
    found = map(json.loads, re.findall(r"^```json\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    return {each["format"]: each for each in found}


def test_the_files_that_formats_shows_are_read(tmp_path):
    shown = examples()
    for each in (dp.Boxes, dp.Selection, dp.Concepts):
        kind = each.__name__.lower()
        path = tmp_path / f"{kind}.json"
        path.write_text(json.dumps(shown.pop(f"dcgan-probe/{kind}/1")))
        each.read(path).write(path)
        each.read(path)
    checkpoint = shown.pop("dcgan-probe/checkpoint/1")
    assert set(checkpoint) == {"format", "config", "info"}
    # The shipped rooms are of this config: none of its members is made up or left out.
    assert dp.Config.from_dict(checkpoint["config"]) == dp.checkpoints.load("rooms").config
    assert shown == {}


def test_formats_names_every_format():
    found = set()
    for folder in ("dcgan_probe", "probes"):
        for path in (ROOT / folder).rglob("*.py"):
            found.update(re.findall(r"FORMAT = \"(dcgan-probe/\w+/\d+)\"", path.read_text()))
    text = (ROOT / "docs/formats.md").read_text()
    assert [each for each in sorted(found) if f"`{each}`" not in text] == []


def test_a_docstring_becomes_code_points_and_links(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import docstrings

    def function(maps, gain, where): ...

    text = """Scale `maps` as `hooks.ablate` does, a * b_ and `no_such`.

        >>> function(m, 2)

    maps: N x C. gain: one for all, or
    a sequence. other: text.
    Raises InputError for NaN.
    """
    assert docstrings.converted(inspect.cleandoc(text), "dcgan_probe.f", function) == [
        "Scale ``maps`` as :py:obj:`hooks.ablate <dcgan_probe.hooks.ablation.ablate>` does, "
        r"a \* b\_ and ``no_such``.",
        "",
        ".. code-block:: pycon",
        "",
        "   >>> function(m, 2)",
        "",
        "- ``maps``: N x C.",
        "",
        "- ``gain``: one for all, or a sequence. other: text.",
        "",
        "Raises InputError for NaN.",
        "",
    ]
    assert doctest.testmod(docstrings).failed == 0


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("sphinx", reason="the site is built with pip install -e '.[docs]'")
    strict = ["-q", "-W", "--keep-going", "-n", "-E"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *strict, "-c", "docs", "-d", tmp_path / "trees"]
        + [".", tmp_path / "site"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    api = (tmp_path / "site/docs/api/session.html").read_text()
    # Examples, points and links of docstrings arrive as such.
    assert 'id="dcgan_probe.session.Session.editing"' in api
    assert "highlight-pycon" in api
    assert "&gt;&gt;&gt;" not in re.sub(r"<(pre|span)[^>]*>.*?</\1>", "", api, flags=re.DOTALL)


def test_the_tests_that_the_page_on_reliability_names_are_there():
    page = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    sources = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    files = set(re.findall(r"`(test_\w+\.py)`", page))
    names = set(re.findall(r"`(test_\w+)`", page))
    assert files and names and files <= sources.keys()
    assert [n for n in names if not any(f"def {n}(" in text for text in sources.values())] == []
    assert f"each of {len(READERS)} readers" in page
