"""Packages beside ours: found, guarded, told of; started from a template."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import strangers
from click.testing import CliRunner
from mypy import api

import dcgan_probe as dp
from dcgan_probe import plugins
from dcgan_probe.cli.group import main
from dcgan_probe.plugins import new_probe, trial
from dcgan_probe.recognition import detectors, judges

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    """A folder of installed packages, for this process and its children."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def test_a_strangers_probe_is_one_of_the_chain(run, site, tmp_path):
    strangers.install(site, "stranger", {"strange_a.py": strangers.PROBE}, bright="strange_a:probe")
    assert "Mean brightness of n samples." in run("--help")
    output = run("ablate", "--layer", "8x8", "--filters", "1", "bright", "--n", 2)
    assert "brightness: " in output
    found = json.loads((tmp_path / "out/bright/result.json").read_text())
    assert found["made_with"]["edits"]
    assert -1 <= found["brightness"] <= 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import nothing_of_this_name", "cannot be imported: ModuleNotFoundError: No module named"),
        ("raise RuntimeError('broken\\nin two lines')", "RuntimeError: broken in two lines"),
        ("probe = 3", "found int, expected a click command"),
        (
            "import click\nprobe = click.Group('probe')",
            "found Group, expected a click command, not a group",
        ),
        ("raise SystemExit(0)", "cannot be imported: SystemExit: 0"),
        ("raise SystemExit('no GPU')", "cannot be imported: SystemExit: no GPU"),
        ("raise BaseException('of Rust')", "cannot be imported: BaseException: of Rust"),
        ("def (", "cannot be imported: SyntaxError"),
    ],
)
def test_a_broken_probe_costs_only_itself(run, site, source, message):
    module = f"broken_{abs(hash(source))}"
    strangers.install(site, "stranger", {f"{module}.py": source}, strange=f"{module}:probe")
    assert "strange" in run("--help")
    run("sample", "--n", 1)
    output = run("--force", "strange", expect=2)
    assert message in output
    assert f"probe strange (stranger, {module}:probe)" in output
    assert output.count("\n") == 1


RAISING = """
import click

@click.command()
@click.argument("what")
@click.pass_context
def probe(context, what):
    {"key": lambda: {}["generator"], "exit": lambda: context.exit(3), "leave": lambda: exit(4),
     "abort": context.abort, "usage": lambda: context.fail("no such filter")}[what]()
"""


def test_what_a_strangers_probe_raises_is_one_line(invoke, site):
    strangers.install(site, "stranger", {"raising_a.py": RAISING}, strange="raising_a:probe")
    line = "Error: probe strange (stranger, raising_a:probe): KeyError: 'generator'\n"
    assert invoke("strange", "key", expect=2).output == line
    told = invoke("--verbose", "strange", "key", expect=2).stderr
    assert "raising_a.py" in told
    assert told.endswith(line)


@pytest.mark.parametrize(
    ("what", "code"), [("exit", 3), ("leave", 4), ("abort", 130), ("usage", 2)]
)
def test_how_a_strangers_probe_ends_in_order_is_left_to_it(invoke, site, what, code):
    strangers.install(site, "stranger", {"raising_b.py": RAISING}, strange="raising_b:probe")
    assert "raising_b:probe" not in invoke("strange", what, expect=code).output


def test_what_ours_raise_is_a_bug_of_ours(model, monkeypatch):
    def broken(*_):
        raise KeyError("generator")

    monkeypatch.setattr("dcgan_probe.probes.sample.run", broken)
    done = CliRunner().invoke(main, ["--model", str(model), "--out", str(model.parent), "sample"])
    assert done.exit_code == 1
    assert "bug: KeyError: 'generator', in " in done.stderr
    assert "test_plugins.py:" in done.stderr


HALF_REMOVED = {
    "no METADATA": ("METADATA", None),
    "empty": ("METADATA", b""),
    "no name": ("METADATA", b"Metadata-Version: 2.1\nVersion: 1.2\n"),
    "no text": ("METADATA", "Name: stranger\nVersion: 1.2\nAuthor: Härkönen".encode("latin-1")),
    "no equals sign": ("entry_points.txt", b"[console_scripts]\nstrange\n"),
    "no text either": ("entry_points.txt", "[console_scripts]\nfü = a:b".encode("latin-1")),
}


@pytest.fixture
def unimported(monkeypatch) -> None:
    """The check of what is installed, without the imports."""
    monkeypatch.setattr(trial, "imported", lambda points, _: [("ok", "")] * len(points))


