"""Hooks see what a layer output, change what they are asked to, and leave nothing behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import dcgan_probe as dp
from dcgan_probe import hooks
from dcgan_probe.errors import InputError


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Conv2d(3, 4, 3, padding=1)
        self.inner = nn.Conv2d(4, 4, 3, padding=1)
        self.after = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x):
        x = self.before(x)
        return self.after(torch.relu(x + self.inner(x)))


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(3, 3)

    def forward(self, x):
        return self.one(x) if x.sum() > 0 else x


def hook_count(module: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(part, kind)) for part in module.modules() for kind in kinds)


def in_place() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 3)).eval()


def test_record_gives_what_each_layer_put_out(generator, config):
    z = dp.latents.sample(config, 2, seed=0)
    x, expected = z, {}
    for name, block in generator.named_children():
        x = expected[name] = block(x)
    with hooks.record(generator, *expected) as seen:
        out = generator(z)
    assert list(seen) == list(expected)
    assert all(torch.equal(seen[name], expected[name]) for name in expected)
    assert torch.equal(out, x)


def test_record_before_an_in_place_relu_gives_the_values_before_it():
    network, x = in_place(), torch.randn(2, 3, 8, 8)
    with hooks.record(network, "0") as seen:
        network(x)
    assert torch.equal(seen["0"], network[0](x))
    assert (seen["0"] < 0).any()


def test_activations_before_an_in_place_relu_too():
    network, x = in_place(), torch.randn(2, 3, 8, 8)
    assert torch.equal(hooks.activations(network, "0", x), network[0](x))


def test_gradients_flow_through_what_is_recorded():
    network = in_place()
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    with hooks.record(network, "0") as seen:
        network(x)
    (gradient,) = torch.autograd.grad(seen["0"].sum(), x)
    (expected,) = torch.autograd.grad(network[0](x).sum(), x)
    assert torch.equal(gradient, expected)


def test_activations_compute_nothing_after_the_layer(generator, config):
    called = []
    generator[-1].register_forward_hook(lambda *_: called.append("last"))
    generator[0].register_forward_hook(lambda *_: called.append("first"))
    maps = hooks.activations(generator, "8x8", dp.latents.sample(config, 2, seed=0))
    assert maps.shape == (2, 8, 8, 8)
    assert called == ["first"]


def test_ablate_is_the_tail_of_maps_with_zeros(generator, config):
    z = dp.latents.sample(config, 3, seed=0)
    maps = hooks.activations(generator, "8x8", z).clone()
    maps[:, [1, 5]] = 0
    expected = generator[3](generator[2](maps))
    with hooks.ablate(generator, "8x8", [1, 5]):
        assert torch.equal(generator(z), expected)
    assert not torch.equal(generator(z), expected)


def test_ablate_with_a_gain_scales_and_writes_on_no_output():
    layer = nn.Sequential(nn.Identity())
    x = torch.ones(1, 3, 2, 2)
    with hooks.ablate(layer, "0", [2], gain=0.25):
        y = layer(x)
    assert y[0, :, 0, 0].tolist() == [1, 1, 0.25]
    assert torch.equal(x, torch.ones(1, 3, 2, 2))


def test_what_is_taken_away_is_replaced_by_values():
    layer = nn.Sequential(nn.Identity())
    x = torch.arange(24.0).reshape(2, 3, 2, 2)
    with hooks.ablate(layer, "0", [2, 0], gain=[0.25, 2.0], value=torch.tensor([4.0, 1.0])):
        y = layer(x)
    expected = x.clone()
    expected[:, 2] = x[:, 2].lerp(torch.tensor(4.0), 0.75)
    expected[:, 0] = x[:, 0].lerp(torch.tensor(1.0), -1.0)
    torch.testing.assert_close(y, expected)
    assert torch.equal(y[:, 1], x[:, 1])


@pytest.mark.parametrize("one_for_all", [True, False])
def test_only_the_places_of_a_mask_are_changed(one_for_all):
    layer = nn.Sequential(nn.Identity())
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, 4, 5, generator=generator)
    where = torch.rand(2, 4, 5, generator=generator) > 0.5
    where = where[0] if one_for_all else where
    expected = x.numpy().copy()
    for i, mask in enumerate(where.expand(2, 4, 5).numpy()):
        expected[i, 1][mask] = 7
    with hooks.ablate(layer, "0", [1], value=7.0, where=where):
        assert np.array_equal(layer(x).numpy(), expected)


def test_gradients_flow_to_gains_and_values():
    layer = nn.Sequential(nn.Identity())
    x = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    gain = torch.rand(2, dtype=torch.float32, requires_grad=True)
    value = torch.rand(2, dtype=torch.float32, requires_grad=True)
    with hooks.ablate(layer, "0", [0, 2], gain, value):
        layer(x).sum().backward()
    maps = x[:, [0, 2]].sum(dim=(0, 2, 3)).float()
    torch.testing.assert_close(gain.grad, maps - 32 * value.detach())
    torch.testing.assert_close(value.grad, 32 * (1 - gain.detach()))


def test_edits_of_one_layer_act_in_the_order_they_were_made(generator, config):
    z = dp.latents.sample(config, 2, seed=0)
    half = hooks.ablate(generator, "8x8", [1], gain=0.5)
    up = hooks.ablate(generator, "8x8", [1], value=3.0)
    with up, half, hooks.record(generator, "8x8") as seen:
        generator(z)
    assert (seen["8x8"][:, 1] == 1.5).all()
    with half, up, hooks.record(generator, "8x8") as seen:
        generator(z)
    assert (seen["8x8"][:, 1] == 3).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gain": [0.5]}, "layer '8x8': found 1 gains, expected 1 or 2"),
        ({"value": torch.zeros(2, 1)}, "layer '8x8': found 2x1 values, expected 1 or 2"),
        ({"gain": float("nan")}, "layer '8x8': found a gain that is not a finite number"),
        ({"value": [0.0, float("inf")]}, "layer '8x8': found a value that is not a finite number"),
        ({"where": torch.ones(8, 8)}, "layer '8x8': found where of torch.float32, expected bool"),
        ({"filters": [1, 1]}, "layer '8x8': found a filter twice, expected each once"),
        (
            {"filters": torch.tensor([True, False])},  # not filters 1 and 0
            "layer '8x8': found a mask as filters, expected a list of whole numbers",
        ),
        (
            {"filters": [0.0, 1.7]},
            "layer '8x8': found 1-d float32 as filters, expected a list of whole numbers",
        ),
        ({"filters": "3"}, "layer '8x8': found '3' as filters, expected a list of whole numbers"),
        ({"filters": None}, "layer '8x8': found None as filters, expected a list of whole numbers"),
        ({"filters": True}, "layer '8x8': found a mask as filters, expected a list of whole.*"),
        ({"filters": 99}, "layer '8x8': found filter 99, expected 0 to .*"),
    ],
)
def test_an_edit_that_makes_no_sense_is_refused_at_once(generator, given, message):
    with pytest.raises(InputError, match=f"^{message}$"):
        hooks.ablate(generator, "8x8", **({"filters": [0, 1]} | given))
    assert hook_count(generator) == 0


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("8x8", (4, 4), r"found where of shape \(4, 4\), expected \(8, 8\) or \(2, 8, 8\)"),
        ("8x8", (3, 8, 8), r"found where of shape \(3, 8, 8\), expected \(8, 8\) or \(2, 8, 8\)"),
        ("4x4.linear", (4, 4), "found values without places, expected maps"),
    ],
)
def test_a_mask_that_does_not_fit_the_maps_is_refused(generator, config, name, shape, message):
    where = torch.ones(shape, dtype=torch.bool)
    with (
        pytest.raises(InputError, match=f"^layer '{name}': {message}$"),
        hooks.ablate(generator, name, [0], where=where),
    ):
        generator(dp.latents.sample(config, 2, seed=0))
    assert hook_count(generator) == 0


def test_ablations_compose_and_lift_in_any_order(generator, config):
    z = dp.latents.sample(config, 2, seed=0)
    plain = generator(z)
    with hooks.ablate(generator, "8x8", [1, 2]):
        both = generator(z)
    first, second = (hooks.ablate(generator, "8x8", [f]) for f in (1, 2))
    first.__enter__()
    second.__enter__()
    assert torch.equal(generator(z), both)
    first.__exit__()
    second.__exit__()
    assert torch.equal(generator(z), plain)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.sampled_from(["record", "ablate", "patch", "stop"]), st.integers(0, 3)),
        max_size=5,
    ),
    st.booleans(),
)
def test_nothing_remains_after_an_exception_or_without_one(steps, fail):
    network = nn.Sequential(*[nn.Conv2d(2, 2, 1) for _ in range(4)])
    x = torch.randn(1, 2, 2, 2)
    before = network(x)

    class Failure(Exception):
        pass

    def nest(rest):
        if not rest:
            network(x)
            if fail:
                raise Failure
            return
        (kind, at), *rest = rest
        if kind == "stop":
            hooks.activations(network, str(at), x)
            nest(rest)
            return
        cms = {
            "record": lambda: hooks.record(network, str(at)),
            "ablate": lambda: hooks.ablate(network, str(at), [0]),
            "patch": lambda: hooks.patch(network, str(at), torch.zeros(1, 2, 2, 2)),
        }
        with cms[kind]():
            assert hook_count(network) > 0
            nest(rest)

    if fail:
        with pytest.raises(Failure):
            nest(steps)
    else:
        nest(steps)
    assert hook_count(network) == 0
    assert torch.equal(network(x), before)


def test_nothing_remains_after_a_name_that_is_not_there(generator):
    unknown = "unknown layer '9x9', expected one of: 4x4, 8x8"
    with pytest.raises(InputError, match=unknown), hooks.record(generator, "4x4", "9x9"):
        pass
    assert hook_count(generator) == 0


def test_a_filter_that_is_not_there_is_named_and_leaves_nothing(generator, config):
    z = dp.latents.sample(config, 1, seed=0)
    wrong = "layer '8x8': found filter 8, expected 0 to 7"
    with pytest.raises(InputError, match=wrong), hooks.ablate(generator, "8x8", [0, 8]):
        generator(z)
    assert hook_count(generator) == 0


@pytest.mark.parametrize("name", ["4x4", "8x8", "8x8.conv", "16x16.norm", "32x32"])
def test_tail_after_head_is_the_whole(generator, config, name):
    z = dp.latents.sample(config, 3, seed=1)
    rest = hooks.tail(generator, name)
    assert torch.equal(rest(hooks.activations(generator, name, z)), generator(z))


def test_hooks_on_layers_after_the_cut_act_in_the_tail(generator, config):
    z = dp.latents.sample(config, 2, seed=1)
    head, rest = hooks.activations(generator, "4x4", z), hooks.tail(generator, "4x4")
    with hooks.ablate(generator, "8x8", [0, 3]):
        assert torch.equal(rest(head), generator(z))


def test_patch_puts_maps_in_place_of_those_of_the_layer_alone():
    network = Residual().eval()
    x, maps = torch.randn(2, 3, 8, 8), torch.randn(2, 4, 8, 8, requires_grad=True)
    with hooks.patch(network, "inner", maps):
        found = network(x)
        torch.testing.assert_close(network(x), found)  # the second forward as the first
    wanted = network.after(torch.relu(network.before(x) + maps))
    torch.testing.assert_close(found, wanted)
    (ours,) = torch.autograd.grad(found.sum(), maps)
    (theirs,) = torch.autograd.grad(wanted.sum(), maps)
    torch.testing.assert_close(ours, theirs)


def test_patch_leaves_the_given_maps_as_they_are():
    network, maps = in_place(), torch.randn(1, 4, 3, 3)
    before = maps.clone()
    with torch.no_grad(), hooks.patch(network, "0", maps):
        network(torch.zeros(1, 3, 5, 5))
    assert torch.equal(maps, before)


def test_patch_refuses_other_shapes_and_layers_that_are_called_again():
    network, x = Residual(), torch.randn(2, 3, 8, 8)
    line = "layer 'inner': found maps of 1 x 4 x 8 x 8, expected 2 x 4 x 8 x 8"
    with (
        pytest.raises(InputError, match=line),
        hooks.patch(network, "inner", torch.zeros(1, 4, 8, 8)),
    ):
        network(x)
    network.after = network.inner
    again = pytest.raises(InputError, match="layer 'inner': the forward calls it again")
    with again, hooks.patch(network, "inner", torch.zeros(2, 4, 8, 8)):
        network(x)
    assert hook_count(network) == 0


def test_tail_of_a_residual_network_can_be_cut_after_the_sum_only():
    network = Residual().eval()
    x = torch.randn(2, 3, 8, 8)
    rest = hooks.tail(network, "before")
    assert torch.equal(rest(network.before(x)), network(x))
    with pytest.raises(hooks.Uncut, match=r"cannot run on from layer 'inner': the input also"):
        hooks.tail(network, "inner")


def test_tail_refuses_a_forward_that_branches_on_values():
    with pytest.raises(hooks.Uncut, match="cannot be traced"):
        hooks.tail(Branching(), "one")


def test_a_layer_that_puts_out_several_tensors_is_refused():
    network = nn.Sequential(nn.LSTM(2, 2))
    with pytest.raises(InputError, match="layer '0': outputs a tuple, expected one tensor"):
        hooks.activations(network, "0", torch.zeros(1, 1, 2))


def test_a_layer_that_is_never_reached_is_refused():
    with pytest.raises(InputError, match="layer 'one' is not reached"):
        hooks.activations(Branching(), "one", torch.zeros(1, 3))


class Unused(nn.Module):
    """A forward that calls no part of its list, and of its convolutions the first."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList([nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)])

    def forward(self, x):
        return nn.functional.conv2d(self.parts[0](x), self.parts[1].weight)


