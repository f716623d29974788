"""Imports point down: no module imports from a floor above its own, and no two import each other.

The imports are read from the source of every module, also those inside functions and under
TYPE_CHECKING. A name that a package passes on is followed, by the stub, to the module that defines
it. The floors are those of docs/architecture.md.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = "dcgan_probe"
PROBES, FIXTURES = f"{CORE}.probes", f"{CORE}.fixtures"
FOLDERS = {CORE: "dcgan_probe", PROBES: "probes", FIXTURES: "fixtures"}
# From the ground up: a module may import from its own floor and from those before it.
FLOORS = (
    *("errors", "storage", "terminal", "networks", "hooks", "images", "latents", "boxes", "edits"),
    *("attribution", "metrics", "figures", "results", "checkpoints", "session", "plugins"),
    *("recognition", "distributed", "training", "dedup", "report", "pages", "label", "paint"),
    *("cli", "__main__", "probes", "fixtures"),
)


@dataclass(frozen=True)
class Source:
    """A package's modules and stubs, the text of each by its dotted name."""

    modules: dict[str, str]
    stubs: dict[str, str]

    @classmethod
    def read(cls) -> Source:
        modules, stubs = {}, {}
        for package, folder in FOLDERS.items():
            for path in sorted((ROOT / folder).rglob("*.py*")):
                parts = path.relative_to(ROOT / folder).with_suffix("").parts
                name = ".".join([package, *parts]).removesuffix(".__init__")
                kept = {".py": modules, ".pyi": stubs}.get(path.suffix)
                if kept is not None:
                    kept[name] = path.read_text(encoding="utf-8")
        return cls(modules, stubs)

    def imports(self, module: str) -> set[str]:
        """The modules of this package that a module imports from."""
        return {
            found
            for target, name in _imported(self.modules[module], module, self._is_package(module))
            for found in self._defining(target, name)
        }

    def _is_package(self, module: str) -> bool:
        return any(other.startswith(f"{module}.") for other in self.modules)

    def _defining(self, module: str, name: str | None) -> Iterator[str]:
        """The modules behind ``from module import name``, or ``import module`` if name is None."""
        if name is not None and f"{module}.{name}" in self.modules:
            module, name = f"{module}.{name}", None
        if module in self.modules:
            exported = dict(_exported(self.stubs.get(module, ""), module))
            if name in exported:
                yield exported[name]
            elif name is None and exported and module != CORE:
                yield from exported.values()  # a whole package: all that it passes on
            else:
                yield module