@pytest.mark.parametrize("broken", HALF_REMOVED)
def test_a_package_whose_metadata_are_broken_costs_only_itself(run, site, unimported, broken):
    file, content = HALF_REMOVED[broken]
    strangers.install(site, "other", {}, bright="nowhere:probe")
    strangers.install(site, "stranger", {}, strange="nowhere:probe")
    folder = site / "stranger-1.2.dist-info"
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    assert {"sample", "bright"} < plugins.find().keys()
    assert "  sample  " in run("--help")
    assert "  sample  " in run("--no-plugins", "--help")
    (told,) = (plug for plug in trial.check() if plug.status != "ok")
    assert (told.kind, told.name, told.status) == ("package", folder.name, "broken")
    assert told.why.startswith(f"{folder}: metadata cannot be read: ")
    assert told.why in run("plugins")
    assert trial.check(only_ours=True) == [
        plug for plug in trial.check() if plug.package == "dcgan-probe"
    ]


def test_a_package_without_a_version_is_of_an_unknown_one(run, site, unimported):
    strangers.install(site, "stranger", {}, strange="nowhere:probe")
    (site / "stranger-1.2.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: stranger\n")
    (found,) = (plug for plug in trial.check() if plug.package == "stranger")
    assert (found.version, found.status) == ("unknown", "ok")
    assert "stranger     unknown  ok" in run("plugins")


def test_a_package_that_is_there_twice_counts_once(site, unimported, monkeypatch):
    for folder, value in ((site, "first:probe"), (site / "behind", "second:probe")):
        strangers.install(folder, "stranger", {}, strange=value)
    monkeypatch.setattr(sys, "path", [*sys.path, str(site / "behind")])
    assert [point.value for point in plugins.find()["strange"]] == ["first:probe"]


NAMES = ["two words", "--seed", "-n", "red\x1b[31m", "a/b"]


def test_names_that_cannot_be_typed_are_broken(run, site, unimported):
    strangers.install(site, "stranger", {}, **dict.fromkeys(NAMES, "nowhere:probe"))
    assert "stranger" not in {plugins.owner(one) for own in plugins.find().values() for one in own}
    shown = run("--help")
    assert "\x1b" not in shown
    assert "two words" not in shown
    told = [plug for plug in trial.check() if plug.package == "stranger"]
    assert [plug.name for plug in told] == NAMES
    assert {plug.status for plug in told} == {"broken"}
    table = run("plugins")
    assert "broken: found the name '--seed', expected letters, digits, - and _" in table
    assert "\x1b" not in table


@pytest.mark.parametrize("value", ["", "no module:probe", "module:probe[a\0b]"])
def test_what_names_no_module_is_broken(site, unimported, value):
    strangers.install(site, "stranger", {}, strange=value)
    assert "strange" not in plugins.find()
    (told,) = (plug for plug in trial.check() if plug.package == "stranger")
    assert (told.status, told.why) == ("broken", f"found {value!r}, expected module:attribute")


def test_a_name_that_is_twice_in_one_package_is_taken(site):
    strangers.install(site, "stranger", {"strange_g.py": strangers.PROBE}, bright="strange_g:probe")
    with open(site / "stranger-1.2.dist-info/entry_points.txt", "a") as file:
        file.write("\nbright = strange_g:click.command\n")
    found = [plug for plug in trial.check(limit=60) if plug.package == "stranger"]
    assert [plug.target for plug in found] == ["strange_g:probe", "strange_g:click.command"]
    assert (found[0].status, found[0].why) == ("taken", "stranger has the name too")
    assert found[1].status == "broken"


def test_the_name_of_the_judge_of_boxes_is_taken(site, unimported):
    strangers.install(site, "stranger", {}, "detectors", **{judges.BOXES: "nowhere:boxes"})
    (found,) = (plug for plug in trial.check() if plug.package == "stranger")
    assert (found.status, found.why) == ("taken", "dcgan-probe has the name too")
    with pytest.raises(dp.InputError, match="expected one of: boxes, cells, rooms, the path"):
        detectors.find("nothing", "window", also=[judges.BOXES])


def test_help_imports_no_package_of_a_stranger(site):
    strangers.install(
        site,
        "stranger",
        {
            "strange_b/__init__.py": "raise SystemExit('imported')",
            "strange_b/deep/__init__.py": "raise SystemExit('imported')",
            "strange_b/deep/probe.py": strangers.PROBE,
        },
        bright="strange_b.deep.probe:probe",
        gone="strange_b.deep.nowhere:probe",
        compiled="math:probe",
    )
    done = subprocess.run(
        [sys.executable, "-m", "dcgan_probe", "--help"], capture_output=True, text=True, check=True
    )
    assert "bright       Mean brightness of n samples." in done.stdout
    assert "gone         (broken: there is no module strange_b.deep.nowhere)" in done.stdout
    assert "compiled" in done.stdout


