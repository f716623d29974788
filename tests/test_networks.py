import dataclasses
import io
import itertools

import pytest
import torch
from torch import nn

from dcgan_probe import checkpoints, networks
from dcgan_probe.errors import InputError
from dcgan_probe.networks.config import PRESETS, Config
from dcgan_probe.networks.dcgan import Discriminator, Generator
from dcgan_probe.training.recipe import Recipe
from dcgan_probe.training.trainer import Trainer


def small(**values):
    return Config(**{"size": 16, "g_width": 4, "d_width": 6, "z_size": 5, **values})


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("preset", "generator", "discriminator"),
    [("paper", 18_885_760, 17_232_768), ("torch", 3_576_704, 2_765_568)],
)
def test_parameter_counts_are_those_of_the_originals(preset, generator, discriminator):
    with torch.device("meta"):
        assert count(Generator(PRESETS[preset])) == generator
        assert count(Discriminator(PRESETS[preset])) == discriminator


@pytest.mark.parametrize("per_unit", [True, False])
@pytest.mark.parametrize("kernel", [4, 5])
@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
def test_every_layer_puts_out_the_resolution_it_is_named_for(size, kernel, per_unit):
    config = small(size=size, g_width=2, d_width=3, kernel=kernel, norm_per_unit=per_unit)
    x = torch.zeros(2, config.z_size)
    generator = Generator(config).eval()
    for name, block in generator.named_children():
        x = block(x)
        assert name == f"{x.shape[2]}x{x.shape[3]}"
    assert x.shape == (2, config.channels, size, size)
    discriminator = Discriminator(config).eval()
    for name, block in discriminator.named_children():
        x = block(x)
        assert name == (f"{x.shape[2]}x{x.shape[3]}" if x.ndim == 4 else "score")
    assert x.shape == (2,)


@pytest.mark.parametrize("size", [16, 64, 256])
def test_layer_names_of_the_config_are_those_of_the_networks(size):
    config = small(size=size, g_width=2, d_width=2)
    for part, network in [("generator", Generator), ("discriminator", Discriminator)]:
        assert config.layers(part) == tuple(name for name, _ in network(config).named_children())


