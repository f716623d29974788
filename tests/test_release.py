"""What is published: the changelog, and under `make test-release` the package, as users get it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parent.parent
ABOUT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MAX_BYTES = 40_000_000
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")  # Keep a Changelog's


def changes(text: str) -> list[tuple[str, list[str]]]:
    """The headings of a changelog: each release with the kinds of changes below it."""
    releases: list[tuple[str, list[str]]] = []
    for level, heading in re.findall(r"^(##+) (.+)$", text, re.MULTILINE):
        if level == "##":
            releases.append((heading, []))
        else:
            releases[-1][1].append(heading)
    return releases


def test_the_changelog_has_the_form_it_says():
    first, *dated = changes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert first[0] == "[Unreleased]"
    for _, kinds in [first, *dated]:
        assert kinds == [kind for kind in KINDS if kind in kinds]
    found = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - (\S+)", heading) for heading, _ in dated]
    versions = [tuple(map(int, one.groups()[:3])) for one in found]
    days = [date.fromisoformat(one[4]) for one in found]
    assert versions == sorted(set(versions), reverse=True)
    assert days == sorted(days, reverse=True)
    # What pyproject.toml says is being made: it is not behind what was released.
    assert not versions or tuple(map(int, ABOUT["version"].split("."))) >= versions[0]


def quiet(*line: object, **options: object) -> str:
    """Run a program and return what it printed; what it said, too, where it failed."""
    words = [str(word) for word in line]
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy without what git ignores: a build takes in what an earlier one has left behind."""
    copy = tmp_path_factory.mktemp("checkout")
    names = quiet("git", "ls-files", "-z", "-c", "-o", "--exclude-standard", cwd=ROOT)
    for name in names.split("\0"):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def built(checkout, tmp_path_factory) -> tuple[Path, Path]:
    """The sdist, and the wheel made from it."""
    to = tmp_path_factory.mktemp("dist")
    pinned = {**os.environ, "PIP_CONSTRAINT": str(ROOT / "constraints.txt")}
    quiet(sys.executable, "-m", "build", "--outdir", to, checkout, env=pinned)
    (sdist,), (wheel,) = to.glob("*.tar.gz"), to.glob("*.whl")
    return sdist, wheel


Run = Callable[..., str]


@pytest.fixture(scope="module")
def run(built, tmp_path_factory) -> Iterator[Run]:
    """Runs a program of an environment in which the wheel is installed, far from the checkout."""
    home = tmp_path_factory.mktemp("home")
    # 0, since pip takes no-compile for compile: what is never imported need not be compiled.
    environment = {**os.environ, "PIP_NO_COMPILE": "0", "OMP_NUM_THREADS": "1"}
    for name in ("PYTHONPATH", "MAKEFLAGS", "MAKEOVERRIDES"):
        environment.pop(name, None)

    def started(program: str, *arguments: object) -> str:
        return quiet(home / "venv/bin" / program, *arguments, cwd=home, env=environment)

    quiet(sys.executable, "-m", "venv", home / "venv")
    quiet("make", "-C", ROOT, "torch-cpu", f"VENV={home / 'venv'}", env=environment)
    started("pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", built[1])
    yield started
    shutil.rmtree(home / "venv")  # a gigabyte, which pytest would keep


def inside(archive: Path) -> set[str]:
    """The files in a wheel or sdist; of an sdist without the folder that holds them all."""
    if archive.suffix == ".whl":
        return set(zipfile.ZipFile(archive).namelist())
    with tarfile.open(archive) as tar:
        return {m.name.partition("/")[2] for m in tar.getmembers() if m.isfile()}


@pytest.mark.release
def test_the_package_holds_what_it_needs_and_no_more(built, checkout):
    sdist, wheel = built
    version = ABOUT["version"]
    assert sdist.name == f"dcgan_probe-{version}.tar.gz"
    assert wheel.name == f"dcgan_probe-{version}-py3-none-any.whl"
    assert max(path.stat().st_size for path in built) < MAX_BYTES

    where = {"fixtures": "dcgan_probe/fixtures", "probes": "dcgan_probe/probes"}
    ours = [
        path.relative_to(checkout)
        for folder in ("dcgan_probe", *where)
        for path in (checkout / folder).rglob("*")
        if path.is_file() and path.suffix != ".txt"  # notes of how fixtures were made
    ]
    licenses = [path for path in ours if path.name == "LICENSE"]
    assert len(licenses) == 5
    info = f"dcgan_probe-{version}.dist-info"
    held = inside(wheel)
    assert {name for name in held if not name.startswith(f"{info}/")} == {
        (PurePosixPath(where.get(path.parts[0], path.parts[0])) / Path(*path.parts[1:])).as_posix()
        for path in ours
    }
    assert {name for name in held if "/licenses/" in name} == {
        f"{info}/licenses/{name}" for name in ["LICENSE", *map(Path.as_posix, licenses)]
    }
    made = {"PKG-INFO", "setup.cfg"}
    rest = {"LICENSE", "README.md", "CHANGELOG.md", "MANIFEST.in", "pyproject.toml"}
    of_sdist = {name for name in inside(sdist) if ".egg-info/" not in name}
    assert of_sdist == {path.as_posix() for path in ours} | made | rest


@pytest.mark.release
def test_importing_the_installed_package_costs_no_torch(run):
    script = "import dcgan_probe, sys; print(dcgan_probe.__file__, 'torch' in sys.modules)"
    file, torch = run("python", "-c", script).split()
    assert "/venv/" in file
    assert torch == "False"
    assert run("dcgan-probe", "--version").split()[-1] == ABOUT["version"]


@pytest.mark.release
def test_forget_runs_from_the_installed_package(run):
    few = ["--n", 16, "--controls", 1]
    printed = run("dcgan-probe", "--model", "rooms", "--out", "found", "forget", *few)
    folder = Path(re.search(r"^wrote (\S+): ", printed, re.MULTILINE)[1])
    assert folder == Path("found/forget")
    shown = json.loads(run("dcgan-probe", "--json", "show", folder))
    assert shown["made_with"]["dcgan_probe"] == ABOUT["version"]
    assert {"forget.png", "where.png", "selection.json"} <= shown["files"].keys()
    assert "not as written" not in run("dcgan-probe", "show", folder)


@pytest.mark.release
def test_a_strangers_package_works_beside_the_installed_one(run, tmp_path):
    package = tmp_path / "mine"
    run("dcgan-probe", "new-probe", "edge-energy", "--to", package)
    pinned = ["--quiet", "--constraint", ROOT / "constraints.txt"]
    run("pip", "install", *pinned, package, "pytest")
    (tests,) = package.glob("test_*.py")
    tests = shutil.copy(tests, tmp_path)  # away from the source beside it
    assert "2 passed" in run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", tests)
    listed = json.loads(run("dcgan-probe", "--json", "plugins"))["plugins"]
    assert {plugin["status"] for plugin in listed} == {"ok"}
    names = {plugin["name"] for plugin in listed}
    assert names >= {"edge-energy", *ABOUT["entry-points"]["dcgan_probe.probes"]}
