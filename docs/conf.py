"""The documentation site, by Sphinx and MyST: `make docs` builds it into build/site.

The sources are read from the root of the repository, not from docs/, because pages link to the
measurements, to the notes on what ships, and to the code, with relative links that work in the
repository's own view too.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))  # docstrings.py

import docstrings  # noqa: E402

about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
project = about["name"]
release = version = about["version"]
copyright = "MIT license"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
root_doc = "docs/index"
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
include_patterns = ["docs/**", "benchmarks/**/*.md", "fixtures/*/README.md"]
include_patterns.append("CONTRIBUTING.md")
exclude_patterns = [".*", "build", "dist", "out"]

myst_heading_anchors = 3
myst_links_external_new_tab = False

# Notebooks hold no outputs: they are run whenever their page is read. One that raises is a warning,
# and so fails the build. Stderr is shown: there the library says how many of how many it took.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 180
nb_execution_show_tb = True
nb_output_stderr = "show"
nb_merge_streams = True
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 120
autodoc_inherit_docstrings = False
nitpicky = True
# Types of other projects, and of modules that no page shows, are named and not linked.
_shown = "|".join(re.escape(name) for name in docstrings.modules())
nitpick_ignore_regex = [(r"py:.*", rf"(?!(?:{_shown})\.(?!_|T$)).*")]

smartquotes = False  # "auto" is a value that is typed

html_theme = "furo"
html_title = project
html_extra_path = ["_root"]  # an index.html that leads from the site's root to docs/
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
pygments_style = "friendly"
pygments_dark_style = "github-dark"


def lead_on(app: Sphinx, doctree: nodes.document) -> None:
    """Resolve links that only the repository's view follows: to folders and the README."""
    for node in doctree.findall(addnodes.pending_xref):
        if node["reftype"] != "myst":
            continue
        if node["reftarget"] == "README":
            node["reftarget"] = root_doc
        elif node["refdomain"] is None:
            _, path = app.env.relfn2path(node["reftarget"], app.env.docname)
            page = app.env.path2doc(Path(path) / "README.md")
            if page in app.env.found_docs:
                node.attributes.update(refdomain="doc", reftarget=page, reftargetid=None)


def shorten(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, text: nodes.TextElement
) -> nodes.reference | None:
    """Resolve `dp.Session`, in signatures of probes, to where Session is defined."""
    name = node["reftarget"].removeprefix("dp.")
    full = docstrings.target(name, "dcgan_probe") if name != node["reftarget"] else None
    python = env.domains.python_domain
    return full and python.resolve_xref(env, node["refdoc"], app.builder, "class", full, node, text)


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", lead_on)
    app.connect("missing-reference", shorten)
    app.connect("autodoc-process-docstring", docstrings.process)