@pytest.mark.parametrize("kernel", [3, 4, 5])
@pytest.mark.parametrize("size", [16, 64])
def test_where_the_second_is_strided_the_first_keeps_the_size_and_the_generator_mirrors(
    size, kernel
):
    config = small(size=size, g_width=2, d_width=2, kernel=kernel, d_depth=2, stride_second=True)
    convs, shapes = {}, {}
    for network, part, x in (
        (Generator(config).eval(), "generator", torch.zeros(2, config.z_size)),
        (Discriminator(config).eval(), "discriminator", torch.zeros(2, 3, size, size)),
    ):
        assert config.layers(part) == tuple(name for name, _ in network.named_children())
        shapes[part] = []
        for name, block in network.named_children():
            x = block(x)
            assert name.rstrip("a") == (f"{x.shape[2]}x{x.shape[3]}" if x.ndim == 4 else "score")
            shapes[part] += [x.shape[1:]]
        convs[part] = [
            m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)
        ]
    ahead = [(c.in_channels, c.out_channels, c.stride[0]) for c in convs["discriminator"]]
    back = [(c.out_channels, c.in_channels, c.stride[0]) for c in reversed(convs["generator"])]
    assert ahead == back
    assert [stride for *_, stride in ahead] == [1, 2] * (len(ahead) // 2)
    assert shapes["discriminator"][:-1] == shapes["generator"][-2::-1]


@pytest.mark.parametrize("kernel", [4, 5])
@pytest.mark.parametrize("size", [16, 64])
def test_two_convolutions_a_resolution_keep_the_names_of_the_resolutions(size, kernel):
    config = small(size=size, g_width=2, d_width=3, kernel=kernel, d_depth=2)
    discriminator = Discriminator(config).eval()
    names = [name for name, _ in discriminator.named_children()]
    assert config.layers("discriminator") == tuple(names)
    plain = Config.layers(small(size=size), "discriminator")
    assert [name for name in names if not name.endswith("a")] == list(plain)
    x = torch.zeros(2, config.channels, size, size)
    for name, block in discriminator.named_children():
        x = block(x)
        assert name.rstrip("a") == (f"{x.shape[2]}x{x.shape[3]}" if x.ndim == 4 else "score")
    strides = [m.stride[0] for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    assert strides == [2, 1] * (len(plain) - 1)
    assert [hasattr(block, "norm") for block in discriminator] == [
        *(False, *[True] * (len(strides) - 1), False)
    ]


def test_the_preset_of_cifar10_is_the_authors_network():
    """Shapes of the arrays that they published, imagenet_gan_pretrain_128f_relu_lrelu_7l_3x3_256z;
    strides of their load_pretrained.py."""
    config = PRESETS["cifar10"]
    assert (config.size, config.z_size, config.z_distribution) == (32, 256, "uniform")
    with torch.device("meta"):
        generator, discriminator = Generator(config), Discriminator(config)
    convs = [m for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    maps = [3, 128, 128, 256, 256, 512, 512]
    assert [tuple(conv.weight.shape) for conv in convs] == [
        (out, into, 3, 3) for into, out in itertools.pairwise(maps)
    ]
    assert [conv.stride[0] for conv in convs] == [1, 2, 1, 2, 1, 2]
    assert [norm.num_features for norm in networks.norms(discriminator)] == maps[2:]
    assert discriminator.score.linear.weight.shape == (1, 8192)
    convs = [m for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [tuple(conv.weight.shape) for conv in convs] == [
        (into, out, 3, 3) for out, into in itertools.pairwise(maps)
    ][::-1]
    assert [conv.stride[0] for conv in convs] == [2, 1, 2, 1, 2, 1]
    assert [norm.num_features for norm in networks.norms(generator)] == [
        8192, 512, 256, 256, 128, 128
    ]  # fmt: skip


def test_feature_maps_double_with_every_halving():
    blocks = dict(Generator(PRESETS["torch"]).named_children())
    assert [blocks[name].conv.in_channels for name in ("8x8", "16x16", "32x32", "64x64")] == [
        *(512, 256, 128, 64)
    ]
    blocks = dict(Discriminator(PRESETS["torch"]).named_children())
    assert [blocks[name].conv.out_channels for name in ("32x32", "16x16", "8x8", "4x4")] == [
        *(64, 128, 256, 512)
    ]


@pytest.mark.parametrize("network", [Generator, Discriminator])
def test_no_layer_has_a_bias_and_no_activation_works_in_place(network):
    for module in network(small()).modules():
        assert not getattr(module, "inplace", False)
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            assert module.bias is None


def test_the_discriminator_leaks_by_a_fifth_and_its_first_layer_has_no_norm():
    discriminator = Discriminator(small())
    slopes = [m.negative_slope for m in discriminator.modules() if isinstance(m, nn.LeakyReLU)]
    assert slopes == [0.2, 0.2]
    assert [name for name, _ in discriminator[0].named_children()] == ["conv", "act"]


@pytest.mark.parametrize("network", [Generator, Discriminator])
def test_initial_weights_are_those_of_the_paper(network):
    net = networks.initialise(network(small(size=64, g_width=16, d_width=16)), seed=0)
    kernels = [m.weight for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    weights = torch.cat([kernel.flatten() for kernel in kernels])
    assert abs(weights.mean().item()) < 1e-3
    assert abs(weights.std().item() - 0.02) < 1e-3
    gains = torch.cat([norm.weight for norm in networks.norms(net)])
    assert abs(gains.mean().item() - 1) < 5e-3
    assert 0.015 < gains.std().item() < 0.025
    assert all(not norm.bias.any() for norm in networks.norms(net))


def test_a_seed_determines_the_initial_weights():
    nets = [networks.initialise(Generator(small()), seed) for seed in (0, 0, 1)]
    first, same, other = ([p.clone() for p in net.parameters()] for net in nets)
    assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))
    assert not torch.equal(first[0], other[0])


def test_estimated_statistics_are_the_mean_over_the_batches():
    net = networks.initialise(Discriminator(small()), seed=0)
    random = torch.Generator().manual_seed(0)
    batches = [torch.randn(8, 3, 16, 16, generator=random) for _ in range(3)]
    networks.estimate_statistics(net, batches)
    means, variances = [], []
    for batch in batches:
        maps = net[1].conv(net[0](batch)).detach().transpose(0, 1).flatten(1)
        means.append(maps.mean(1))
        variances.append(maps.var(1, unbiased=True))
    norm = net[1].norm
    torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack(variances).mean(0))
    assert norm.momentum == 0.1
    assert not any(module.training for module in net.modules())


def test_estimating_anew_forgets_the_statistics_before():
    net = networks.initialise(Generator(small()), seed=0)
    z = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    networks.estimate_statistics(net, [z * 3])
    networks.estimate_statistics(net, [z])
    once = networks.initialise(Generator(small()), seed=0)
    networks.estimate_statistics(once, [z])
    for name, value in net.state_dict().items():
        assert torch.equal(value, once.state_dict()[name])


def test_no_batches_are_refused_and_an_exception_leaves_eval_mode():
    net = Generator(small())
    with pytest.raises(InputError, match="found no batches, expected at least one"):
        networks.estimate_statistics(net, [])
    with pytest.raises(RuntimeError):
        networks.estimate_statistics(net, [torch.zeros(2, 6)])
    assert not net.training
    assert all(norm.momentum == 0.1 for norm in networks.norms(net))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("size", value) for value in (8, 24, 512, 64.0, "64", True)),
        *(("channels", value) for value in (0, 2, 4)),
        *(("g_width", value) for value in (0, -1, 1025)),
        *(("d_width", value) for value in (0, 1.5, 1025)),
        *(("kernel", value) for value in (3, 6)),
        *(("z_size", value) for value in (0, 4097, None)),
        *(("z_distribution", value) for value in ("", "gaussian", 1)),
        *(("norm_per_unit", value) for value in (1, "yes")),
        *(("d_depth", value) for value in (0, 3, True)),
        *(("stride_second", value) for value in (1, True)),
        *(("norm_eps", value) for value in (0.0, 1.0, float("nan"), 1)),
    ],
)
def test_a_config_refuses_what_no_network_can_be_built_from(field, value):
    with pytest.raises(InputError) as caught:
        Config(**{field: value})
    assert str(caught.value).startswith(f"network config: {field}: found {value!r}, expected ")