@pytest.mark.parametrize("name", ["parts", "parts.1"])
@pytest.mark.parametrize(
    "hook",
    [
        lambda *layer: hooks.ablate(*layer, [0]),
        lambda *layer: hooks.edit(*layer, torch.zeros_like),
        lambda *layer: hooks.patch(*layer, torch.zeros(1, 3, 4, 4)),
        hooks.record,
    ],
)
def test_a_hook_that_never_acts_is_not_silent(name, hook):
    network, x = Unused(), torch.randn(1, 3, 4, 4)
    with pytest.raises(InputError, match=f"^Unused: layer '{name}' is not reached"):  # noqa: SIM117
        with hook(network, name):
            network(x)
    assert hook_count(network) == 0
    with hooks.edit(network, "parts.0", torch.zeros_like), hooks.unedited(network):
        assert network(x).any()
    with hooks.ablate(network, "parts.1", [0]):  # a forward of a part may not reach others
        network.parts[0](x)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_which_ignores_hooks_is_refused():
    x = torch.randn(1, 3, 4, 4)
    network = nn.Sequential(torch.jit.trace(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()), x))
    with pytest.raises(InputError, match=r"layer '0\.1' is inside TorchScript"):
        hooks.ablate(network, "0.1", [0])
    with hooks.ablate(network, "0", [0, 1, 2]):
        assert not network(x).any()


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (lambda maps: None, "a NoneType as edited maps, expected a tensor"),
        (lambda maps: maps.numpy(), "a ndarray as edited maps, expected a tensor"),
        (
            lambda maps: maps.double(),
            "edited maps of 1 x 2 float64, expected 1 x 2 float32",
        ),
    ],
)
def test_an_edit_that_returns_no_such_maps_is_told(function, found):
    network = nn.Sequential(nn.Identity(), nn.Identity())
    with (
        pytest.raises(InputError, match=f"layer '0': found {found}$"),
        hooks.edit(network, "0", function),
    ):
        network(torch.ones(1, 2))


