"""Folders in the layout of the hub; and the hub, as huggingface_hub itself asks it.

The hub is a server of this machine that answers as the real one does: a file in git at once, a
large one by way of another address. huggingface_hub reads its settings when it is imported, so
every test imports it anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import safetensors.torch
import torch
from click.testing import CliRunner

import dcgan_probe as dp
from dcgan_probe import checkpoints
from dcgan_probe.checkpoints import huggingface, model_card
from dcgan_probe.cli.group import main
from dcgan_probe.storage import files

REPO = "org/rooms"


def refusal(name: object, *words: str) -> str:
    """The message for a model, which must be one line with these words."""
    with pytest.raises(dp.InputError) as caught:
        checkpoints.load(name)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    return message


@pytest.fixture
def checkpoint(config, generator, discriminator) -> dp.Checkpoint:
    info = {"license": "MIT, its authors", "source": "é\n---\n# not a title", "steps": {"n": 3}}
    return dp.Checkpoint(config, generator, discriminator, info)


@pytest.fixture
def folder(checkpoint, tmp_path) -> Path:
    huggingface.save(checkpoint, tmp_path / "mine")
    return tmp_path / "mine"


# Folders


def test_what_is_saved_is_what_is_loaded(checkpoint, folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        huggingface.CARD,
        huggingface.CONFIG,
        huggingface.MODEL,
    ]
    for name in (folder, folder / huggingface.MODEL):
        loaded = checkpoints.load(name)
        assert (loaded.config, loaded.info) == (checkpoint.config, checkpoint.info)
        assert loaded.sha256 == files.sha256(folder / huggingface.MODEL)
    assert checkpoints.load(folder).name == "mine"
    for part in ("generator", "discriminator"):
        before, after = (getattr(c, part).state_dict() for c in (checkpoint, loaded))
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
    assert dp.Session.open(str(folder), device="cpu").sample(1).shape == (1, 3, 32, 32)


def test_a_file_of_ours_keeps_its_hash(checkpoint, tmp_path):
    # Half precision becomes float32 when it is opened: saved again it would be another file.
    sha = checkpoints.save(checkpoint, tmp_path / "half.safetensors", half=True)
    assert huggingface.save(tmp_path / "half.safetensors", tmp_path / "mine") == sha
    assert checkpoints.load(tmp_path / "mine").sha256 == sha


def test_the_card_says_what_is_known_to_the_hubs_own_reader(folder, checkpoint):
    from huggingface_hub import ModelCard

    card = ModelCard.load(folder / huggingface.CARD)
    assert card.data.library_name == "dcgan-probe"
    assert card.data.license == "mit"
    assert "dcgan" in card.data.tags
    lines = card.text.splitlines()
    # What is in a checkpoint is text: it ends no line and begins no title.
    assert "    source: é --- # not a title" in lines
    assert '    steps: {"n": 3}' in lines
    assert [line for line in lines if line.startswith("#")] == ["# mine"]
    assert f"@sha256:{files.sha256(folder / huggingface.MODEL)} sample" in card.text


@pytest.mark.parametrize(
    ("info", "license"),
    [
        ({}, None),
        ({"license": "Apache-2.0"}, "apache-2.0"),
        ({"license": "The MIT License (MIT), Copyright"}, "other"),
        ({"license": "mit\nbase_model: x"}, "other"),
        ({"license": ["MIT"]}, "other"),
    ],
)
def test_a_license_that_the_hub_does_not_know_is_other(checkpoint, info, license):
    from huggingface_hub import ModelCard

    card = ModelCard(model_card.text(replace(checkpoint, info=info)))
    assert card.data.license == license
    assert set(card.data.to_dict()) - {"license"} == {"library_name", "tags"}


def said(folder: Path, change: Callable[[dict], object]) -> None:
    values = json.loads((folder / huggingface.CONFIG).read_text())
    change(values)
    (folder / huggingface.CONFIG).write_text(json.dumps(values))


def written(folder: Path, text: str) -> None:
    (folder / huggingface.CONFIG).write_text(text)


BERT = '{"architectures": ["BertModel"], "model_type": "bert"}'
DAMAGED = {
    "no config": (
        lambda f: (f / huggingface.CONFIG).unlink(),
        ("config.json: found no such file",),
    ),
    "no model": (lambda f: (f / huggingface.MODEL).unlink(), ("model.safetensors: found no file",)),
    "cut off": (lambda f: written(f, '{"format": '), ("config.json: line 1", "cut-off JSON")),
    "empty": (lambda f: written(f, ""), ("config.json: found an empty file",)),
    "a list": (lambda f: written(f, "[]"), ("another library (a list of 0)",)),
    "another library": (
        lambda f: written(f, BERT),
        ("config.json: found the config of another library", '"model_type"', "of dcgan-probe"),
    ),
    "future": (
        lambda f: said(f, lambda c: c.update(format="dcgan-probe/checkpoint/3")),
        ("config.json: found format 'dcgan-probe/checkpoint/3'", "newer"),
    ),
    "missing field": (
        lambda f: said(f, lambda c: c["config"].pop("kernel")),
        ("config.json: network config: kernel: found none",),
    ),
    "unknown field": (
        lambda f: said(f, lambda c: c["config"].update(depth=1)),
        ("config.json: ", "unknown field 'depth'"),
    ),
    "another eps": (
        lambda f: said(f, lambda c: c["config"].update(norm_eps=0.1)),
        ("config.json: config.norm_eps: found 0.1, expected 1e-08, as model.safetensors says",),
    ),
    "another license": (
        lambda f: said(f, lambda c: c["info"].update(license="GPL")),
        ('config.json: info.license: found "GPL", expected "MIT, its authors"',),
    ),
    "other weights": (
        lambda f: safetensors.torch.save_file({"w": torch.zeros(2)}, f / huggingface.MODEL),
        ("model.safetensors: found weights of another library",),
    ),
    "pointer": (
        lambda f: (f / huggingface.MODEL).write_bytes(
            b"version https://git-lfs.github.com/spec/v1\n"
        ),
        ("model.safetensors: found a Git LFS pointer",),
    ),
    "truncated": (
        lambda f: (f / huggingface.MODEL).write_bytes((f / huggingface.MODEL).read_bytes()[:-1]),
        ("model.safetensors: found a damaged or truncated file",),
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_folders_that_do_not_fit_are_refused(folder, case):
    change, words = DAMAGED[case]
    change(folder)
    refusal(folder, str(folder), "expected", *words)


def test_a_folder_is_written_whole_or_not_at_all(checkpoint, folder, tmp_path, monkeypatch):
    before = (folder / huggingface.CARD).read_bytes()
    with pytest.raises(dp.InputError, match="already holds"):
        huggingface.save(checkpoint, folder)
    with monkeypatch.context() as patched:
        patched.setattr(model_card, "text", lambda _: 1 / 0)
        for to, force in ((folder, True), (tmp_path / "new", False)):
            with pytest.raises(ZeroDivisionError):
                huggingface.save(checkpoint, to, force)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (folder / huggingface.CARD).read_bytes() == before
    huggingface.save(replace(checkpoint, info={}), folder, force=True)
    assert checkpoints.load(folder).info == {}


def test_a_clone_is_not_overwritten_and_nan_is_no_json(checkpoint, folder, tmp_path):
    (folder / ".git").mkdir()
    with pytest.raises(dp.InputError, match=r"mine: found \.git, which .* expected a new folder"):
        huggingface.save(checkpoint, folder, force=True)
    with pytest.raises(dp.InputError, match=r"nan: config\.json: info: found NaN or infinity"):
        huggingface.save(replace(checkpoint, info={"loss": float("nan")}), tmp_path / "nan")
    with pytest.raises(dp.InputError, match="no.safetensors: found no file"):
        huggingface.save(tmp_path / "no.safetensors", tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]


def test_convert_writes_a_folder(checkpoint, tmp_path):
    sha = checkpoints.save(checkpoint, tmp_path / "own.safetensors", half=True)

    def convert(*arguments: object, expect: int = 0) -> str:
        done = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
        assert done.exit_code == expect, done.output
        return done.output

    own, to = tmp_path / "own.safetensors", tmp_path / "mine"
    answer = json.loads(convert("--json", "convert", "--to", to, own))
    assert (answer["file"], answer["sha256"]) == (str(to), sha)
    assert checkpoints.load(to).sha256 == sha
    assert "already holds" in convert("convert", "--to", to, own, expect=2)
    convert("--force", "convert", "--to", to, own)
    again = convert("convert", "--to", tmp_path / "again.safetensors", own, expect=2)
    assert "own.safetensors: found a checkpoint of dcgan-probe" in again
    assert "found no file" in convert("convert", "--to", tmp_path / "no", "no.pth", expect=2)
    assert not (tmp_path / "no").exists()


# The hub


@dataclass
class Hub:
    """What the server has: commits of a repository by branch, and their files."""

    url: str = ""
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    refuses: tuple[int, str] | None = None
    store: int = 200
    after: Callable[[str], object] = lambda line: None

    def push(self, folder: Path, branch: str = "main") -> str:
        """Commit a folder, and point a branch at it."""
        found = {path.name: path.read_bytes() for path in folder.iterdir()}
        commit = hashlib.sha1(repr(sorted(found.items())).encode()).hexdigest()
        self.commits[commit] = found
        self.branches[branch] = commit
        return commit


class Answer(BaseHTTPRequestHandler):
    huggingface: Hub

    def do_GET(self) -> None:
        parts = self.path.strip("/").split("/")
        if "resolve" not in parts and parts[0] != "large":
            return self.send(404, b"")  # what the library asks of its own accord
        line = f"{self.command} {self.path}"
        self.hub.asked.append(line)
        self.answer(*parts)
        self.hub.after(line)

    do_HEAD = do_GET

    def answer(self, *parts: str) -> None:
        if parts[0] == "large":
            data = self.hub.commits[parts[1]][parts[2]] if self.hub.store == 200 else b""
            return self.send(self.hub.store, data)
        if self.hub.refuses:
            code, error = self.hub.refuses
            return self.send(code, b"", {"X-Error-Code": error})
        repository, (_, revision, file) = "/".join(parts[:2]), parts[2:]
        commit = self.hub.branches.get(revision, revision)
        if repository != REPO:
            return self.send(401, b"", {"X-Error-Code": "RepoNotFound"})
        if commit not in self.hub.commits:
            return self.send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        data = self.hub.commits[commit].get(file)
        headers = {"X-Repo-Commit": commit}
        if data is None:
            return self.send(404, b"", {"X-Error-Code": "EntryNotFound", **headers})
        sha = hashlib.sha256(data).hexdigest()
        if file != huggingface.MODEL:
            return self.send(200, data, {"ETag": f'"{sha[:40]}"', **headers})
        headers |= {"X-Linked-ETag": f'"{sha}"', "X-Linked-Size": str(len(data))}
        # To another host, as to a store of large files: the client does not follow its own.
        headers["Location"] = f"http://localhost:{self.server.server_port}/large/{commit}/{file}"
        return self.send(302, b"", headers)

    def send(self, code: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(folder) -> Iterator[Hub]:
    """A hub that has a folder."""
    has = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (Answer,), {"hub": has}))
    has.url = f"http://127.0.0.1:{server.server_port}"
    has.push(folder)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield has
    server.shutdown()
    thread.join()
    server.server_close()


def settings(url: str, home: Path, offline: bool = False) -> dict[str, str]:
    return {"HF_ENDPOINT": url, "HF_HOME": str(home), "HF_HUB_OFFLINE": str(int(offline))}


@pytest.fixture
def client(tmp_path, monkeypatch) -> Callable[..., None]:
    """Import huggingface_hub anew, with an address and an empty cache."""
    for name in list(os.environ):
        if name.startswith(("HF_", "HUGGING")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)

    def begin(url: str, offline: bool = False) -> None:
        for name in list(sys.modules):
            if name.partition(".")[0] == "huggingface_hub":
                monkeypatch.delitem(sys.modules, name)
        for name, value in settings(url, tmp_path / "home", offline).items():
            monkeypatch.setenv(name, value)

    return begin


@pytest.fixture
def online(served, client) -> Hub:
    client(served.url)
    return served


NOWHERE = "http://127.0.0.1:9"  # the port of "discard", where nothing listens


def test_it_is_fetched_once_and_opened_offline(online, client, folder, capfd):
    sha = files.sha256(folder / huggingface.MODEL)
    first = checkpoints.load(f"hub:{REPO}")
    assert (first.name, first.sha256) == (REPO, sha)
    fetched = [line for line in online.asked if line.startswith("GET")]
    assert [line.rpartition("/")[2] for line in fetched] == [huggingface.CONFIG, huggingface.MODEL]
    online.asked.clear()
    assert checkpoints.load(f"hub:{REPO}").sha256 == sha
    assert {line.split()[0] for line in online.asked} == {"HEAD"}
    client(online.url, offline=True)
    online.asked.clear()
    assert checkpoints.load(f"hub:{REPO}@main@sha256:{sha}").sha256 == sha
    assert online.asked == []
    assert capfd.readouterr().err == ""


def test_a_hub_that_does_not_answer_leaves_the_cache_and_it_is_said(online, client, capfd):
    sha = checkpoints.load(f"hub:{REPO}").sha256
    online.refuses = (503, "")
    assert checkpoints.load(f"hub:{REPO}").sha256 == sha
    told = capfd.readouterr().err
    assert told.startswith(f"hub:{REPO}: taken from the cache, the hub does not answer: ")
    assert "503" in told and told.count("\n") == 1
    client(NOWHERE)
    assert checkpoints.load(f"hub:{REPO}").sha256 == sha
    assert "taken from the cache, the hub does not answer: Connect" in capfd.readouterr().err


def test_without_hub_and_cache_one_line_says_both(client):
    client(NOWHERE)
    refusal(f"hub:{REPO}", f"hub:{REPO}: found no config.json", "in the cache", "(Connect")
    client(NOWHERE, offline=True)
    refusal(f"hub:{REPO}", "in the cache", "(HF_HUB_OFFLINE is set)")


def test_a_hash_is_what_the_file_must_have(online, folder):
    sha = files.sha256(folder / huggingface.MODEL)
    assert checkpoints.load(f"hub:{REPO}@sha256:{sha.upper()}").sha256 == sha
    message = refusal(f"hub:{REPO}@sha256:{'0' * 64}", f"found SHA-256 {sha}, expected {'0' * 64}")
    assert message.startswith(f"hub:{REPO}@sha256:{'0' * 64}: model.safetensors: found")


def test_a_revision_is_a_branch_or_a_commit(online, checkpoint, folder):
    old = checkpoints.load(f"hub:{REPO}")
    first = online.branches["main"]
    huggingface.save(replace(checkpoint, info={"steps": 2}), folder, force=True)
    online.push(folder, "v2")
    assert checkpoints.load(f"hub:{REPO}@v2").info == {"steps": 2}
    assert checkpoints.load(f"hub:{REPO}").sha256 == old.sha256
    online.push(folder)
    assert checkpoints.load(f"hub:{REPO}").info == {"steps": 2}
    # A commit that is there cannot have changed: nobody is asked.
    online.asked.clear()
    assert checkpoints.load(f"hub:{REPO}@{first}").sha256 == old.sha256
    assert online.asked == []


def test_both_files_are_of_one_commit(online, checkpoint, folder):
    info = checkpoints.load(folder).info
    huggingface.save(replace(checkpoint, info={"steps": 2}), folder, force=True)

    def move_on(line: str) -> None:
        if line.startswith("GET") and line.endswith(huggingface.CONFIG):
            online.push(folder)

    online.after = move_on
    assert checkpoints.load(f"hub:{REPO}").info == info
    online.after = lambda line: None
    assert checkpoints.load(f"hub:{REPO}").info == {"steps": 2}


def test_the_config_of_another_library_is_told_before_its_weights_are_fetched(online, folder):
    written(folder, BERT)
    online.push(folder)
    refusal(f"hub:{REPO}", "config.json: found the config of another library", '"model_type"')
    assert not any(huggingface.MODEL in line for line in online.asked)
    written(folder, "{")
    online.push(folder)
    refusal(f"hub:{REPO}", "config.json: line 1, column 2: found broken or cut-off JSON")


def test_what_is_not_there_is_told(online, folder):
    refusal("hub:org/roms", "found no org/roms that you may read", "hf auth login")
    refusal(f"hub:{REPO}@v9", f"found no revision v9 of {REPO}, expected a branch")
    (folder / huggingface.MODEL).unlink()
    online.push(folder, "no-model")
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(b"x")
    online.push(folder, "others")
    for branch in ("no-model", "others"):
        words = f"found no config.json and model.safetensors in {REPO}, expected both"
        refusal(f"hub:{REPO}@{branch}", words)
    online.refuses = (403, "GatedRepo")
    refusal(f"hub:{REPO}", f"found a gated {REPO}", "terms", "hf auth login")


def test_weights_that_do_not_arrive_are_told_and_fetched_the_next_time(online, folder):
    online.store = 410
    refusal(f"hub:{REPO}", f"hub:{REPO}: cannot be fetched: ", "410")
    online.store = 200
    assert checkpoints.load(f"hub:{REPO}").sha256 == files.sha256(folder / huggingface.MODEL)


@pytest.mark.parametrize(
    "name",
    [
        *("hub:", "hub:rooms", "hub:org/rooms/x", "hub:org/rooms@", "hub:org/rooms@sha256:12"),
        *("hub:org/rooms@v1@v2", "hub:org/rooms#main", "hub:../rooms@sha256:" + "g" * 64),
    ],
)
def test_names_of_another_form_are_refused(name):
    refusal(name, f"{name}: found another form, expected hub:org/name", "@sha256:")


@pytest.mark.parametrize("name", ["hub:org/..", "hub:org/a--b", "hub:-org/rooms"])
def test_names_that_huggingface_hub_refuses_are_refused_in_one_line(name, client):
    client(NOWHERE)
    refusal(name, f"{name}: cannot be fetched: HFValidationError")


def test_a_missing_package_is_named_and_nothing_else_needs_it(monkeypatch, folder):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    refusal(f"hub:{REPO}", "no package huggingface_hub", "pip install huggingface_hub")
    assert checkpoints.load(folder).sha256


def test_the_command_line_opens_it(served, client, folder, tmp_path):
    sha = files.sha256(folder / huggingface.MODEL)
    line = [sys.executable, "-m", "dcgan_probe", "--model", f"hub:{REPO}@sha256:{sha}"]
    done = subprocess.run(
        [*line, "--device", "cpu", "--out", tmp_path / "out", "sample", "--n", "2"],
        env={**os.environ, **settings(served.url, tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    made = json.loads((tmp_path / "out/sample/result.json").read_text())["made_with"]
    assert made["checkpoint"] == {"name": REPO, "sha256": sha}
    assert f"--model hub:{REPO}@sha256:{sha}" in made["line"]


def test_quiet_says_nothing_of_the_cache(online, client, tmp_path):
    checkpoints.load(f"hub:{REPO}")
    client(NOWHERE)
    line = ["--quiet", "--model", f"hub:{REPO}", "--out", str(tmp_path / "out"), "sample"]
    done = CliRunner().invoke(main, [*line, "--n", "1"], catch_exceptions=False)
    assert (done.exit_code, done.output) == (0, "")


def test_a_mistake_ends_the_command_with_two(online):
    done = CliRunner().invoke(main, ["--model", "hub:org/roms", "sample"])
    assert done.exit_code == 2
    assert done.output.startswith("Error: hub:org/roms: found no org/roms")
    assert done.output.count("\n") == 1
