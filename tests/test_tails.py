"""Edits of the tail give the images that the whole network gives, for less arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.flop_counter import FlopCounterMode

import dcgan_probe as dp
from dcgan_probe import hooks
from dcgan_probe.edits.tails import Base, Tail
from dcgan_probe.errors import InputError
from dcgan_probe.networks.config import PRESETS


def sequence(**parts: nn.Module) -> nn.Sequential:
    network = nn.Sequential()
    for name, part in parts.items():
        network.add_module(name, part)
    return network


class Sum(nn.Module):
    """Two convolutions and a skip take the same maps."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(6, 6, 3, padding=1)
        self.two = nn.Conv2d(6, 6, 1)

    def forward(self, x):
        return x + self.one(x) * torch.sigmoid(self.two(x))


class Twice(nn.Module):
    """The same weights at two dilations, and called on something else between."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 6, 3, 3))

    def forward(self, x):
        near = nn.functional.conv2d(x, self.weight, None, 1, 1)
        far = nn.functional.conv2d(x, self.weight, None, 1, 2, 2)
        return near + far + nn.functional.conv2d(near * 0.1, self.weight, padding=1)


def deconvolution(channels: int = 2, **options: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(6, channels, 4, **options)


def after_the_maps() -> dict[str, nn.Module]:
    """What may come after 6 maps of 5 x 5; whether one edit is cheaper than the whole tail."""
    spectral = parametrizations.spectral_norm(nn.Conv2d(6, 2, 3))
    return {
        "convolution": nn.Conv2d(6, 8, 3, padding=1),
        "convolution, same": nn.Conv2d(6, 8, 3, padding="same", dilation=2),
        "deconvolution": deconvolution(8, stride=2, padding=1),
        "into few": deconvolution(stride=2, padding=1),
        "into few, padded": deconvolution(stride=(3, 2), padding=(1, 0), output_padding=(2, 1)),
        "into few, dilated": deconvolution(dilation=2, output_padding=1),
        "two and a skip": Sum(),
        "one weight twice": Twice(),
        "upsample": sequence(up=nn.Upsample(scale_factor=2), conv=nn.Conv2d(6, 2, 3)),
        "in place": sequence(act=nn.ReLU(inplace=True), conv=nn.Conv2d(6, 2, 3)),
        "in place after": sequence(conv=nn.Conv2d(6, 2, 3), act=nn.ReLU(inplace=True)),
        "groups": nn.Conv2d(6, 4, 3, groups=2),
        "groups into few": deconvolution(stride=2, groups=2),
        "reflected": nn.Conv2d(6, 2, 3, padding=1, padding_mode="reflect"),
        "spectral norm": spectral,
        "flat": sequence(flat=nn.Flatten(), linear=nn.Linear(150, 4)),
        "along the width": nn.Linear(5, 5),
        "nothing": nn.Identity(),
    }


def toy(after: nn.Module) -> nn.Sequential:
    return sequence(
        before=nn.Conv2d(3, 6, 3, padding=1), after=after, last=nn.LeakyReLU(0.2)
    ).eval()


def expected(network: nn.Module, layer: str, x: Tensor, filters: list[int]) -> Tensor:
    with torch.no_grad(), hooks.ablate(network, layer, filters):
        return network(x)


def started(network: nn.Module, layer: str, x: Tensor) -> Base:
    return Tail(network, layer).start(x)


def close(found: Tensor, wanted: Tensor) -> bool:
    return found.shape == wanted.shape and torch.allclose(found, wanted, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def large() -> nn.Module:
    """The 64-pixel `torch` network."""
    config = PRESETS["torch"]
    network = dp.networks.initialise(dp.Generator(config), seed=0).requires_grad_(False)
    for name, weight in network.named_parameters():
        if "norm" not in name:
            weight.mul_(5)
    dp.networks.estimate_statistics(network, [dp.latents.sample(config, 32, seed=0)])
    return network


@pytest.mark.parametrize(
    "layer", ["4x4", "8x8.conv", "8x8", "16x16.norm", "16x16", "32x32", "64x64"]
)
def test_of_the_torch_network_one_many_most_all_and_no_filters(large, layer):
    z = dp.latents.sample(large.config, 3, seed=1)
    base = started(large, layer, z)
    count = base.maps.shape[1]
    assert close(base.images(), large(z))
    some = [[1], range(0, count, 3), range(1, count), range(count), []]
    for filters in map(list, some):
        wanted = expected(large, layer, z, filters)
        assert close(base.without(filters), wanted)
        if filters and len(filters) < count:
            assert not close(large(z), wanted)
    assert close(base.images(), large(z))


@pytest.mark.parametrize("layer", ["4x4", "8x8", "16x16", "32x32"])
def test_of_a_network_with_a_norm_per_unit_and_kernels_of_5(generator, config, layer):
    z = dp.latents.sample(config, 4, seed=1)
    base = started(generator, layer, z)
    for filters in ([0], [1, 2]):
        assert close(base.without(filters), expected(generator, layer, z, filters))


@pytest.mark.parametrize("name", after_the_maps())
@settings(deadline=None, max_examples=6)
@given(st.sets(st.integers(0, 5)), st.integers(1, 3))
def test_whatever_comes_after_the_maps(name, filters, n):
    torch.manual_seed(0)
    # In double precision: in single, the rounding of values of 16 is larger than the tolerance.
    network, x = toy(after_the_maps()[name]).double(), torch.randn(n, 3, 5, 5).double()
    base = started(network, "before", x)
    for _ in range(2):  # the second time what is linear is known
        assert close(base.without(list(filters)), expected(network, "before", x, list(filters)))
    assert close(base.images(), network(x))
    new = torch.randn(n, len(filters), 5, 5).double()
    maps = base.maps.clone()
    maps[:, list(filters)] = new
    with torch.no_grad():
        wanted = network.last(network.after(maps))
    assert close(base.replaced(list(filters), new), wanted)


def test_of_linear_layers():
    torch.manual_seed(0)
    network = sequence(one=nn.Linear(4, 7), two=nn.Linear(7, 12), maps=nn.Unflatten(1, (3, 2, 2)))
    x = torch.randn(5, 4)
    base = started(network, "one", x)
    for filters in ([2], [0, 1, 3, 4, 5]):
        assert close(base.without(filters), expected(network, "one", x, filters))


def multiply_adds(function: Callable[..., Tensor], *arguments: object) -> float:
    """Million multiply-adds, counted by torch."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        function(*arguments)
    return counter.get_total_flops() / 2e6


