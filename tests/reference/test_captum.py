"""Guided backpropagation beside captum's, which covers ReLU networks."""

from __future__ import annotations

import warnings

import pytest
import torch
from captum.attr import GuidedBackprop as CaptumGuidedBackprop
from captum.attr import NeuronGuidedBackprop, Saliency
from torch import nn
from torch.nn import functional as F

from dcgan_probe import hooks
from dcgan_probe.attribution import chain
from dcgan_probe.attribution.guided import GuidedBackprop
from dcgan_probe.errors import InputError

pytestmark = pytest.mark.filterwarnings(
    "ignore:Setting backward hooks", "ignore:Input Tensor 0 did not already require gradients"
)


def relu_network(in_place: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=in_place),
        nn.Conv2d(8, 6, 3, stride=2),
        nn.ReLU(inplace=in_place),
        nn.Flatten(),
        nn.Linear(6 * 3 * 3, 5),
    ).eval()


def as_leaky(discriminator: nn.Module, slope: float) -> nn.Module:
    for part in discriminator.modules():
        if isinstance(part, nn.LeakyReLU):
            part.negative_slope = slope
    return discriminator


X = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("rule", ["leak", "strict"])
@pytest.mark.parametrize("in_place", [False, True])
def test_on_relu_both_rules_equal_captum(rule, in_place):
    expected = CaptumGuidedBackprop(relu_network()).attribute(X.clone(), target=2)
    found = GuidedBackprop(relu_network(in_place), rule).attribute(X, target=2)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("rule", ["leak", "strict"])
def test_neurons_in_one_batch_equal_captum_one_by_one(rule):
    network = relu_network()
    neurons = [(0, 0, 1), (3, 2, 2), (5, 1, 0), (0, 2, 2)]
    expected = [
        NeuronGuidedBackprop(network, network[3]).attribute(x[None].clone(), neuron)
        for x, neuron in zip(X, neurons, strict=True)
    ]
    filters, rows, columns = torch.tensor(neurons).T
    guided = GuidedBackprop(network, rule)
    for way in (guided.attribute_neurons, guided.attribute_neurons_by_autograd):
        found = way(X, "3", torch.arange(4), filters, rows, columns)
        torch.testing.assert_close(found, torch.cat(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize("rule", ["leak", "strict"])
@pytest.mark.parametrize("layer", ["16x16", "8x8", "4x4", "4x4.conv", "4x4.norm"])
def test_a_chain_by_hand_is_autograd(discriminator, rule, layer):
    x = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    which = torch.tensor([0, 2, 1, 0, 2, 2])
    filters = torch.tensor([0, 3, 1, 2, 2, 0])
    rows, columns = torch.tensor([[0, 3, 1, 2, 3, 0], [3, 0, 2, 1, 3, 0]])
    guided = GuidedBackprop(discriminator, rule)
    assert chain.follow(discriminator, layer, x) is not None
    by_hand = guided.attribute_neurons(x, layer, which, filters, rows, columns)
    expected = guided.attribute_neurons_by_autograd(x, layer, which, filters, rows, columns)
    assert expected.abs().amax() > 1e-3  # "strict" is zero where a neuron is below zero
    torch.testing.assert_close(by_hand, expected, atol=1e-6 * expected.abs().max(), rtol=1e-4)


def test_what_is_no_chain_is_left_to_autograd(discriminator):
    x = torch.zeros(2, 3, 32, 32)
    assert chain.follow(discriminator, "4x4", x) is not None
    with hooks.ablate(discriminator, "8x8", [0]):
        assert chain.follow(discriminator, "4x4", x) is None
    with hooks.ablate(discriminator, "8x8.conv", [0]):
        assert chain.follow(discriminator, "4x4", x) is None
    assert chain.follow(discriminator, "score", x) is None
    smooth = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Tanh(), nn.Conv2d(2, 2, 3), nn.ReLU()).eval()
    assert chain.follow(smooth, "3", x) is None
    assert chain.follow(nn.Sequential(nn.Conv2d(3, 2, 3)).eval(), "0", x) is None
    assert not any(part._forward_hooks for part in discriminator.modules())


def test_captum_is_the_plain_gradient_on_leaky_relu_and_ours_is_not(discriminator):
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    plain = Saliency(discriminator).attribute(x.clone(), abs=False)
    captum = CaptumGuidedBackprop(discriminator).attribute(x.clone())
    torch.testing.assert_close(captum, plain)
    for rule in ("leak", "strict"):
        ours = GuidedBackprop(discriminator, rule).attribute(x)
        assert F.cosine_similarity(ours.flatten(1), plain.flatten(1)).max() < 0.95


def test_leak_on_a_leaky_network_by_hand():
    network = nn.Sequential(
        nn.Linear(3, 3, bias=False), nn.LeakyReLU(0.2), nn.Linear(3, 1, bias=False)
    )
    with torch.no_grad():
        network[0].weight.copy_(torch.eye(3))
        network[2].weight.copy_(torch.tensor([[2.0, 3.0, -4.0]]))
    x = torch.tensor([[1.0, -1.0, 1.0]])
    network.eval()
    leak = GuidedBackprop(network, "leak").attribute(x)
    strict = GuidedBackprop(network, "strict").attribute(x)
    torch.testing.assert_close(leak, torch.tensor([[2.0, 0.6, 0.0]]))
    torch.testing.assert_close(strict, torch.tensor([[2.0, 0.0, 0.0]]))


def test_strict_is_captum_on_the_same_network_with_a_slope_of_nearly_zero(discriminator):
    """A LeakyReLU of slope 0 is a ReLU: both rules must meet captum's result on the ReLU twin."""
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    twin = nn.Sequential(*discriminator.children())
    flat = [m for block in twin for m in block]
    relu = nn.Sequential(*[nn.ReLU() if isinstance(m, nn.LeakyReLU) else m for m in flat]).eval()
    expected = CaptumGuidedBackprop(relu).attribute(x.clone())
    assert expected.abs().max() > 0
    leaky = as_leaky(discriminator, 0.0)
    for rule in ("leak", "strict"):
        torch.testing.assert_close(
            GuidedBackprop(leaky, rule).attribute(x), expected, atol=1e-6, rtol=0
        )


def test_a_skip_connection_keeps_its_own_gradient():
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.same = nn.Linear(2, 2, bias=False)  # without it the sum is one activation of x
            self.act = nn.ReLU()
            nn.init.eye_(self.same.weight)

        def forward(self, x):
            return (self.act(self.same(x)) * -1 + x * -3).sum(dim=1)

    found = GuidedBackprop(Skip().eval()).attribute(torch.tensor([[2.0, -1.0]]))
    assert found.tolist() == [[-3.0, -3.0]]


def test_it_refuses_to_fall_silent():
    with pytest.raises(InputError, match="found no ReLU or LeakyReLU on the way"):
        GuidedBackprop(nn.Sequential(nn.Linear(3, 1)).eval()).attribute(torch.zeros(1, 3))


def test_an_activation_called_as_a_function_is_guided():
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.LeakyReLU()

        def forward(self, x):
            return -F.leaky_relu(-self.act(x), 0.2).sum(dim=1)

    # Through the function comes 1, whose sign the two minuses turn twice.
    found = GuidedBackprop(Functional().eval()).attribute(torch.tensor([[2.0, -1.0]]))
    assert found.tolist() == [[0.0, 0.0]]


def test_an_activation_that_writes_in_place_between_layers_is_guided():
    class Writing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.act = nn.Conv2d(3, 4, 3), nn.ReLU()
            self.second, self.last = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 3)

        def forward(self, x):
            return self.last(self.write(self.second(self.act(self.first(x)))))

    torch.manual_seed(0)
    neuron = torch.zeros(4, 1, dtype=torch.long)
    network, x = Writing().eval(), torch.randn(1, 3, 9, 9)
    network.write = F.relu_
    found = GuidedBackprop(network).attribute_neurons(x, "last", *neuron)
    network.write = nn.ReLU()
    expected = GuidedBackprop(network).attribute_neurons(x, "last", *neuron)
    torch.testing.assert_close(found, expected)


