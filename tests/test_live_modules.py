"""Modules that are handed over as their own training code has them."""

from __future__ import annotations

import layouts
import pytest
import torch
from torch import nn

import dcgan_probe as dp
from dcgan_probe import checkpoints
from dcgan_probe.checkpoints.facts import Facts
from dcgan_probe.errors import InputError
from dcgan_probe.metrics import features


class Tutorial(nn.Module):
    """The class of the PyTorch tutorial: layers under main, z with places."""

    def __init__(self, layers):
        super().__init__()
        self.main = layers

    def forward(self, x):
        return self.main(x)


@pytest.fixture(scope="module")
def pair():
    g, d = layouts.build(layouts.LAYOUTS[0])
    return Tutorial(g), Tutorial(nn.Sequential(*d, nn.Sigmoid()))


def test_a_generator_that_wants_z_with_places_gets_it_so(pair, capsys):
    session = dp.Session.from_modules(generator=pair[0], latent=16, device="cpu")
    assert "N x 16 x 1 x 1" in capsys.readouterr().err
    with torch.no_grad():
        expected = pair[0](session.latents(4)[:, :, None, None])
    torch.testing.assert_close(session.sample(4), expected)
    assert "network.main.5" in session.config.hidden("generator")


@pytest.mark.parametrize("both", [False, True])
def test_a_module_and_the_converted_file_of_its_weights_are_one(pair, tmp_path, both):
    g, d = pair
    torch.save(g.state_dict(), tmp_path / "netG.pth")
    torch.save(d.state_dict(), tmp_path / "netD.pth")
    paths = [tmp_path / name for name in ("netG.pth", *(["netD.pth"] if both else []))]
    sha = checkpoints.save(checkpoints.convert(paths), tmp_path / "c.safetensors")
    given = {"generator": g, "latent": 16, **({"discriminator": d} if both else {})}
    session = dp.Session.from_modules(**given, device="cpu")
    assert session.checkpoint.sha256 == sha
    opened = dp.Session.open(tmp_path / "c.safetensors", device="cpu")
    torch.testing.assert_close(session.sample(3), opened.sample(3))
    uniform = dp.Session.from_modules(g, latent=(16, "uniform"), device="cpu")
    assert uniform.checkpoint.sha256 != sha


@pytest.mark.parametrize(
    "name",
    [
        "LeakyReLU in the generator",
        "28x28, first kernel 7",
        "eps 0.8",
        "28x28, no padding anywhere",
        "28x28, two linear layers in both",
        "linear layer to 1x1",
        "upsampling to 28x28",
    ],
)
def test_so_are_modules_of_other_chains(name, tmp_path):
    layout = next(each for each in layouts.LAYOUTS if each.name == name)
    g, _ = layouts.build(layout)
    torch.save(g.state_dict(), tmp_path / "netG.pth")
    found = checkpoints.convert([tmp_path / "netG.pth"], facts=Facts(**layout.facts))
    sha = checkpoints.save(found, tmp_path / "c.safetensors")
    assert dp.Session.from_modules(g, latent=16, device="cpu").checkpoint.sha256 == sha


def test_what_a_file_cannot_hold_keeps_an_identity_of_its_own(pair):
    class Twice(Tutorial):
        def forward(self, x):
            return self.main(2 * x)

    plain = dp.Session.from_modules(pair[0], latent=16, device="cpu").checkpoint.sha256
    torch.manual_seed(0)
    other = dp.Session.from_modules(Twice(pair[0].main), latent=16, device="cpu")
    assert other.checkpoint.sha256 != plain


def test_layers_that_are_only_almost_torchs_have_an_identity_of_their_own():
    class Same(nn.Conv2d):
        def forward(self, x):
            x = nn.functional.pad(x, [1, 2, 1, 2])
            return nn.functional.conv2d(x, self.weight, self.bias, self.stride)

    torch.manual_seed(0)
    d = nn.Sequential(Same(3, 8, 5, 2), nn.LeakyReLU(0.2), Same(8, 16, 5, 2), nn.Flatten())
    d.append(nn.Linear(16 * 64, 1))
    session = dp.Session.from_modules(discriminator=d, image=(3, 32, 32), device="cpu")
    assert len(session.checkpoint.sha256) == 64