def test_an_edit_costs_what_comes_after_the_first_layer_of_the_tail(large):
    z = dp.latents.sample(large.config, 1, seed=0)
    macs = {"32x32": 0, "16x16": 64 * 16 * 3 * 32**2 / 1e6}
    macs["8x8"] = macs["16x16"] + 128 * 16 * 64 * 16**2 / 1e6
    whole = multiply_adds(large, z)
    assert whole > 100
    for layer, rest in macs.items():
        base, tail = started(large, layer, z), hooks.tail(large, layer)
        base.images()
        count = base.maps.shape[1]
        first = multiply_adds(tail, base.maps) - rest
        one = multiply_adds(base.without, [3])
        assert one == pytest.approx(rest + first / count)
        assert multiply_adds(base.without, range(1, count)) == pytest.approx(one)
        assert multiply_adds(base.images) == pytest.approx(rest)


@pytest.mark.parametrize("name", ["two and a skip", "one weight twice"])
def test_each_linear_function_of_the_maps_costs_less(name):
    network, x = toy(after_the_maps()[name]), torch.randn(1, 3, 5, 5)
    base = started(network, "before", x)
    base.images()
    whole = multiply_adds(network.after, base.maps)
    again = {"two and a skip": 0, "one weight twice": whole / 3}[name]
    one = multiply_adds(base.without, [3])
    assert one == pytest.approx(again + (whole - again) / 6)


class Around(nn.Module):
    """Maps that are used again after the layer, which an activation in place may have changed."""

    def __init__(self, in_place: bool, branches: bool = False):
        super().__init__()
        self.before, self.act = nn.Conv2d(3, 6, 3, padding=1), nn.LeakyReLU(0.2, in_place)
        self.maps, self.last = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 2, 1)
        self.branches = branches

    def forward(self, x):
        h = self.before(x)
        if self.branches and h.mean() > 1e6:  # what torch.fx cannot trace
            raise AssertionError
        return self.last(torch.tanh(self.maps(self.act(h)))) + h[:, :2]


