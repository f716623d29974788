"""One notebook a probe, without outputs; building the site runs them."""

from __future__ import annotations

import json
import re
import textwrap
from importlib import metadata
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="comes with pip install -e '.[docs]'")

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs/notebooks"
NOTEBOOKS = {path.stem: path for path in sorted(FOLDER.glob("*.ipynb"))}
NOT_SCRIPTED = {"label", "paint", "report"}  # pages in the browser, and a page of results


def probes() -> set[str]:
    points = metadata.distribution("dcgan-probe").entry_points
    return {point.name for point in points.select(group="dcgan_probe.probes")}


def prose(name: str) -> str:
    notebook = nbformat.read(NOTEBOOKS[name], as_version=4)
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def test_every_scripted_probe_has_its_notebook_and_no_other_is_there():
    assert set(NOTEBOOKS) == probes() - NOT_SCRIPTED


def test_every_notebook_is_listed():
    index = (FOLDER / "index.md").read_text()
    tree = re.findall(r"^```\{toctree\}\n(.*?)^```", index, re.DOTALL | re.MULTILINE)
    assert sorted(tree[0].split("\n\n")[1].split()) == sorted(NOTEBOOKS)
    assert sorted(re.findall(r"\((\S+)\.ipynb\)", index)) == sorted(NOTEBOOKS)
    assert "\nnotebooks/index\n" in (ROOT / "docs/index.md").read_text()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_of_the_format_and_holds_nothing_that_running_it_leaves(name):
    notebook = json.loads(NOTEBOOKS[name].read_text())
    nbformat.validate(notebook)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert code
    for cell in code:
        assert (cell["outputs"], cell["execution_count"]) == ([], None)
    assert {key for cell in notebook["cells"] for key in cell["metadata"]} == set()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_leads_to_the_page_of_its_probe(name):
    assert f"](../probes/{name}.md" in prose(name)
    assert prose(name).startswith(f"# {name}: ")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_links_of_a_notebook_lead_to_files(name):
    links = re.findall(r"\]\(([^)\s#]+)", prose(name))
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert local
    assert [link for link in local if not (FOLDER / link).exists()] == []


def test_a_notebook_shows_progress_in_one_line_that_disappears():
    nbclient = pytest.importorskip("nbclient", reason="comes with pip install -e '.[docs]'")
    code = """
        import time
        import dcgan_probe as dp
        from dcgan_probe import terminal

        shown, write = [], terminal.NotebookLine.write
        terminal.NotebookLine.write = lambda line, text: (shown.append(text), write(line, text))
        session = dp.Session.open("svhn", device="cpu")
        for _ in session.progress(range(3), "quick"): pass
        for _ in session.progress(range(5), "counting"): time.sleep(0.4)
        print(sorted({text.strip().split(":")[0] for text in shown}))
    """
    cell = nbformat.v4.new_code_cell(textwrap.dedent(code))
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbclient.NotebookClient(notebook, timeout=120).execute()
    line, said = notebook.cells[0].outputs
    assert line["output_type"] == "display_data" and set(line["data"].values()) == {""}
    assert said["name"] == "stdout" and said["text"] == "['', 'counting']\n"