def test_it_refuses_training_mode_and_an_unknown_rule(discriminator):
    with pytest.raises(InputError, match="found training mode, expected eval"):
        GuidedBackprop(discriminator.train()).attribute(torch.zeros(1, 3, 32, 32))
    with pytest.raises(InputError, match="unknown rule 'soft', expected one of: leak, strict"):
        GuidedBackprop(discriminator, "soft")


def test_it_leaves_no_hook_and_no_gradient_behind(discriminator):
    x = torch.zeros(1, 3, 32, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GuidedBackprop(discriminator).attribute(x)
    with pytest.raises(InputError):
        GuidedBackprop(discriminator).attribute_neurons(
            x, "9x9", *torch.zeros(4, 1, dtype=torch.long)
        )
    assert not any(part._forward_pre_hooks for part in discriminator.modules())
    assert not x.requires_grad
    assert all(p.grad is None for p in discriminator.parameters())


def test_images_of_a_batch_do_not_meet(discriminator):
    x = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    filters, rows, columns = torch.tensor([[0, 3, 1, 7, 2], [0, 1, 2, 3, 0], [3, 2, 1, 0, 0]])
    guided = GuidedBackprop(discriminator)
    together = guided.attribute_neurons(x, "4x4", torch.arange(5), filters, rows, columns)
    for i in range(5):
        one = slice(i, i + 1)
        neuron = (torch.tensor([0]), filters[one], rows[one], columns[one])
        alone = guided.attribute_neurons(x[one], "4x4", *neuron)
        torch.testing.assert_close(together[one], alone, atol=1e-6, rtol=1e-5)
