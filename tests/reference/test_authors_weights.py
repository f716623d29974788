"""The authors' arrays give the same images and scores in our networks as written out by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dcgan_probe import checkpoints, latents
from dcgan_probe.checkpoints import authors
from dcgan_probe.checkpoints import statistics as stored

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "svhn_dcgan"
ARRAYS = pytest.mark.skipif(not FOLDER.is_dir(), reason="the authors' arrays are not here")


def generate(arrays, statistics, z):
    """The authors' generator, from their arrays and (mean, variance) of each batch norm."""

    def norm(x, gain, bias):
        return F.relu(F.batch_norm(x, *next(statistics), gain, bias, eps=1e-8))

    x = norm(F.linear(z, arrays[0].T), arrays[1], arrays[2]).reshape(len(z), -1, 4, 4)
    for i in range(3, len(arrays) - 1, 3):
        x = norm(deconvolve(x, arrays[i]), arrays[i + 1], arrays[i + 2])
    return torch.tanh(deconvolve(x, arrays[-1]))


def deconvolve(x, kernel):
    return F.conv_transpose2d(x, kernel.flip(2, 3), stride=2, padding=2, output_padding=1)


def discriminate(arrays, statistics, x):
    """The authors' discriminator, up to the logit."""
    x = F.leaky_relu(F.conv2d(x, arrays[0].flip(2, 3), stride=2, padding=2), 0.2)
    for i in range(1, len(arrays) - 1, 3):
        x = F.conv2d(x, arrays[i].flip(2, 3), stride=2, padding=2)
        x = F.batch_norm(x, *next(statistics), arrays[i + 1], arrays[i + 2], eps=1e-8)
        x = F.leaky_relu(x, 0.2)
    return (x.flatten(1) @ arrays[-1]).flatten()


def read(folder, part):
    return [
        torch.from_numpy(np.load(path)) for path in sorted(folder.glob(f"*_{part}_params.jl_*.npy"))
    ]


def statistics(network):
    """Mean and variance of each batch norm, in the order of the data."""
    state = network.state_dict()
    names = [name.removesuffix("mean") for name in state if name.endswith("running_mean")]
    return iter([(state[f"{name}mean"], state[f"{name}var"]) for name in names])


def batch_means(stage, batches):
    """Means over batches of the mean and the (unbiased) variance of what a stage outputs."""
    outputs = [stage(batch).transpose(0, 1).flatten(1) for batch in batches]
    means = torch.stack([output.mean(1) for output in outputs]).mean(0)
    return means, torch.stack([output.var(1) for output in outputs]).mean(0)


def check(checkpoint, folder):
    z = latents.sample(checkpoint.config, 16, seed=7)
    with torch.no_grad():
        images = checkpoint.generator(z)
        logits = checkpoint.discriminator(images)
        by_hand = generate(read(folder, "gen"), statistics(checkpoint.generator), z)
        scores = discriminate(
            read(folder, "discrim"), statistics(checkpoint.discriminator), by_hand
        )
    print(f"\nlargest difference: {(images - by_hand).abs().max():.1e} in images,", end=" ")
    print(f"{(logits - scores).abs().max():.1e} in logits")
    torch.testing.assert_close(images, by_hand, rtol=0, atol=1e-5)
    torch.testing.assert_close(logits, scores, rtol=1e-4, atol=1e-4)


@ARRAYS
def test_the_shipped_svhn_network_is_the_authors():
    checkpoint = checkpoints.load("svhn")
    check(checkpoint, FOLDER)
    assert checkpoint.info["epoch"] == 200
    assert "ee12b2d15a3856794b8dae77d1eb263c67c36e47" in checkpoint.info["source"]


@ARRAYS
def test_the_shipped_statistics_of_the_first_layer_are_the_means_over_batches():
    checkpoint = checkpoints.load("svhn")
    weight = read(FOLDER, "gen")[0]
    batches = latents.sample(checkpoint.config, 12_800, seed=0).split(128)
    mean, variance = batch_means(lambda z: z @ weight, batches)
    norm = checkpoint.generator[0].norm
    torch.testing.assert_close(norm.running_mean, mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(norm.running_var, variance, rtol=1e-4, atol=1e-4)


def write_arrays(folder, size=16, width=3, z_size=6, channels=3):
    """Random arrays in the authors' layout."""
    random = np.random.default_rng(0)
    layers = int(np.log2(size // 4))
    maps = [width * 2**i for i in reversed(range(layers))]
    shapes = {"gen": [(z_size, maps[0] * 16)], "discrim": [(width, channels, 5, 5)]}
    for i, (before, after) in enumerate(zip(maps, [*maps[1:], channels], strict=True)):
        shapes["gen"] += [(maps[0] * 16,) if i == 0 else (before,)] * 2
        shapes["gen"] += [(before, after, 5, 5)]
    for before, after in zip(maps[:0:-1], maps[-2::-1], strict=True):
        shapes["discrim"] += [(after, before, 5, 5), (after,), (after,)]
    shapes["discrim"] += [(maps[0] * 16, 1)]
    for part, each in shapes.items():
        for number, shape in enumerate(each, start=1):
            values = random.normal(0, 0.3, shape).astype(np.float32)
            np.save(folder / f"7_{part}_params.jl_{number:02d}.npy", values)


@pytest.mark.parametrize(("size", "channels"), [(16, 1), (32, 3)])
def test_folders_of_other_sizes_are_read_the_same_way(tmp_path, monkeypatch, size, channels):
    monkeypatch.setattr(stored, "BATCHES", 2)
    write_arrays(tmp_path, size=size, channels=channels)
    checkpoint = checkpoints.load(tmp_path)
    assert (checkpoint.config.size, checkpoint.config.channels) == (size, channels)
    assert checkpoint.info["epoch"] == 7
    check(checkpoint, tmp_path)


def test_a_generator_alone_and_a_discriminator_with_images(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "BATCHES", 2)
    write_arrays(tmp_path)
    images = torch.rand(256, 3, 16, 16) * 2 - 1

    class Given:
        def __len__(self):
            return len(images)

        def read(self, indices):
            return images[list(indices)]

    both = authors.read_authors(tmp_path, Given())
    assert both.info["statistics"].endswith("2 batches of 128 real images")
    for path in tmp_path.glob("*_gen_*"):
        path.unlink()
    alone = authors.read_authors(tmp_path, Given())
    assert alone.generator is None
    for name, value in alone.discriminator.state_dict().items():
        assert torch.equal(value, both.discriminator.state_dict()[name])
