"""Concepts: a file that says what is wrong with it, and the command that writes it."""

from __future__ import annotations

import json
import os
import threading

import pytest
import torch
from click.testing import CliRunner

import dcgan_probe as dp
from dcgan_probe import latents
from dcgan_probe.cli.group import main
from dcgan_probe.errors import InputError
from dcgan_probe.latents import concepts
from dcgan_probe.latents.concepts import Concept, Concepts
from dcgan_probe.probes.concepts import naming

SHA = "ab" * 32


def test_what_is_written_is_read(tmp_path, config):
    z = tuple(latents.sample(config, 1, seed=9)[0].tolist())
    made = Concepts(SHA, {"smiling": Concept(("3:17", z), ("smile", "not hat"))})
    made.write(tmp_path / "c.json")
    again = Concepts.read(tmp_path / "c.json")
    assert again == made
    found = again.latents("smiling", config)
    assert torch.equal(found[0], latents.sample(config, 18, seed=3)[17])
    assert torch.equal(found[1], torch.tensor(z))


def test_concepts_in_the_current_folder_are_added_to_those_that_ship(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    session = dp.Session.open("faces", device="cpu")
    shipped = session.read_concepts()
    assert "smiling" in shipped.named
    own = Concept(("7:7",))
    for checkpoint, added in ((session.checkpoint.sha256, True), (SHA, False)):
        Concepts(checkpoint, {"smiling": own, "me": own}).write("concepts.json")
        found = session.read_concepts().named
        assert found == ({**shipped.named, "smiling": own, "me": own} if added else shipped.named)
        said = "concepts.json: concepts smiling, me\n" if added else "left out\n"
        assert capsys.readouterr().err.endswith(said)
    (tmp_path / "concepts.json").write_text("[1]")
    assert session.read_concepts() == shipped
    with pytest.raises(InputError, match="concepts.json"):
        session.read_concepts("concepts.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exemplars": []}, "concepts.x.exemplars: found a list of 0, expected at least one"),
        ({"exemplars": ["3:17", "3:017"]}, "expected each exemplar once"),
        ({"exemplars": ["three"]}, 'exemplars[0]: found "three", expected a sample'),
        ({"exemplars": ["99999999999999999999:1"]}, "expected a sample"),
        ({"exemplars": [[1.0, float("nan")]]}, "exemplars[0][1]: found NaN, expected a finite"),
        ({"exemplars": "3:17"}, "expected a list"),
        ({"exemplars": ["3:17"], "shows": [3]}, "shows[0]: found 3, expected text"),
        ({}, 'found no "exemplars"'),
    ],
)
def test_a_mistake_in_a_file_is_one_line(tmp_path, change, message):
    text = {"format": concepts.FORMAT, "checkpoint": SHA, "concepts": {"x": change}}
    path = tmp_path / "c.json"
    path.write_text(json.dumps(text))
    with pytest.raises(InputError) as error:
        Concepts.read(path)
    assert message in str(error.value)
    assert str(error.value).startswith(str(path))


def test_names_must_fit_into_an_expression():
    with pytest.raises(InputError, match="a concept named 'a b'"):
        Concepts(SHA, {"a b": Concept(("0:1",))})


def test_too_few_exemplars_and_unknown_names_are_refused(config):
    made = Concepts(SHA, {"one": Concept(("0:1",))}, "c.json")
    with pytest.raises(InputError, match="c.json: concepts.one: found 1 exemplar, expected at lea"):
        made.latents("one", config, exemplars=3)
    with pytest.raises(InputError, match="unknown concept 'two', expected one of: one"):
        made.latents("two", config)


def test_a_latent_of_another_model_is_refused(config):
    made = Concepts(SHA, {"other": Concept(((0.5,) * 7,))}, "c.json")
    with pytest.raises(InputError, match="found latents 1 x 7, expected n x 8"):
        made.latents("other", config)


def test_a_name_is_what_a_command_kept_or_a_concept(session):
    made = Concepts(SHA, {"a": Concept(("1:2", "1:3"))})
    kept = torch.zeros(1, 8)
    session.keep("me", kept)
    assert torch.equal(session.find_latents("me", made), kept)
    assert torch.equal(session.find_latents("a", made, 1), session.latents(3, seed=1)[2:])
    assert torch.equal(session.find_latents("1:3", None), session.latents(4, seed=1)[3:])
    with pytest.raises(InputError, match="unknown concept 'b', expected one of: me, a, a sample"):
        session.find_latents("b", made)


def test_concepts_of_another_checkpoint_are_refused(tmp_path, session):
    Concepts("cd" * 32, {"a": Concept(("1:2",))}).write(tmp_path / "c.json")
    with pytest.raises(InputError, match="found concepts of cdcdcdcd, expected those of untrained"):
        session.read_concepts(tmp_path / "c.json")


