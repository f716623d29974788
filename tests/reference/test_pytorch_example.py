"""A DCGAN of pytorch/examples gives the same images and scores once it is read."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dcgan_probe import checkpoints
from dcgan_probe.checkpoints import state_dicts


class Example(nn.Module):
    """The example's networks: a sequence called main, widths doubling away from the image."""

    def __init__(self, *layers):
        super().__init__()
        self.main = nn.Sequential(*layers)

    def forward(self, x):
        return self.main(x)


def strided(kernel):
    return {"stride": 2, "padding": (kernel - 1) // 2, "bias": False}


def example_generator(size, width, z_size, channels, kernel):
    maps = [width * 2**i for i in reversed(range(int(np.log2(size // 4))))]
    layers = [nn.ConvTranspose2d(z_size, maps[0], 4, 1, 0, bias=False)]
    for before, after in zip(maps, [*maps[1:], channels], strict=True):
        layers += [nn.BatchNorm2d(before), nn.ReLU(True)]
        more = {"output_padding": kernel % 2, **strided(kernel)}
        layers += [nn.ConvTranspose2d(before, after, kernel, **more)]
    return randomise(Example(*layers, nn.Tanh()))


def example_discriminator(size, width, channels, kernel):
    maps = [width * 2**i for i in range(int(np.log2(size // 4)))]
    layers = [nn.Conv2d(channels, width, kernel, **strided(kernel)), nn.LeakyReLU(0.2, True)]
    for before, after in itertools.pairwise(maps):
        layers += [nn.Conv2d(before, after, kernel, **strided(kernel))]
        layers += [nn.BatchNorm2d(after), nn.LeakyReLU(0.2, True)]
    return randomise(Example(*layers, nn.Conv2d(maps[-1], 1, 4, 1, 0, bias=False), nn.Sigmoid()))


def randomise(network):
    """Weights and statistics none of which is a default that a mistake could hide behind."""
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2, generator=random)
            elif value.is_floating_point():
                value.normal_(0, 0.2, generator=random)
    return network.eval()


def by_hand(state, z):
    """The 16x16 generator of the example as three calls of plain functions."""
    x = F.conv_transpose2d(z, state["main.0.weight"])
    for norm, conv in [(1, 3), (4, 6)]:
        values = [state[f"main.{norm}.{n}"] for n in ("running_mean", "running_var", "weight")]
        x = F.relu(F.batch_norm(x, *values, state[f"main.{norm}.bias"], eps=1e-5))
        x = F.conv_transpose2d(x, state[f"main.{conv}.weight"], stride=2, padding=1)
    return torch.tanh(x)


@pytest.mark.parametrize("kernel", [4, 5])
@pytest.mark.parametrize("size", [16, 32, 64])
def test_images_and_scores_are_those_of_the_example(tmp_path, size, kernel):
    generator = example_generator(size, 5, 7, 3, kernel)
    discriminator = example_discriminator(size, 4, 3, kernel)
    paths = [tmp_path / "netD_epoch_24.pth", tmp_path / "netG_epoch_24.pth"]
    torch.save(discriminator.state_dict(), paths[0])
    torch.save(generator.state_dict(), paths[1])
    checkpoint = checkpoints.convert(paths)
    config = checkpoint.config
    assert (config.size, config.g_width, config.d_width, config.z_size) == (size, 5, 4, 7)
    assert (config.kernel, config.norm_per_unit, config.norm_eps) == (kernel, False, 1e-5)
    z = torch.randn(4, 7, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        images = generator(z[:, :, None, None])
        scores = discriminator(images).flatten()
        torch.testing.assert_close(checkpoint.generator(z), images, rtol=0, atol=1e-5)
        logits = checkpoint.discriminator(images)
        torch.testing.assert_close(torch.sigmoid(logits), scores, rtol=0, atol=1e-5)


def test_images_are_those_of_plain_functions(tmp_path):
    state = example_generator(16, 5, 7, 1, 4).state_dict()
    torch.save(state, tmp_path / "netG.pth")
    z = torch.randn(4, 7, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        images = checkpoints.load(tmp_path / "netG.pth").generator(z)
    torch.testing.assert_close(images, by_hand(state, z[:, :, None, None]), rtol=0, atol=1e-5)


WRAPS = {
    "bare": lambda g, d: g,
    "data parallel": lambda g, d: {f"module.{name}": value for name, value in g.items()},
    "state_dict": lambda g, d: {"state_dict": g, "epoch": 3},
    "both": lambda g, d: {"netG": g, "netD": d, "optimizer": {"state": {}, "lr": 0.1}},
    "words": lambda g, d: {"generator": g, "discriminator": d},
    "old counters": lambda g, d: {n: v for n, v in g.items() if not n.endswith("tracked")},
    "parameters": lambda g, d: {n: nn.Parameter(v, requires_grad=False) for n, v in g.items()},
    "half": lambda g, d: {n: v.half() if v.is_floating_point() else v for n, v in g.items()},
    "bfloat16": lambda g, d: {
        n: v.bfloat16() if v.is_floating_point() else v for n, v in g.items()
    },
    "double": lambda g, d: {n: v.double() if v.is_floating_point() else v for n, v in g.items()},
}


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("wrap", WRAPS)
def test_state_dicts_are_found_however_they_were_saved(tmp_path, wrap, new):
    generator = example_generator(16, 3, 4, 3, 4).state_dict()
    discriminator = example_discriminator(16, 3, 3, 4).state_dict()
    if wrap == "parameters":
        generator = {n: v for n, v in generator.items() if v.is_floating_point()}
    path = tmp_path / "saved.pth"
    saved = WRAPS[wrap](generator, discriminator)
    torch.save(saved, path, _use_new_zipfile_serialization=new)
    checkpoint = checkpoints.load(path)
    assert checkpoint.name == "saved"
    assert len(checkpoint.sha256) == 64
    assert (checkpoint.discriminator is None) == (wrap not in ("both", "words"))
    weight = checkpoint.generator.get_submodule("8x8.conv").weight
    assert weight.dtype == torch.float32
    tolerance = 1e-2 if wrap in ("half", "bfloat16") else 0
    torch.testing.assert_close(weight, generator["main.3.weight"], rtol=tolerance, atol=0)


def test_a_converted_checkpoint_is_the_same_after_saving(tmp_path):
    torch.save(example_discriminator(16, 3, 3, 4).state_dict(), tmp_path / "netD.pth")
    converted = state_dicts.read_state_dicts([tmp_path / "netD.pth"])
    checkpoints.save(converted, tmp_path / "mine.safetensors")
    loaded = checkpoints.load(tmp_path / "mine.safetensors")
    assert loaded.generator is None
    for name, value in loaded.discriminator.state_dict().items():
        assert torch.equal(value, converted.discriminator.state_dict()[name])
