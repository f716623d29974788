"""What the README shows in Python runs as it stands."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from dcgan_probe.probes import forget

README = Path(__file__).resolve().parent.parent / "README.md"


def test_the_scripts_of_the_readme_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Whether the lines work is asked here; what they find, by the tests of the probe.
    monkeypatch.setattr(forget, "run", partial(forget.run, controls=2, n=16))
    scripts = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(scripts) == 2
    names: dict = {}
    for script in scripts:
        exec(compile(script, "README.md", "exec"), names)
    assert names["without"].shape == (16, 3, 64, 64)
    assert (tmp_path / "out/forget/selection.json").exists()
    assert names["filters"].trained.guided.shape == (4, 5, 3, 64, 64)
    assert (names["images"] - names["generator"](names["z"])).abs().max() < 1e-5


def test_the_pictures_and_pages_of_the_readme_are_there():
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text())
    assert len(links) > 8
    assert [link for link in links if not (README.parent / link).exists()] == []
