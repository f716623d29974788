"""invert finds latents that are known, and says of an image how far it is."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.images.sources import ImageSource
from dcgan_probe.latents import expressions
from dcgan_probe.metrics import features
from dcgan_probe.plugins.contract import Opener
from dcgan_probe.probes import invert
from dcgan_probe.probes.invert import search as inversion


def made(distribution: str = "normal", judged: bool = True, weights: int = 0) -> dp.Session:
    """A session on a small untrained network; with other `weights` its images are others."""
    config = dp.Config(size=16, g_width=8, d_width=8, z_size=8, z_distribution=distribution)
    generator = dp.networks.initialise(dp.Generator(config), seed=weights)
    discriminator = dp.networks.initialise(dp.Discriminator(config), seed=weights + 1)
    inputs = dp.latents.sample(config, 128, seed=1)
    for network in (generator, discriminator):
        with torch.no_grad():
            for name, weight in network.named_parameters():
                if "norm" not in name:
                    weight.mul_(5)
        dp.networks.estimate_statistics(network, [inputs])
        with torch.no_grad():
            inputs = network(inputs)
    seen = discriminator if judged else None
    return dp.Session(dp.Checkpoint(config, generator, seen, {}, "small", "ab" * 32), 0, "cpu")


@pytest.fixture(autouse=True)
def few_candidates(monkeypatch) -> None:
    monkeypatch.setattr(inversion, "CANDIDATES", 64)


@pytest.fixture(params=["normal", "uniform"])
def either(request) -> dp.Session:
    return made(request.param)


@pytest.fixture
def photo(tmp_path) -> Path:
    """A picture that no generator made, of the right size."""
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    path = tmp_path / "me at sea.png"
    dp.figures.write_image(path, cv2.blur(noise, (5, 5)))
    return path


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return cv2.PSNR(a.double().numpy(), b.double().numpy(), R=2.0)


def test_a_sample_is_found_again(either):
    wanted = either.sample(1, seed=9)
    found = inversion.search(either, wanted, starts=2, steps=40, label="")
    short = inversion.search(either, wanted, starts=2, steps=5, label="")
    assert found.near.psnr[0] > short.near.psnr[0] > found.random_near.psnr[0]
    # As many random latents as the search had images are not as near,
    tried = inversion.CANDIDATES + 2 * 41
    assert found.near.psnr[0] > max(psnr(image, wanted[0]) for image in either.sample(tried))
    # and neither is what a generator of other weights can draw.
    other = made(either.config.z_distribution, weights=5)
    wrong = inversion.search(other, wanted, starts=2, steps=40, label="")
    assert found.near.psnr[0] > wrong.near.psnr[0]


def test_psnr_and_distance_are_those_of_the_images(either, photo):
    found = invert.run(either, photo, starts=3, steps=5).found
    torch.testing.assert_close(found.images, either.generate(found.z))
    for row, image in enumerate(found.images):
        assert found.near.psnr[row].item() == pytest.approx(psnr(image, found.target[0]), abs=1e-3)
        distance = features.distance(either.discriminator, image[None], found.target)
        torch.testing.assert_close(found.near.distance[row : row + 1], distance)
    error = (found.images - found.target).square().mean((1, 2, 3))
    least = found.losses.min(dim=1).values
    torch.testing.assert_close(error + inversion.WEIGHT * found.near.distance, least)
    assert (least.diff() >= 0).all()
    assert found.losses.shape == (3, 6)


def test_the_nearest_random_is_the_nearest_of_the_candidates(photo):
    session = made(judged=False)
    found = invert.run(session, photo, starts=2, steps=1).found
    values = [psnr(image, found.target[0]) for image in session.sample(inversion.CANDIDATES)]
    assert found.random_near.psnr[0].item() == pytest.approx(max(values), abs=1e-3)
    assert found.random_near.distance is None


def test_starts_do_not_change_each_other(photo):
    session = made()
    together, alone = (invert.run(session, photo, starts=n, steps=10).found for n in (4, 1))
    gaps = (together.losses - alone.losses).abs().amax(dim=1)
    assert gaps.min() < 1e-4 < gaps.max()


def test_latents_stay_where_the_distribution_draws_them(either):
    z = either.latents(64, seed=3)
    kept = torch.cat([z * 0.01, z, z * 5])
    inversion.keep_in_distribution(kept, either.config)
    if either.config.z_distribution == "normal":
        draws = dp.latents.sample(either.config, 100_000, seed=4).norm(dim=1).numpy()
        lengths = kept.norm(dim=1)
        ends = [lengths.min(), lengths.max()]
        np.testing.assert_allclose(ends, np.quantile(draws, [0.05, 0.95]), rtol=0.01)
        torch.testing.assert_close(
            kept[:64] / kept[:64].norm(dim=1, keepdim=True), kept[128:] / ends[1]
        )
    else:
        torch.testing.assert_close(kept, torch.cat([z * 0.01, z, (z * 5).clip(-1, 1)]))
    # The image of a latent outside, from which the search would not come back by itself.
    wanted = either.generate(z[:1] * 3)
    found = inversion.search(either, wanted, starts=2, steps=30, label="").z
    dp.latents.check(found, either.config, "found")
    inside = found.clone()
    inversion.keep_in_distribution(inside, either.config)
    torch.testing.assert_close(inside, found)


def test_edits_are_in_force(photo):
    session = made()
    selection = dp.Selection("8x8", (0, 1, 2), "ab" * 32)
    plain = invert.run(session, photo, starts=2, steps=10)
    with session.editing(selection):
        edited = invert.run(session, photo, starts=2, steps=10)
        torch.testing.assert_close(edited.found.images, session.generate(edited.z))
        torch.testing.assert_close(edited.again.target, session.sample(65)[64:])
    assert not torch.allclose(edited.found.images, session.generate(edited.z), atol=0.01)
    assert not torch.allclose(edited.found.losses, plain.found.losses, atol=0.01)
    assert "filters of 8x8 dropped" in edited.caption


def test_the_same_seed_writes_the_same_bytes(photo, tmp_path):
    for name in ("a", "b"):
        invert.run(made(), photo, starts=2, steps=5).save(tmp_path / name)
    for name in ("invert.png", "result.json", "z.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    session = made()
    session.seed = 1
    other = invert.run(session, photo, starts=2, steps=5)
    z = dp.latents.read(tmp_path / "a/z.safetensors", session.config, "ab" * 32)
    assert z.shape == (1, 8)
    assert not torch.allclose(z, other.z[:1], atol=0.01)


def test_without_a_discriminator_pixels_alone_count(photo, tmp_path):
    result = invert.run(made(judged=False), photo, starts=2, steps=5)
    assert result.found.near.distance is None
    error = (result.found.images - result.found.target).square().mean((1, 2, 3))
    torch.testing.assert_close(error, result.found.losses.min(dim=1).values)
    assert "(no discriminator: pixels alone)" in str(result)
    result.save(tmp_path / "out")
    saved = json.loads((tmp_path / "out/result.json").read_text())
    assert saved["starts"][0] == {
        "psnr_db": pytest.approx(psnr(result.found.images[0], result.found.target[0]), abs=1e-3),
        "distance": None,
    }


@pytest.mark.parametrize(
    ("own", "best", "words"),
    [
        (35.0, 33.0, "close: "),
        (35.0, 25.0, "not close: 10.0 dB short of what a sample reaches, 10 times"),
        (22.0, 22.0, "it is unknown how close this is: even a sample is found again with 22.0"),
    ],
)
def test_what_is_said_of_it(photo, own, best, words):
    result = invert.run(made(), photo, starts=1, steps=1)

    def at(found: inversion.Matches, db: float) -> inversion.Matches:
        near = inversion.Nearness(psnr=torch.tensor([db]), distance=torch.tensor([0.5]))
        return dataclasses.replace(found, near=near)

    result = dataclasses.replace(result, found=at(result.found, best), again=at(result.again, own))
    assert result.verdict().startswith(words)
    assert f"found with {best:.1f} dB, distance 0.50" in str(result)


def test_no_error_is_a_number():
    image = torch.zeros(1, 3, 16, 16)
    assert inversion.nearness(None, image, image).values(0)["psnr_db"] == inversion.MOST_DB


def test_the_picture_shows_what_was_wanted_and_found(photo, tmp_path):
    result = invert.run(made(), photo, starts=3, steps=5)
    result.save(tmp_path / "out")
    drawn = cv2.imread(str(tmp_path / "out/invert.png"))[..., ::-1]
    for images in (result.found.target, result.found.random, *result.found.images[:, None]):
        (image,) = dp.figures.pixels(images)
        large = np.ascontiguousarray(image.repeat(8, 0).repeat(8, 1))
        match = cv2.matchTemplate(np.ascontiguousarray(drawn), large, cv2.TM_SQDIFF_NORMED)
        assert match.min() < 1e-6


def test_later_commands_take_it_by_the_name_that_is_printed(photo, tmp_path):
    session = made()
    session.out = tmp_path / "out"
    for arguments, name in (([], "me_at_sea"), (["--name", "sea"], "sea")):
        done = CliRunner().invoke(
            invert.invert,
            ["--steps", "2", "--starts", "2", *arguments, str(photo)],
            obj=Opener(lambda: session),
            catch_exceptions=False,
        )
        assert f"z is called {name} in later commands" in done.output
        assert session.find_latents(name, None).shape == (1, 8)
    written = dp.latents.read(tmp_path / "out/invert-2/z.safetensors", session.config, "ab" * 32)
    assert torch.equal(written, session.kept["sea"])


def test_a_photograph_of_another_size_is_read_as_sources_do(tmp_path):
    config = made().config
    folder = tmp_path / "one"
    folder.mkdir()
    image = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    cv2.imwrite(str(folder / "a.png"), image)
    ours = invert.read(folder / "a.png", config, resize=True)
    assert torch.equal(ours, ImageSource(folder, 16, 3).read([0]))
    with pytest.raises(InputError, match=r"a\.png: found 56 x 40 pixels, expected 16 x 16 .*--res"):
        invert.read(folder / "a.png", config)


def test_a_photograph_that_lacks_its_end_only_is_read(tmp_path):
    """Whatever its pixels are decoded from, its size is told by the same."""
    png = cv2.imencode(".png", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    assert png[-8:-4] == b"IEND"
    (tmp_path / "a.png").write_bytes(png[:-12])
    assert invert.read(tmp_path / "a.png", made().config).shape == (1, 3, 16, 16)


def test_grey_and_colour_are_taken_alike(tmp_path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    cv2.imwrite(str(tmp_path / "colour.png"), grey[..., None].repeat(3, 2))
    for channels in (1, 3):
        config = dataclasses.replace(made().config, channels=channels)
        images = [invert.read(tmp_path / f"{n}.png", config) for n in ("grey", "colour")]
        assert images[0].shape == (1, channels, 16, 16)
        assert torch.equal(*images)


def test_a_tensor_is_a_photograph_too(photo):
    session = made()
    image = invert.read(photo, session.config)[0]
    torch.testing.assert_close(
        invert.run(session, image, starts=2, steps=3).z,
        invert.run(session, photo, starts=2, steps=3).z,
    )


def test_what_is_no_photograph_is_refused(tmp_path):
    session = made()
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty.png").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    for name, message in (
        ("none.png", r"none\.png: found nothing, expected an image file"),
        (".", "found a folder, expected an image file"),
        ("pipe", "pipe: found no regular file, expected an image file"),
        ("text.png", r"text\.png: found 8 bytes that OpenCV cannot decode as an image"),
        ("empty.png", r"empty\.png: found 0 bytes that OpenCV"),
        ("text.png/a.png", r"a\.png: cannot be read: Not a directory"),
    ):
        with pytest.raises(InputError, match=message):
            invert.run(session, tmp_path / name)
    for image, message in (
        (torch.zeros(1, 16, 16), "photo: found 1 x 16 x 16 numbers, expected 3 x 16 x 16"),
        (torch.full((3, 16, 16), 2.0), "photo: found numbers outside of -1 to 1"),
        (torch.full((3, 16, 16), torch.nan), "photo: found numbers outside of -1 to 1"),
    ):
        with pytest.raises(InputError, match=message):
            invert.run(session, image)
    assert not session.kept


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"starts": 0}, "found 0 starts, expected 1 to 64"),
        ({"starts": 65}, "found 65 starts, expected 1 to 64"),
        ({"steps": 0}, "found 0 steps, expected at least 1"),
        ({"name": "3 x"}, "--name: found a concept named '3 x'"),
    ],
)
def test_options_that_cannot_be_are_refused(photo, options, message):
    with pytest.raises(InputError, match=message):
        invert.run(made(), photo, **options)


@pytest.mark.parametrize(
    ("file", "name"),
    [("a/me.png", "me"), ("17.jpg", "photo_17"), ("a b-c.d.png", "a_b_c_d"), ("é.png", "é")],
)
def test_names_of_files_are_words_of_expressions(file, name):
    assert invert.name_of(file) == name
    assert expressions.parse(f"{name} - 3:17") == {name: 1.0, "3:17": -1.0}