def unit(network):
    return nn.Sequential(*list(network.main)[:-1], nn.Sigmoid())


def test_images_in_0_to_1_reach_the_discriminator_as_it_was_trained(pair, capsys):
    g = unit(pair[0])
    with torch.no_grad():
        images = g(layouts.normal(64)[:, :, None, None])
    d = layouts.trained(layouts.down(4, 4, 4, 4), [images])
    session = dp.Session.from_modules(g, d, 16, images="[0, 1]", device="cpu")
    z = session.latents(8)
    with torch.no_grad():
        images = g(z[:, :, None, None])
    torch.testing.assert_close(session.generate(z), 2 * images - 1)
    names = features.layers(session.discriminator)
    found = features.extract(session.discriminator, session.generate(z), names[:1])
    assert names[0].startswith("network.")
    with torch.no_grad(), dp.hooks.record(d, names[0].removeprefix("network.")) as seen:
        d(images)
    pooled = nn.functional.adaptive_max_pool2d(next(iter(seen.values())), 4).flatten(1)
    torch.testing.assert_close(found, pooled)
    assert "WARNING" not in capsys.readouterr().err

    class Half(nn.Module):
        """Only the generator is adapted, as the half of a recipe says."""

        def __init__(self):
            super().__init__()
            self.network = g

        def forward(self, z):
            return 2 * self.network(z[:, :, None, None]) - 1

    dp.Session.from_modules(Half(), d, 16, device="cpu")
    assert "are those of images in [0, 1]" in capsys.readouterr().err


def test_blue_may_come_first(pair):
    plain = dp.Session.from_modules(pair[0], latent=16, device="cpu").sample(2)
    turned = dp.Session.from_modules(pair[0], latent=16, images="[-1, 1] BGR", device="cpu")
    torch.testing.assert_close(turned.sample(2), plain.flip(1))
    with pytest.raises(InputError, match=r"unknown range '0 to 1', expected one of: \[-1, 1\]"):
        dp.Session.from_modules(pair[0], latent=16, images="0 to 1")


class Conditional(nn.Module):
    def __init__(self, one_hot):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Linear(10, 8) if one_hot else nn.Embedding(10, 8)
        self.network = nn.Sequential(nn.Linear(16, 3 * 64), nn.Unflatten(1, (3, 8, 8)), nn.Tanh())

    def forward(self, z, y):
        return self.network(torch.cat([z, self.embed(y)], 1))


@pytest.mark.parametrize("one_hot", [False, True])
def test_a_conditional_generator_takes_a_class(one_hot):
    network = Conditional(one_hot)
    sessions = [
        dp.Session.from_modules(
            network, latent=8, label=(label, 10) if one_hot else label, device="cpu"
        )
        for label in (3, 4)
    ]
    label = torch.eye(10)[[3, 3]] if one_hot else torch.tensor([3, 3])
    with torch.no_grad():
        expected = network(sessions[0].latents(2), label)
    torch.testing.assert_close(sessions[0].sample(2), expected)
    assert sessions[0].checkpoint.sha256 != sessions[1].checkpoint.sha256
    with pytest.raises(InputError, match=r"missing 1 required .* 'y' .* \(label=CLASS passes a"):
        dp.Session.from_modules(network, latent=8, device="cpu")


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (99, "^generator: label: found class 99, expected one that the network has: .* class 0$"),
        ((3, 10), r"numbers and class 3 of 10, expected a forward that takes both, .*\)$"),
    ],
)
def test_a_class_that_the_generator_does_not_take_is_named(label, message):
    with pytest.raises(InputError, match=message):
        dp.Session.from_modules(Conditional(one_hot=False), latent=8, label=label, device="cpu")