def test_the_first_input_is_edited_by_its_name_too():
    class Named(nn.Module):
        def forward(self, z, scale=1):
            return z * scale

    with hooks.edit_input(module := Named(), lambda z: z + 1):
        assert module(z=torch.ones(1), scale=3) == module(torch.ones(1), 3) == 6
        with pytest.raises(InputError, match="Named: found a forward without its first input"):
            module(scale=3)


@pytest.mark.parametrize("one", [3, np.int64(3), torch.tensor(3), np.array(3)])
def test_a_number_alone_is_one_filter(generator, config, one):
    z = dp.latents.sample(config, 2, seed=0)
    with hooks.ablate(generator, "8x8", one), hooks.record(generator, "8x8") as seen:
        generator(z)
    assert torch.where(seen["8x8"].flatten(2).eq(0).all(2).all(0))[0].tolist() == [3]


def test_a_mask_of_places_may_be_an_array():
    network = nn.Sequential(nn.Identity(), nn.Identity())
    with hooks.ablate(network, "0", np.array([0]), where=np.array([[True, False]])):
        assert network(torch.ones(1, 1, 1, 2)).tolist() == [[[[0, 1]]]]


def test_unedited_suspends_edits_and_nothing_else():
    module = nn.Sequential(nn.Identity(), nn.Identity())
    seen: list[float] = []
    own = module[1].register_forward_hook(lambda _m, _i, out: seen.append(float(out)))
    x = torch.ones(1)
    with hooks.edit(module, "0", lambda maps: maps * 3), hooks.edit(module, "1", lambda m: m + 1):
        assert float(module(x)) == 4
        with hooks.unedited(module):
            assert float(module(x)) == 1
            with hooks.edit(module, "0", lambda maps: maps * 5):  # made inside: it acts
                assert float(module(x)) == 5
        assert float(module(x)) == 4
    own.remove()
    assert float(module(x)) == 1 and seen == [3, 1, 5, 3]