def test_a_name_that_two_packages_took_is_refused_with_both(run, site):
    for package in ("one", "two"):
        module = f"strange_{package}"
        strangers.install(
            site, package, {f"{module}.py": strangers.PROBE}, bright=f"{module}:probe"
        )
    expected = (
        "Error: bright: found the name in one (strange_one:probe) and two (strange_two:probe), "
        "expected it in one package: uninstall the others\n"
    )
    assert run("bright", expect=2) == expected
    assert "found the name in" in " ".join(run("--help").split())
    run("sample", "--n", 1)


def test_ours_is_not_shadowed(run, site):
    strangers.install(
        site,
        "stranger",
        {"strange_c.py": strangers.PROBE},
        sample="strange_c:probe",
        show="strange_c:probe",
    )
    assert "brightness" not in run("sample", "--n", 1)
    assert "Mean brightness" not in run("--help")
    assert plugins.entry_point(plugins.find()["sample"]).value == "dcgan_probe.probes.sample:sample"
    found = {plug.name: plug for plug in trial.check(limit=60, commands=["show"])}
    strange = [plug for plug in trial.check(limit=60) if plug.package == "stranger"]
    assert (found["show"].status, found["show"].why) == ("taken", "dcgan-probe has the name too")
    assert [(plug.name, plug.status) for plug in strange] == [("sample", "taken"), ("show", "ok")]


def test_without_plugins_there_are_only_ours(run, site):
    strangers.install(site, "stranger", {"strange_d.py": strangers.PROBE}, bright="strange_d:probe")
    assert "  bright  " in run("--help")
    assert "  bright  " not in run("--no-plugins", "--help")
    assert "unknown command 'bright'" in run("--no-plugins", "bright", expect=2)
    run("--no-plugins", "sample", "--n", 1)
    assert plugins.find(only_ours=True).keys() == plugins.find().keys() - {"bright"}


def test_each_plugin_is_imported_and_guarded(site):
    strangers.install(
        site,
        "stranger",
        {
            "strange_e.py": strangers.PROBE,
            "raising.py": "raise KeyError('generator')",
            "leaving.py": "import sys; sys.exit('no GPU')",
            "dying.py": "import os; os._exit(3)",
            "hanging.py": "import time; time.sleep(600)",
            "noisy.py": 'print(\'["ok", "not the answer"]\')\nprobe = 1',
        },
        b_raising="raising:probe",
        c_leaving="leaving:probe",
        d_dying="dying:probe",
        e_hanging="hanging:probe",
        f_noisy="noisy:probe",
        g_gone="gone_module:probe",
        h_bright="strange_e:probe",
    )
    found = {
        name: points[0]
        for name, points in plugins.find().items()
        if plugins.owner(points[0]) == "stranger"
    }
    assert list(zip(found, trial.imported(list(found.values()), 5), strict=True)) == [
        ("b_raising", ("broken", "cannot be imported: KeyError: 'generator'")),
        ("c_leaving", ("broken", "cannot be imported: SystemExit: no GPU")),
        ("d_dying", ("broken", "the import ended the process, with code 3")),
        ("e_hanging", ("slow", "not imported after 5 s")),
        ("f_noisy", ("broken", "found int, expected a click command, not a group")),
        (
            "g_gone",
            ("broken", "cannot be imported: ModuleNotFoundError: No module named 'gone_module'"),
        ),
        ("h_bright", ("ok", "")),
    ]


def test_plugins_lists_everything_that_is_installed(site):
    source = "bright = lambda label: None"
    strangers.install(site, "stranger", {"f.py": source}, "detectors", bright="f:bright")
    runner = CliRunner()
    done = runner.invoke(main, ["--json", "plugins"])
    listed = json.loads(done.stdout)["plugins"]
    (strange,) = (each for each in listed if each["package"] == "stranger")
    assert strange == {
        **{"kind": "detector", "name": "bright", "package": "stranger", "version": "1.2"},
        **{"target": "f:bright", "status": "ok", "why": ""},
    }
    names = {(each["kind"], each["name"]) for each in listed}
    assert names >= {("probe", "sample"), ("detector", "rooms"), ("classifier", "faces")}
    table = trial.table([trial.Plugin(**each) for each in listed])
    assert "detector    bright" in table
    assert len({line.index("  1.2") for line in table.splitlines() if "stranger" in line}) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Edge", "found the name 'Edge', expected small letters, digits and single hyphens"),
        ("edge_energy", "found the name 'edge_energy'"),
        ("edge--energy", "found the name"),
        ("../edge", "found the name"),
        ("3d", "found the name"),
        ("sample", "found 'sample', which is a command already"),
        ("diff", "found 'diff', which is a command already"),
        ("a" * 300, ": cannot be written: File name too long"),
    ],
)
def test_names_of_new_probes_are_checked(run, tmp_path, name, message):
    output = run("new-probe", name, "--to", tmp_path / "new", expect=2)
    assert message in output
    assert output.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_a_new_probe_overwrites_nothing(run, tmp_path):
    (tmp_path / "mine").mkdir()
    output = run("--force", "new-probe", "mine", "--to", tmp_path / "mine", expect=2)
    assert "mine: already exists, expected a new folder" in output
    assert list((tmp_path / "mine").iterdir()) == []