@pytest.mark.parametrize("one_hot", [False, True])
def test_a_generator_that_takes_the_class_first_is_refused(one_hot):
    class Swapped(Conditional):
        def forward(self, y, z):  # of 10 and of 10: one-hot classes would run as z
            return self.network(torch.cat([z, y], 1))

    message = r"^generator: found forward\(y, z\), expected the class second: a wrapper .* order$"
    with pytest.raises(InputError, match=message):
        dp.Session.from_modules(
            Swapped(one_hot), latent=6, label=(3, 10) if one_hot else 3, device="cpu"
        )


class Places(nn.Module):
    """As in many conditional DCGANs: z and a one-hot class as N x ... x 1 x 1."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.ConvTranspose2d(18, 3, 8), nn.Tanh())

    def forward(self, z, y):
        return self.layers(torch.cat([z, y], 1))


class Judge(nn.Module):
    """A discriminator that takes the class too."""

    def __init__(self):
        super().__init__()
        self.conv, self.of_class = nn.Conv2d(3, 4, 3), nn.Linear(10, 4)

    def forward(self, x, y):
        maps = torch.relu(self.conv(x)) * self.of_class(y)[:, :, None, None]
        return maps.mean((1, 2, 3))


def test_a_class_may_have_places_and_the_discriminator_may_take_it_too():
    g, d = Places(), Judge()
    session = dp.Session.from_modules(g, d, 8, label=(3, 10), device="cpu")
    z, y = session.latents(2), torch.eye(10)[[3, 3]]
    with torch.no_grad():
        images = g(z[:, :, None, None], y[:, :, None, None])
        torch.testing.assert_close(session.sample(2), images)
        torch.testing.assert_close(session.discriminator(images), d(images, y))


def test_another_size_of_z_is_told_by_what_the_network_wants(pair):
    with pytest.raises(InputError, match="to have 16 channels, but got 17 channels instead"):
        dp.Session.from_modules(pair[0], latent=17)


def test_weights_without_values_and_of_another_type_are_one_line(pair):
    with torch.device("meta"):
        meta = layouts.up(4, 4, 4, 4)
    statistics_in_double = layouts.up(4, 4, 4, 4)
    norm = statistics_in_double[1]
    norm.running_mean, norm.running_var = norm.running_mean.double(), norm.running_var.double()
    for network, words in (
        (meta, "found weights on the meta device"),
        (layouts.up(4, 4, 4, 4).double(), "found weights of float64, expected float32"),
        (statistics_in_double, "found buffers of float64, expected float32: call .float()"),
    ):
        with pytest.raises(InputError, match=words) as raised:
            dp.Session.from_modules(network, latent=16)
        assert "\n" not in str(raised.value)


class Wide(nn.Module):
    """Beyond the range for one latent in twenty, which a few samples do not show."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 3 * 64)

    def forward(self, z):
        images = torch.tanh(self.linear(z)).view(-1, 3, 8, 8)
        return images * torch.where(z[:, 0] > 1.6, 1.5, 1.0)[:, None, None, None]


def test_the_range_is_judged_on_enough_samples():
    torch.manual_seed(0)
    with pytest.raises(InputError, match="generator: found numbers from"):
        dp.Session.from_modules(Wide(), latent=8, device="cpu")


def test_samples_that_are_alike_are_said(capsys):
    network = nn.Sequential(nn.Linear(8, 3 * 64), nn.Unflatten(1, (3, 8, 8)), nn.Tanh())
    with torch.no_grad():
        network[0].weight.mul_(1e-5)
    dp.Session.from_modules(network, latent=8, device="cpu")
    assert "samples are alike" in capsys.readouterr().err


def test_untouched_statistics_are_said_or_estimated(monkeypatch, capsys):
    monkeypatch.setattr("dcgan_probe.checkpoints.statistics.BATCHES", 2)
    network = layouts.up(4, 4, 4, 4)
    dp.Session.from_modules(network, latent=16, device="cpu")
    expected = "statistics of 3 batch norms were never updated (means 0, variances 1; network.1)"
    assert expected in capsys.readouterr().err
    session = dp.Session.from_modules(network, latent=16, statistics="estimate", device="cpu")
    assert "never updated" not in capsys.readouterr().err
    assert session.sample(8).std(0).mean() > 0.001