@pytest.mark.parametrize("layer", ["before", "act", "maps", "last"])
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("branches", [False, True])
def test_of_a_module_that_cannot_be_cut(layer, in_place, branches):
    torch.manual_seed(0)
    network, x = Around(in_place, branches).double().eval(), torch.randn(3, 3, 5, 5).double()
    if branches or layer in ("act", "maps", "last"):
        with pytest.raises(hooks.Uncut):
            hooks.tail(network, layer)
    base = started(network, layer, x)
    for filters in ([], [1], [0, 1]):
        assert close(base.without(filters), expected(network, layer, x, filters))
    assert not close(base.images(), expected(network, layer, x, [1]))
    new = torch.randn(3, 1, 1, 1).double().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda new: base.replaced([1], new), new)


def test_given_maps_take_the_place_of_those_of_the_layer():
    torch.manual_seed(0)
    for network in (Around(False), toy(after_the_maps()["convolution"])):
        layer = "before" if isinstance(network, nn.Sequential) else "maps"
        x, maps = torch.randn(2, 3, 5, 5), torch.randn(2, 6, 5, 5)
        base = Tail(network, layer).start(x, maps)
        with torch.no_grad(), hooks.patch(network, layer, maps):
            assert close(base.images(), network(x))
            with hooks.ablate(network, layer, [4]):
                assert close(base.without([4]), network(x))


def test_nothing_is_kept_for_weights_that_every_forward_makes_anew():
    network, x = toy(after_the_maps()["spectral norm"]), torch.randn(1, 3, 5, 5)
    base = started(network, "before", x)
    base.without([3])
    assert not base.outputs


@pytest.mark.parametrize("later", ["32x32.conv", "32x32.norm", "32x32", "64x64.conv", "64x64"])
def test_an_edit_in_force_on_a_later_layer_acts(large, later):
    z = dp.latents.sample(large.config, 2, seed=1)
    base = started(large, "16x16", z)
    without = base.without([3, 5])
    with hooks.ablate(large, later, [0, 1]):
        wanted = expected(large, "16x16", z, [3, 5])
        assert close(base.without([3, 5]), wanted)
        assert not close(without, wanted)
    assert torch.equal(base.without([3, 5]), without)


def test_an_edit_in_force_on_an_earlier_layer_is_in_the_maps(large):
    z = dp.latents.sample(large.config, 2, seed=1)
    with hooks.ablate(large, "8x8", range(40)):
        base, wanted = started(large, "16x16", z), expected(large, "16x16", z, [3])
        assert close(base.without([3]), wanted)


def test_a_hook_that_changes_what_the_linear_layer_takes_acts(large):
    z = dp.latents.sample(large.config, 2, seed=1)
    base = started(large, "16x16", z)
    base.images()
    handle = large[3].conv.register_forward_pre_hook(lambda _module, inputs: (inputs[0] * 2,))
    try:
        assert close(base.without([3]), expected(large, "16x16", z, [3]))
    finally:
        handle.remove()


def test_replaced_by_values_that_broadcast(large):
    z = dp.latents.sample(large.config, 2, seed=1)
    base = started(large, "16x16", z)
    mean = base.maps.mean((0, 2, 3))[[9, 4]].view(1, 2, 1, 1)
    maps = base.maps.clone()
    maps[:, [9, 4]] = mean
    wanted = hooks.tail(large, "16x16")(maps)
    assert close(base.replaced([9, 4], mean), wanted)
    half = base.maps[:, [9, 4]] * 0.5
    with torch.no_grad(), hooks.ablate(large, "16x16", [4, 9], gain=0.5):
        assert close(base.replaced([9, 4], half), large(z))


@pytest.mark.parametrize("layer", ["8x8", "8x8.conv", "16x16"])
@pytest.mark.parametrize("filters", [[3, 1], [0, 1, 2, 3]])
def test_gradients_of_new_values_are_those_of_the_plain_tail(generator, config, layer, filters):
    z = dp.latents.sample(config, 3, seed=1)
    base, rest = started(generator, layer, z), hooks.tail(generator, layer)
    shape = base.maps[:, filters].shape
    new = torch.randn(shape, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    target = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    index = torch.tensor(filters)
    (wanted,) = torch.autograd.grad((rest(base.maps.index_copy(1, index, new)) * target).sum(), new)
    (found,) = torch.autograd.grad((base.replaced(filters, new) * target).sum(), new)
    assert found.abs().max() > 0.01
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["into few", "two and a skip", "one weight twice", "in place"])
def test_gradients_are_those_of_finite_differences(name):
    torch.manual_seed(0)
    network = toy(after_the_maps()[name]).double()
    network.last = nn.Tanh()
    base = started(network, "before", torch.randn(1, 3, 5, 5).double())
    new = torch.randn(1, 2, 5, 5).double().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda new: base.replaced([4, 1], new), new)