def test_a_config_refuses_networks_too_wide_for_memory():
    with pytest.raises(InputError, match=r"g_width: found 1024, expected at most 16384 maps at 4"):
        Config(size=256, g_width=1024)


def test_a_config_goes_to_a_dict_and_back():
    config = small(z_distribution="normal")
    assert Config.from_dict(dataclasses.asdict(config)) == config
    assert Config.from_dict(config.to_dict()) == config
    assert "d_depth" not in config.to_dict()  # as in files from before there was one
    deep = small(d_depth=2)
    assert Config.from_dict(deep.to_dict()) == deep != config
    with pytest.raises(InputError, match="unknown field 'depth', expected one of: size, channels"):
        Config.from_dict({"depth": 4})


def test_a_checkpoint_of_two_convolutions_a_resolution_is_read_as_it_was_saved(tmp_path):
    for depth in (1, 2):
        network = networks.initialise(Discriminator(small(d_depth=depth)), seed=0).eval()
        path = tmp_path / f"{depth}.safetensors"
        checkpoints.save(checkpoints.Checkpoint(network.config, None, network), path)
        found = checkpoints.load(path).discriminator
        assert found.config == network.config
        for name, value in network.state_dict().items():
            assert torch.equal(found.state_dict()[name], value)
        assert (b"d_depth" in path.read_bytes()) == (depth == 2)
        assert b"stride_second" not in path.read_bytes()


@pytest.mark.parametrize(("saved", "wanted"), [(1, 2), (2, 1)])
def test_a_training_goes_on_with_its_own_depth_only(tmp_path, saved, wanted):
    def trainer(depth):
        images = torch.zeros(8, 3, 16, 16, dtype=torch.uint8)
        return Trainer(small(d_depth=depth), Recipe(batch=4), images)

    path = tmp_path / "state.pt"
    path.write_bytes(trainer(saved).state({}))
    with pytest.raises(InputError, match=f"network.d_depth: found {saved}, expected {wanted} as"):
        trainer(wanted).load_state(path)


def test_a_training_state_from_before_there_was_a_depth_is_of_depth_one(tmp_path):
    trainer = Trainer(small(), Recipe(batch=4), torch.zeros(8, 3, 16, 16, dtype=torch.uint8))
    state = torch.load(io.BytesIO(trainer.state({"kept": 1})), weights_only=True)
    del state["settings"]["network.d_depth"], state["settings"]["network.stride_second"]
    del state["checksum"]  # which is newer still
    torch.save(state, tmp_path / "state.pt")
    assert trainer.load_state(tmp_path / "state.pt") == {"kept": 1}


@pytest.mark.parametrize(
    "wrap", [nn.utils.spectral_norm, nn.utils.parametrizations.spectral_norm], ids=["old", "new"]
)
def test_statistics_are_estimated_without_a_change_of_weights(wrap):
    torch.manual_seed(0)
    network = nn.Sequential(wrap(nn.Conv2d(3, 8, 3)), nn.BatchNorm2d(8)).eval()
    x = torch.randn(2, 3, 8, 8)
    before = network[0](x)
    networks.estimate_statistics(network, [x] * 3)
    assert torch.equal(network[0](x), before)
    assert not torch.equal(network[1].running_var, torch.ones(8))