def _imported(text: str, module: str, is_package: bool) -> Iterator[tuple[str, str | None]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                ups = node.level - is_package
                parts = module.split(".")
                base = ".".join([*parts[: len(parts) - ups], *filter(None, [node.module])])
            yield from ((base, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from ((a.value, None) for a in node.args if isinstance(a, ast.Constant))


def _exported(stub: str, package: str) -> Iterator[tuple[str, str]]:
    for node in ast.parse(stub).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.name, f"{package}.{node.module or alias.name}"


def floor(module: str) -> str:
    """The floor of a module: the first name below dcgan_probe."""
    return module.split(".")[1] if "." in module else ""


def probe(module: str) -> str:
    """The probe that a module is part of; "" outside the probes."""
    return module.split(".")[2] if module.startswith(f"{PROBES}.") else ""


def breaches(source: Source) -> dict[str, list[str]]:
    """What breaks each rule, in lines that name two modules."""
    floors: list[str] = []
    broken: dict[str, list[str]] = {
        "a module imports only from its own floor and those below": floors,
        "the core imports no probe": [],
        "a probe imports no other probe": [],
        "modules import from where a name is defined, not from dcgan_probe itself": [],
        "every module has a floor": [],
        "no two modules import each other, directly or in a circle": [],
    }
    _, to_core, to_probe, front, homeless, circles = broken.values()
    graph = {module: source.imports(module) - {module} for module in source.modules}
    for module, targets in graph.items():
        if module == CORE:  # passes names on lazily, by its stub
            continue
        if floor(module) not in FLOORS:
            homeless.append(f"{module} is on no floor of {', '.join(FLOORS)}")
            continue
        for target in sorted(targets):
            line = f"{module} imports {target}"
            if target == CORE:
                front.append(line)
            elif floor(target) not in FLOORS:
                continue  # told of above
            elif probe(target) and not module.startswith((PROBES, FIXTURES)):
                to_core.append(line)
            elif probe(module) and probe(target) and probe(module) != probe(target):
                to_probe.append(line)
            elif FLOORS.index(floor(target)) > FLOORS.index(floor(module)):
                floors.append(line)
    while circle := _circle(graph):
        circles.append(" imports ".join(circle))
        graph[circle[0]] = graph[circle[0]] - {circle[1]}
    return broken


def _circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules each of which imports the next, the last being the first again; [] if none do."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


RULES = tuple(breaches(Source({}, {})))


@pytest.fixture(scope="module")
def found() -> dict[str, list[str]]:
    return breaches(Source.read())


@pytest.mark.parametrize("rule", RULES)
def test_imports_keep_the_rule(found, rule):
    assert not found[rule], f"{rule}:\n" + "\n".join(found[rule])


def test_all_modules_and_their_imports_are_read():
    source = Source.read()
    assert len(source.modules) > 100
    assert f"{CORE}.storage.files" in source.imports(f"{CORE}.checkpoints.native")
    assert f"{CORE}.boxes.boxes" in source.imports(f"{CORE}.session")
    assert {floor(module) for module in source.modules} >= set(FLOORS)


PLANTED = {
    RULES[0]: [
        ({"images.sources": "from dcgan_probe.session import Session"}, "session"),
        ({"images.sources": "def f():\n    from dcgan_probe import session"}, "session"),
        ({"images.sources": "def f():\n    import dcgan_probe.session"}, "session"),
        ({"images.sources": "from importlib import import_module\n"
          "import_module('dcgan_probe.session')"}, "session"),
        ({"images.sources": "if TYPE_CHECKING:\n    from ..session import Session"}, "session"),
        ({"images.sources": "from dcgan_probe.cli import group"}, "cli.group"),
        ({"report.page": "from dcgan_probe.fixtures import segmenter"}, "fixtures.segmenter"),
    ],
    RULES[1]: [
        ({"cli.group": "from dcgan_probe.probes import forget"}, "probes.forget"),
        ({"cli.group": "def f():\n    import dcgan_probe.probes.forget.gates"},
         "probes.forget.gates"),
    ],
    RULES[2]: [
        ({"probes.walk": "from dcgan_probe.probes.forget import gates"}, "probes.forget.gates"),
        ({"probes.walk": "from . import forget"}, "probes.forget"),
        ({"probes.walk": "from .forget.gates import choose"}, "probes.forget.gates"),
    ],
    RULES[3]: [({"probes.walk": "import dcgan_probe as dp"}, "")],
    RULES[4]: [({"sculpt": "import math"}, None)],
    RULES[5]: [
        ({"boxes.boxes": "from dcgan_probe.boxes.formats import read",
          "boxes.formats": "def f():\n    from dcgan_probe.boxes.boxes import Boxes"},
         "boxes.formats"),
        ({"boxes.boxes": "from dcgan_probe.boxes import read"}, "boxes.formats"),
        ({"boxes.boxes": "from dcgan_probe import boxes"}, "boxes.formats"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "planted", "target"),
    [(rule, *case) for rule, cases in PLANTED.items() for case in cases],
)
def test_a_breach_of_each_kind_is_found(rule, planted, target):
    names = ("errors", "session", "boxes", "boxes.boxes", "images", "images.sources", "cli")
    names += ("cli.group", "report", "report.page", "probes", "probes.walk", "probes.forget")
    names += ("probes.forget.gates", "fixtures", "fixtures.segmenter")
    sound = {CORE: "", **{f"{CORE}.{name}": "" for name in names}}
    sound[f"{CORE}.boxes.formats"] = "from dcgan_probe.boxes.boxes import Boxes"
    stubs = {
        f"{CORE}.boxes": "from .boxes import Boxes as Boxes\nfrom .formats import read as read"
    }
    assert not any(breaches(Source(sound, stubs)).values())
    wrong = {f"{CORE}.{name}": text for name, text in planted.items()}
    told = {r: lines for r, lines in breaches(Source(sound | wrong, stubs)).items() if lines}
    assert list(told) == [rule]
    (line,) = told[rule]
    module = next(iter(wrong))
    assert module in line
    if target is not None:
        assert f"{CORE}.{target}".rstrip(".") in line.split()


def test_a_rule_without_a_planted_breach_would_be_seen():
    assert set(PLANTED) == set(RULES)
