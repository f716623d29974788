"""The DCGAN of photographs of faces, and its concepts."""

from __future__ import annotations

import re

import pytest

import dcgan_probe as dp
from dcgan_probe.checkpoints.fixtures import folder
from dcgan_probe.latents.concepts import Concepts


@pytest.fixture(scope="module")
def people():
    return dp.Session.open("people", device="cpu")


def test_the_notes_name_the_checkpoint_and_its_concepts(people):
    notes = (folder() / "people" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"SHA-256 (\w+)", notes) == [people.checkpoint.sha256[:8]]
    path = dp.checkpoints.shipped_concepts("people")
    assert path is not None
    concepts = Concepts.read(path)
    assert concepts.checkpoint == people.checkpoint.sha256
    counts = {name: len(concept.exemplars) for name, concept in concepts.named.items()}
    rows = re.findall(r"^\| (`.*?`(?:, `.*?`)*).*? \| ([\d, ]+) \|$", notes, re.MULTILINE)
    told = {
        name: int(count)
        for names, many in rows
        for name, count in zip(re.findall(r"`(\w+)`", names), many.split(", "), strict=True)
    }
    assert told == counts


def test_the_license_names_its_source():
    text = (folder() / "people" / "LICENSE").read_text(encoding="utf-8")
    for needed in ("FairFace", "Karkkainen", "https://creativecommons.org/licenses/by/4.0/"):
        assert needed in text


def test_samples_are_as_varied_as_photographs(people):
    """Of 500 held-out ones, two differ by 0.515, and neighbouring pixels by 0.069, on average."""
    images = people.sample(64)
    assert images.shape == (64, 3, 64, 64) and images.abs().max() <= 1
    assert (images - images.roll(1, 0)).abs().mean() == pytest.approx(0.515, rel=0.2)
    assert (images[..., 1:] - images[..., :-1]).abs().mean() == pytest.approx(0.069, rel=0.2)