def test_how_to_install_a_new_probe_can_be_pasted(run, tmp_path):
    folder = tmp_path / "sp ace"
    assert f"next: pip install -e '{folder}', then" in run("new-probe", "mine", "--to", folder)


def installed_beside(package: Path, tmp_path: Path) -> dict[str, str]:
    """Install a package beside ours from a copy, without a network; the environment to use it."""
    copy, site = tmp_path / "copy", tmp_path / "site"
    shutil.copytree(package, copy)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(site), str(copy)]
    subprocess.run(pip, check=True)
    return {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}


def run_tests(package: Path, environment: dict[str, str]) -> str:
    """The tests of a package, as their author runs them."""
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*line, "--rootdir", str(package), "-c", os.devnull, str(package)],
        **{"env": environment, "capture_output": True, "text": True, "check": False},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_new_probe_works_as_it_is(tmp_path):
    package = new_probe.write("edge-energy", tmp_path / "mine")
    environment = installed_beside(package, tmp_path)
    here = {"cwd": tmp_path, "env": environment, "text": True, "check": True}
    line = [sys.executable, "-m", "dcgan_probe", "sample", "--n", "2", "edge-energy", "--n", "5"]
    done = subprocess.run(line, capture_output=True, **here)
    assert "5 samples: brightness" in done.stdout
    assert (tmp_path / "out/rooms/edge-energy/edge-energy.png").exists()
    assert "2 passed" in run_tests(package, environment)
    (script,) = re.findall(r"`(\w+\.run\(.*\))`", (package / "README.md").read_text())
    imports = "import dcgan_probe, dcgan_probe_edge_energy"
    subprocess.run([sys.executable, "-c", f"{imports}; {script}"], **here)
    assert len(list(tmp_path.glob("*/edge-energy.png"))) == 1


CONTRACT = """
import dcgan_probe.results
from dcgan_probe.plugins import Probe

class Wrong:
    @staticmethod
    def run(session: str) -> dcgan_probe.results.Result: raise NotImplementedError

class Silent:
    @staticmethod
    def run(session: dcgan_probe.session.Session) -> None: ...

"""


def test_mypy_holds_our_probes_to_the_contract(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    names = {
        point.module.split(".")[2]
        for (point,) in plugins.find(only_ours=True).values()
        if point.module.startswith("dcgan_probe.probes.")
    }
    # concepts edits a file, and has a result only for suggestions.
    kept = sorted(names - {"concepts"})
    lines = [f"import probes.{name}\n_{name}: Probe = probes.{name}" for name in kept]
    wrong = "_wrong: Probe = Wrong()\n_silent: Probe = Silent()\n"
    (tmp_path / "contract.py").write_text(CONTRACT + wrong + "\n".join(lines))
    monkeypatch.setenv("MYPYPATH", str(ROOT))
    output, errors, _ = api.run([str(tmp_path / "contract.py"), "--no-error-summary"])
    assert not errors
    found = [line for line in output.splitlines() if ": error: " in line]
    assert len(kept) >= 8
    assert ["Wrong" in found[0], "Silent" in found[1]] == [True, True], output
    assert len(found) == 2, output


# Those of mypy's --strict that a module can be given. With the flag, nothing in the cache of `make
# types` would count, and all that the two modules import would be checked anew.
STRICT = """
[[tool.mypy.overrides]]
module = ["dcgan_probe_edge_energy", "test_dcgan_probe_edge_energy"]
disallow_any_generics = true
disallow_incomplete_defs = true
disallow_subclassing_any = true
disallow_untyped_calls = true
disallow_untyped_decorators = true
extra_checks = true
no_implicit_reexport = true
strict_equality = true
warn_return_any = true
"""


def test_what_we_give_to_start_from_is_typed(tmp_path, monkeypatch):
    monkeypatch.setenv("MYPYPATH", str(ROOT))
    package = new_probe.write("edge-energy", tmp_path / "mine")
    config = tmp_path / "pyproject.toml"
    config.write_text((ROOT / "pyproject.toml").read_text() + STRICT)
    given = ["--config-file", str(config), "--cache-dir", str(ROOT / ".mypy_cache")]
    output, errors, _ = api.run([*given, str(package)])
    assert not errors
    assert output == "Success: no issues found in 2 source files\n"