def test_latents_are_a_file_that_knows_its_checkpoint(tmp_path, config):
    z = latents.sample(config, 2, seed=1) * 3  # a sum may lie outside
    latents.write(tmp_path / "z.safetensors", z, SHA)
    assert torch.equal(latents.read(tmp_path / "z.safetensors", config, SHA), z)
    with pytest.raises(InputError, match="found latents of checkpoint abababab, expected those"):
        latents.read(tmp_path / "z.safetensors", config, "cd" * 32)
    with pytest.raises(InputError, match="expected finite n x 9"):
        latents.read(tmp_path / "z.safetensors", dp.Config(size=32, z_size=9), SHA)
    (tmp_path / "no.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match="found no latents that can be read"):
        latents.read(tmp_path / "no.safetensors", config, SHA)


def run(*arguments: str, expect: int = 0) -> str:
    result = CliRunner().invoke(main, ["--device", "cpu", *arguments])
    assert result.exit_code == expect, result.output
    return result.output


def test_the_command_adds_lists_and_removes(tmp_path):
    path = str(tmp_path / "c.json")
    add = ("concepts", "add", "--concepts", path)
    run(*add, "bright", "0:1", "0:2", "--shows", "light")
    run(*add, "dark", "0:3")
    assert Concepts.read(path).named == {
        "bright": Concept(("0:1", "0:2"), ("light",)),
        "dark": Concept(("0:3",)),
    }
    before = (tmp_path / "c.json").read_bytes()
    listed = run("concepts", "list", "--concepts", path)
    assert "bright: 0:1 0:2   shows light" in listed
    for wrong, message in (
        (("add", "a b", "0:1"), "a concept named 'a b'"),
        (("add", "empty"), "at least one exemplar"),
        (("add", "x", "17"), "found '17', expected a sample"),
        (("remove", "light"), "unknown concept 'light', expected one of: bright, dark"),
    ):
        assert message in run("concepts", *wrong, "--concepts", path, expect=2)
    assert (tmp_path / "c.json").read_bytes() == before
    run("concepts", "remove", "dark", "--concepts", path)
    assert list(Concepts.read(path).named) == ["bright"]
    assert "expected those of svhn" in run(
        "--model", "svhn", "concepts", "list", "--concepts", path, expect=2
    )


class Bright:
    name, labels, about = "bright", ("bright", "red"), {}

    def __call__(self, images):
        mean = images.mean((2, 3)) * 0.5 + 0.5
        return torch.stack([mean.mean(1), mean[:, 0]], 1)


def test_suggestions_are_the_samples_that_meet_the_worst_condition_best(session):
    from dcgan_probe.probes import concepts as probe

    found = probe.suggest(session, "x", ["bright", "not red"], Bright(), n=300, top=5)
    images = session.sample(300) * 0.5 + 0.5
    score = torch.minimum(images.mean((1, 2, 3)), 1 - images[:, 0].mean((1, 2)))
    order = score.argsort(descending=True)[:5].tolist()
    assert found.samples == tuple(f"0:{i}" for i in order)
    assert found.frequency == pytest.approx((score > 0.5).float().mean().item())
    with pytest.raises(InputError, match="unknown label 'blue', expected one of: bright, red"):
        probe.suggest(session, "x", ["blue"], Bright())


def test_scores_near_one_are_written_so_that_they_differ():
    from dcgan_probe.probes.concepts.suggestions import write

    written = [write(score) for score in (0.25, 0.9994, 0.9996, 1 - 3e-7, 1 - 2.04e-6, 1.0)]
    assert written == ["0.250", "0.999", "1 - 4.0e-4", "1 - 3.0e-7", "1 - 2.0e-6", "1"]


def test_none_of_six_that_add_at_once_is_lost(tmp_path):
    session = dp.Session.open("faces")
    path = tmp_path / "concepts.json"
    names = [f"name{i}" for i in range(6)]

    def add(name: str) -> None:
        naming.add(session, path, name, ["3:17"], ())

    threads = [threading.Thread(target=add, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(Concepts.read(path).named) == names


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_link_to_concepts_stays_one(tmp_path):
    session = dp.Session.open("faces")
    (tmp_path / "link.json").symlink_to("real.json")
    naming.add(session, tmp_path / "link.json", "left", ["3:17"], ())
    assert (tmp_path / "link.json").is_symlink()
    assert list(Concepts.read(tmp_path / "real.json").named) == ["left"]


def test_a_sum_outside_of_a_uniform_latent_is_an_exemplar(tmp_path):
    """As `exemplars_of` takes it, which reads the file that a sum was kept in."""
    config = dp.Config(size=16, g_width=2, d_width=2, z_size=2)
    assert config.z_distribution == "uniform"
    sha = "ab" * 32
    latents.write(tmp_path / "z.safetensors", torch.tensor([[1.5, 0.0]]), sha)
    exemplars = concepts.exemplars_of([str(tmp_path / "z.safetensors")], config, sha)
    found = Concepts(sha, {"sum": Concept(exemplars)}).latents("sum", config)
    assert found.tolist() == [[1.5, 0.0]]