def test_gradients_are_recorded_for_new_values_alone(generator, config):
    base = started(generator, "8x8", dp.latents.sample(config, 2, seed=1))
    assert next(generator.parameters()).requires_grad
    new = torch.zeros(1, 1, 1, 1)
    assert not base.without([1]).requires_grad
    assert not base.replaced([1], new).requires_grad
    assert base.replaced([1], new.requires_grad_(True)).requires_grad
    with torch.no_grad():
        assert not base.replaced([1], new).requires_grad


def test_in_inference_mode():
    network, x = toy(after_the_maps()["in place"]), torch.randn(2, 3, 5, 5)
    with torch.inference_mode():
        base = started(network, "before", x)
        assert close(base.without([2]), expected(network, "before", x, [2]))
        assert close(base.replaced([2], torch.zeros(1, 1, 1, 1)), base.without([2]))


@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_edits_in_any_order_are_each_of_the_maps_that_were_taken(generator, config, data):
    z = dp.latents.sample(config, 2, seed=1)
    layer, count = data.draw(st.sampled_from([("4x4", 16), ("8x8", 8), ("16x16", 4)]))
    base = started(generator, layer, z)
    for filters in data.draw(
        st.lists(st.lists(st.integers(0, count - 1), unique=True), max_size=4)
    ):
        assert close(base.without(filters), expected(generator, layer, z, filters))


def state(module: nn.Module) -> list[object]:
    parts = [(part, {k: id(v) for k, v in vars(part).items()}) for part in module.modules()]
    sizes = [[len(v) for v in vars(part).values() if hasattr(v, "__len__")] for part, _ in parts]
    weights = [(id(w), w._version) for w in (*module.parameters(), *module.buffers())]
    return [parts, sizes, weights]


def test_nothing_stays_on_the_module_by_an_exception_either(generator, config):
    z = dp.latents.sample(config, 2, seed=1)
    hooks.activations(generator, "8x8", z)
    before = state(generator)
    base = started(generator, "8x8", z)
    base.without([1])

    class Failure(Exception):
        pass

    def fail(*_: object) -> None:
        raise Failure

    handle = generator[-1].register_forward_hook(fail)
    with pytest.raises(Failure):
        base.without([2])
    handle.remove()
    assert state(generator) == before
    assert torch.overrides._get_current_function_mode_stack() == []
    assert close(base.without([2]), expected(generator, "8x8", z, [2]))


def test_mistakes_are_told_in_a_line(generator, config):
    with pytest.raises(InputError, match="unknown layer '9x9', expected one of: 4x4, 8x8"):
        Tail(generator, "9x9")
    base = started(generator, "8x8", dp.latents.sample(config, 2, seed=1))
    new = torch.zeros(1, 2, 1, 1)
    for wrong in (8, -1):
        line = f"^layer '8x8': found filter {wrong}, expected 0 to 7$"
        with pytest.raises(InputError, match=line):
            base.without([0, wrong])
        with pytest.raises(InputError, match=line):
            base.replaced([0, wrong], new)
        if wrong > 0:  # as hooks.ablate says it
            with pytest.raises(InputError, match=line):
                expected(generator, "8x8", dp.latents.sample(config, 2, seed=1), [0, wrong])
    twice = "^layer '8x8': found a filter twice, expected each once$"
    for edit in (lambda: base.replaced([2, 2], new), lambda: base.without([2, 1, 2])):
        with pytest.raises(InputError, match=twice):
            edit()
    line = "^layer '8x8': found new maps 2 x 3 x 8 x 8, expected 2 x 2 x 8 x 8$"
    with pytest.raises(InputError, match=line):
        base.replaced([1, 2], torch.zeros(2, 3, 8, 8))


@pytest.mark.parametrize("layer", ["8x8", "16x16", "32x32"])  # before the cut, at it, after it
def test_an_edit_by_any_function_acts_in_a_session_and_in_tails(layer):
    session = dp.Session.open("rooms", device="cpu")
    generator, z = session.generator, session.latents(2)
    plain = session.generate(z)
    with hooks.edit(generator, layer, lambda maps: maps.flip(3)):
        edited = session.generate(z)
        with hooks.ablate(generator, "16x16", [3, 17]):
            expected = session.generate(z)
        found = Tail(generator, "16x16").start(z).without([3, 17])
    assert (edited - plain).abs().max() > 0.1
    assert (expected - edited).abs().max() > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert torch.equal(session.generate(z), plain)