def test_the_cache_holds_what_every_layer_put_out():
    network = in_place()
    x = torch.randn(2, 3, 8, 8)
    output, cache = hooks.run_with_cache(network, x)
    first = nn.functional.conv2d(x, network[0].weight, network[0].bias)
    assert list(cache) == ["0", "1", "2"]
    assert torch.equal(cache["0"], first)
    assert torch.equal(cache["1"], first.relu())
    assert torch.equal(cache["2"], output)
    assert hook_count(network) == 0


@pytest.mark.parametrize("name", ["8x8", "8x8.conv", "8x8.norm", "4x4.linear"])
def test_a_filter_above_the_count_is_refused_before_any_forward(generator, config, name):
    count = hooks.activations(generator, name, dp.latents.sample(config, 1, seed=0)).shape[1]
    hooks.ablate(generator, name, [count - 1])
    with pytest.raises(InputError, match=f"found filter {count}, expected 0 to {count - 1}"):
        hooks.ablate(generator, name, [count])


def test_a_subclass_may_put_out_any_number_of_filters():
    class Doubled(nn.Conv2d):
        def forward(self, x):
            return super().forward(x).repeat(1, 2, 1, 1)

    network = nn.Sequential(Doubled(3, 4, 1))
    with hooks.ablate(network, "0", [7]):
        assert network(torch.ones(1, 3, 2, 2))[0, 7].abs().max() == 0


def test_collect_before_an_in_place_relu_gives_the_values_before_it():
    module, x = in_place(), torch.randn(2, 3, 8, 8)
    seen = hooks.collect(module, ("0", "2"), x)
    assert torch.equal(seen["0"], module[0](x)) and (seen["0"] < 0).any()
