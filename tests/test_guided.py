"""Guided backpropagation: on networks that are almost torch's, and as captum's users use it."""

from __future__ import annotations

import types
import warnings
from typing import Any

import captum.attr as captum_attr
import pytest
import torch
from captum.attr import NoiseTunnel
from captum.metrics import infidelity, sensitivity_max
from captum.testing.helpers.basic_models import (
    BasicModel_ConvNet,
    BasicModel_ConvNet_One_Conv,
    BasicModel_MultiLayer,
)
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from dcgan_probe.attribution import GuidedBackprop, NeuronGuidedBackprop, chain
from dcgan_probe.errors import InputError


class Rule(torch.autograd.Function):
    """Springenberg et al.: positive gradients alone pass; the slope below zero is kept."""

    @staticmethod
    def forward(ctx, x, slope):
        ctx.save_for_backward(x)
        ctx.slope = slope
        return torch.where(x > 0, x, slope * x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return torch.where(x > 0, 1.0, ctx.slope) * g.clamp_min(0), None


def rule(slope):
    return lambda x: Rule.apply(x, slope)


class EqualConv(nn.Conv2d):
    """Equalized learning rate."""

    def forward(self, x):
        scale = (2 / self.weight[0].numel()) ** 0.5
        return F.conv2d(x, self.weight * scale, self.bias, self.stride, self.padding)


class SameConv(nn.Conv2d):
    """TensorFlow's padding."""

    def forward(self, x):
        return F.conv2d(F.pad(x, [1, 2, 1, 2]), self.weight, self.bias, self.stride)


class CenteredNorm(nn.BatchNorm2d):
    def forward(self, x):
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class Softened(nn.LeakyReLU):
    """A LeakyReLU by name only."""

    def forward(self, x):
        return torch.max(x, 0.5 * x)


def replaced(*args):
    module = nn.Conv2d(*args)
    module.forward = types.MethodType(EqualConv.forward, module)
    return module


def network(conv=nn.Conv2d, norm=nn.BatchNorm2d, act=lambda: nn.LeakyReLU(0.2), size=4):
    torch.manual_seed(0)
    shape = (size, 2, 1) if conv is not SameConv else (5, 2)
    net = nn.Sequential(
        conv(3, 6, *shape), act(), conv(6, 8, *shape), norm(8), act(), conv(8, 10, *shape)
    )
    for part in net:
        if isinstance(part, nn.BatchNorm2d):
            part.running_var.uniform_(0.5, 2)
            nn.init.normal_(part.weight, 0, 1)
    return net.eval()


KINDS: dict[str, Any] = {
    "plain": {},
    "equalized": {"conv": EqualConv},
    "TensorFlow's padding": {"conv": SameConv},
    "forward replaced": {"conv": replaced},
    "another norm": {"norm": CenteredNorm},
    "another activation": {"act": Softened},
    "negative slope": {"act": lambda: nn.LeakyReLU(-0.3)},
    "in place": {"act": lambda: nn.LeakyReLU(0.2, True)},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["leak", "strict"])
def test_neurons_are_those_of_a_network_whose_activations_have_the_rule(kind, how):
    net, x = network(**KINDS[kind]), torch.randn(3, 3, 32, 32)
    i, two = torch.arange(3), torch.full((3,), 2)
    found = GuidedBackprop(net, how).attribute_neurons(x, "5", i, i, two, two)
    slope = {"another activation": 0.5, "negative slope": -0.3}.get(kind, 0.2)
    y = x.clone().requires_grad_()
    maps = y
    for part in net:
        if isinstance(part, nn.LeakyReLU):
            maps = Strict.apply(maps, slope) if how == "strict" else Rule.apply(maps, slope)
        else:
            maps = part(maps)
    (right,) = torch.autograd.grad(maps[i, i, two, two].sum(), y)
    torch.testing.assert_close(found, right)
    slow = GuidedBackprop(net, how).attribute_neurons_by_autograd(x, "5", i, i, two, two)
    torch.testing.assert_close(slow, right)


class Strict(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, slope):
        ctx.save_for_backward(x)
        return torch.where(x > 0, x, slope * x)

    @staticmethod
    def backward(ctx, g):
        return ctx.saved_tensors[0].gt(0) * g.clamp_min(0), None


def test_the_fast_path_is_for_the_exact_functions_only():
    x = torch.randn(2, 3, 32, 32)
    for kind, options in KINDS.items():
        fast = chain.follow(network(**options), "5", x) is not None
        assert fast == (kind in ("plain", "negative slope")), kind


FUNCTIONS = {
    "F.leaky_relu": (lambda x: F.leaky_relu(x, 0.2), 0.2),
    "max(x, .2 x)": (lambda x: torch.max(x, 0.2 * x), 0.2),
    "maximum, other order": (lambda x: torch.maximum(0.2 * x, x), 0.2),
    "where": (lambda x: torch.where(x > 0, x, 0.2 * x), 0.2),
    "where not": (lambda x: torch.where(x <= 0, 0.2 * x, x), 0.2),
    "clamp": (lambda x: x.clamp(min=0), 0.0),
    "clamp_min": (lambda x: torch.clamp_min(x, 0), 0.0),
    "relu": (lambda x: x.relu(), 0.0),
    "relu in place": (lambda x: F.relu(x, inplace=True), 0.0),
    "relu_": (lambda x: torch.relu_(x) * 1, 0.0),
    "maximum with 0": (lambda x: torch.maximum(x, torch.zeros(())), 0.0),
    "mask": (lambda x: x * (x > 0), 0.0),
    "mask of numbers": (lambda x: (x > 0).float() * x, 0.0),
    "mask of slopes": (lambda x: x * torch.where(x > 0, 1.0, 0.2), 0.2),
    "masked_fill": (lambda x: x.masked_fill(x < 0, 0), 0.0),
    "product in place": (lambda x: (1 * x).mul_(x > 0), 0.0),
    "threshold": (lambda x: F.threshold(x, 0, 0), 0.0),
    "two ReLUs": (lambda x: torch.relu(x) - 0.2 * torch.relu(-x), 0.2),
    "two ReLUs, added": (lambda x: torch.add(F.relu(x), F.relu(x.neg()), alpha=-0.2), 0.2),
    "ReLU and x": (lambda x: 0.8 * torch.relu(x) + 0.2 * x, 0.2),
    "clamped on both sides": (lambda x: x.clamp(min=0) + 0.2 * x.clamp(max=0), 0.2),
    "minimum with zeros": (
        lambda x: torch.relu(x) + 0.2 * torch.minimum(x, torch.zeros_like(x)),
        0.2,
    ),
    "minimum": (lambda x: torch.relu(x) + 0.2 * torch.minimum(x, torch.zeros(())), 0.2),
    "abs": (lambda x: 0.6 * x + 0.4 * x.abs(), 0.2),
    "abs, summed in halves": (lambda x: 0.1 * x + 0.4 * x.abs() + 0.5 * x, 0.2),
    "abs alone": (lambda x: (x + x.abs()) / 2, 0.0),
    "half leaked": (lambda x: 0.5 * (F.leaky_relu(x, 0.1) + F.leaky_relu(x, 0.3)), 0.2),
}


class Functional(nn.Module):
    def __init__(self, act, first=None):
        super().__init__()
        torch.manual_seed(0)
        self.first = first or act
        self.c1, self.c2, self.c3 = (nn.Conv2d(a, b, 4, 2, 1) for a, b in ((3, 6), (6, 8), (8, 10)))
        self.head, self.relu, self.act = nn.Linear(3, 3), nn.ReLU(), act

    def forward(self, x):
        beside = self.relu(self.head(self.relu(self.head(x.mean((2, 3))))))
        y = self.c3(self.act(self.c2(self.first(self.c1(x)))))
        return y + beside.sum() * 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_activations_that_are_functions_are_guided(name):
    act, slope = FUNCTIONS[name]
    net, x = Functional(act).eval(), torch.randn(3, 3, 32, 32)
    i, two = torch.arange(3), torch.full((3,), 2)
    found = GuidedBackprop(net).attribute_neurons(x, "c3", i, i, two, two)
    y = x.clone().requires_grad_()
    maps = net.c3(rule(slope)(net.c2(rule(slope)(net.c1(y)))))
    (right,) = torch.autograd.grad(maps[i, i, two, two].sum(), y)
    torch.testing.assert_close(found, right)


class OwnFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, g):
        return g


def written_into(x):
    y = x.clone()
    y[y < 0] *= 0.2
    return y


def over_maps(largest):
    """The largest of pairs of feature maps, which are the last axis for a while."""
    return lambda x: largest(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).repeat(1, 2, 1, 1)


SLOPES = torch.linspace(0.1, 0.3, 8)[:, None, None]


@pytest.mark.parametrize(
    ("act", "name"),
    [
        (F.silu, "Silu"),
        (lambda x: 0.4 * x + 0.6 * x.abs(), "Abs"),
        (lambda x: torch.relu(x) + 0.2 * torch.relu(-x), "Add of ReLU and another function"),
        (lambda x: torch.relu(x) - torch.relu(x - 0.01), "Sub of ReLU and another function"),
        (lambda x: torch.relu(x) - SLOPES * torch.relu(-x), "Sub of ReLU and another"),
        (lambda x: torch.relu(x) + torch.relu(-x).mul_(-0.2), "Add of ReLU and another"),
        (lambda x: x * torch.relu(x), "Mul of two functions of one tensor"),
        (lambda x: torch.sqrt(x * x + 1e-3) + x, "Sqrt"),
        (lambda x: (x**2 + 1e-3) ** 0.5, "Pow"),
        (lambda x: torch.maximum(x.flip(1), x), "Maximum"),
        (lambda x: torch.fmax(x.flip(1), x), "Fmax"),
        (lambda x: torch.stack([x, x.flip(1)]).max(0).values, "Max of several feature maps"),
        (lambda x: torch.hypot(x, torch.tensor(1e-3)), "Hypot"),
        (lambda x: torch.logaddexp(x, torch.zeros(())), "Logaddexp"),
        (lambda x: torch.stack([x, x.flip(1)], 1).amax(1), "Amax of several feature maps"),
        (lambda x: torch.stack([x, x.flip(1)], 1).max(1).values, "Max of several feature maps"),
        (lambda x: torch.where(x > 1, x, 0.2 * x), "Where"),
        (lambda x: x.clamp(-1, 1), "Clamp"),
        (OwnFunction.apply, "OwnFunction"),
        (lambda x: torch.max(x, 0.2 * x + 1), "Maximum"),
        (lambda x: x * (x > 0) + 0.2 * x * (x <= 0), "mul with a mask"),
        (lambda x: torch.lerp(0.2 * x, x, (x > 0).float()), "lerp with a mask"),
        (lambda x: x * (torch.sign(x.detach()) + 1) / 2, "mul with a mask"),
        (written_into, "setitem with a mask"),
        (lambda x: x * torch.sigmoid(x), "Sigmoid"),
        (torch.tanh, "Tanh"),
        (lambda x: F.glu(torch.cat([x, x], 1), 1), "Glu"),
        (lambda x: x.softmax(1), "Softmax"),
        (lambda x: x.log_softmax(1), "LogSoftmax"),
        (lambda x: x * x.softmax(1), "Mul of two functions of one tensor"),
        (lambda x: x.logsumexp(1, keepdim=True).expand_as(x), "Logsumexp"),
        (lambda x: torch.copysign(x, torch.ones(())), "Copysign"),
        (lambda x: x * torch.copysign(torch.ones(()), x), "Copysign"),
        (lambda x: x.sort(1).values, "Sort"),
        (lambda x: x.topk(8, 1).values, "Topk"),
        (lambda x: x.kthvalue(2, 1, keepdim=True).values.expand_as(x), "Kthvalue"),
        (lambda x: x.cummax(1).values, "Cummax"),
        (lambda x: x.quantile(0.9, 1, keepdim=True).expand_as(x), "Sort"),
        (lambda x: F.max_pool3d(x[:, None], (3, 1, 1), 1, (1, 0, 0))[:, 0], "MaxPool3D"),
        (
            over_maps(lambda x: F.max_pool1d(x.flatten(1, 2), 2).unflatten(1, (8, 8))),
            "MaxPool2DWithIndices of several feature maps",
        ),
        (over_maps(lambda x: F.max_pool2d(x, (1, 2))), "MaxPool2DWithIndices of several feature"),
        (over_maps(lambda x: F.adaptive_max_pool2d(x, (8, 4))), "AdaptiveMaxPool2D of several"),
        (
            over_maps(lambda x: F.max_pool2d(torch.cat([x[..., :3], x[..., 3:]], 3), (1, 2))),
            "MaxPool2DWithIndices of several feature maps",
        ),
        (
            lambda x: torch.stack(x.chunk(2, 1), 4).max(4).values.repeat(1, 2, 1, 1),
            "Max of several feature maps",
        ),
        (over_maps(lambda x: x.unfold(3, 2, 2).amax(-1)), "Amax of several feature maps"),
        (over_maps(lambda x: x.unfold(3, 5, 1).amax(-1)), "Amax of several feature maps"),
        (
            lambda x: x.flatten(2).max(1, keepdim=True).values.expand_as(x.flatten(2)).view_as(x),
            "Max of several feature maps",
        ),
        (torch.sinc, "Sinc"),
        (torch.special.i0, "I0"),
    ],
)
def test_what_is_not_known_is_refused_by_name(act, name):
    """Beside a LeakyReLU that is known, which does not make up for it."""
    network = Functional(act, first=nn.LeakyReLU(0.2)).eval()
    one = torch.tensor([0])
    with pytest.raises(InputError, match=name):
        GuidedBackprop(network).attribute_neurons(
            torch.randn(1, 3, 32, 32), "c3", one, one, one, one
        )


class Preactivated(nn.Module):
    """A residual block, a CReLU, and a norm by hand, with whatever a ReLU is."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.c1, self.c2 = nn.Conv2d(3, 6, 4, 2, 1), nn.Conv2d(6, 6, 3, padding=1)
        self.c3, self.act = nn.Conv2d(12, 8, 3, padding=1), torch.relu

    def forward(self, x):
        x = self.c1(x)
        x = x + self.c2(self.act(x))
        x = x * torch.rsqrt((x**2).mean(1, keepdim=True) + 1e-8)
        x = (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), keepdim=True) + 1e-5).sqrt()
        return self.c3(torch.cat([self.act(x), self.act(-x)], 1))


def test_residual_blocks_and_pairs_of_relus_are_guided_relu_by_relu():
    net, x = Preactivated().eval(), torch.randn(2, 3, 16, 16)
    found = GuidedBackprop(net).attribute(x, target=(1, 3, 3))
    net.act = rule(0.0)
    y = x.clone().requires_grad_()
    (right,) = torch.autograd.grad(net(y)[:, 1, 3, 3].sum(), y)
    torch.testing.assert_close(found, right)


def test_maxout_of_two_layers_is_refused_beside_a_relu():
    class Maxout(Maps):
        def forward(self, x):
            return self.conv2(torch.maximum(self.conv1(x), self.conv1(self.relu(x))))

    with pytest.raises(InputError, match="found Maximum, expected ReLU and LeakyReLU"):
        GuidedBackprop(Maxout()).attribute(torch.randn(1, 3, 8, 8), target=(1, 2, 3))


class Chain(nn.Sequential):
    """Layers and functions, one after another."""

    def __init__(self, *parts):
        super().__init__(*(part for part in parts if isinstance(part, nn.Module)))
        self.parts = parts

    def forward(self, x):
        for part in self.parts:
            x = part(x)
        return x


def test_maxout_of_a_flat_layer_is_refused_and_the_largest_score_is_not():
    torch.manual_seed(0)
    first, relu = nn.Linear(6, 8), nn.ReLU()
    for largest in (
        lambda x: x.view(-1, 4, 2).amax(2),
        lambda x: F.max_pool1d(x[:, None], 2)[:, 0],
    ):
        maxout = Chain(first, relu, nn.Linear(8, 8), largest, nn.Linear(4, 3))
        with pytest.raises(
            InputError, match="of several feature maps, expected ReLU and LeakyReLU"
        ):
            GuidedBackprop(maxout).attribute(torch.randn(2, 6), target=1)
    scores = Chain(first, relu, nn.Linear(8, 3))
    best = Chain(*scores.parts, lambda x: x.amax(1))
    x = torch.randn(2, 6)
    torch.testing.assert_close(
        GuidedBackprop(best).attribute(x),
        GuidedBackprop(scores).attribute(x, target=scores(x).argmax(1)),
    )


SPATIAL = {
    "overlapping": lambda x: F.max_pool2d(x, 3, 1, 1),
    "of half the maps": lambda x: F.max_pool2d(x[:, 2:6], 2).repeat(1, 2, 1, 1),
    "of halves": lambda x: torch.cat([F.max_pool2d(part, 2) for part in x.chunk(2, 1)], 1),
    "of each map": lambda x: F.max_pool2d(x.view(-1, 1, 8, 8), 2).view(-1, 8, 4, 4),
    "of shuffled pixels": lambda x: F.max_pool2d(F.pixel_shuffle(x, 2), 4).repeat(1, 4, 1, 1),
    "global": lambda x: F.adaptive_max_pool2d(x, 1).expand(-1, -1, 4, 4),
    "maps last": lambda x: (
        x.permute(0, 2, 3, 1).amax((1, 2))[:, :, None, None].expand(-1, -1, 4, 4)
    ),
    "flat": lambda x: x.flatten(2).max(2).values[:, :, None, None].expand(-1, -1, 4, 4),
    "windows": lambda x: x.unfold(2, 3, 1).amax(-1),
    "of a CReLU": lambda x: F.max_pool2d(torch.cat([x, -x], 1), 2)[:, 4:12],
    "of columns": lambda x: torch.stack([x[..., ::2], x[..., 1::2]]).amax(0),
    "of a sum": lambda x: F.max_pool2d(x + x.mean((2, 3), keepdim=True), 2),
    "twice": lambda x: F.max_pool2d(F.max_pool2d(x, 2), 2),
}


@pytest.mark.parametrize("name", SPATIAL)
def test_the_largest_of_several_locations_passes_gradients(name):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), SPATIAL[name], nn.Conv2d(8, 4, 3, padding=1)]
    first, pool, last = layers
    x = torch.randn(2, 3, 8, 8)
    found = GuidedBackprop(Chain(first, nn.LeakyReLU(0.2), pool, last)).attribute(x, (1, 1, 1))
    y = x.clone().requires_grad_()
    (right,) = torch.autograd.grad(last(pool(rule(0.2)(first(y))))[:, 1, 1, 1].sum(), y)
    torch.testing.assert_close(found, right)


def test_pooling_of_a_network_of_one_dimension():
    torch.manual_seed(0)
    first, last, x = nn.Conv1d(3, 8, 3), nn.Conv1d(8, 4, 3), torch.randn(2, 3, 16)
    pool = nn.MaxPool1d(2)
    found = GuidedBackprop(nn.Sequential(first, nn.ReLU(), pool, last)).attribute(x, (1, 1))
    captums = captum_attr.GuidedBackprop(nn.Sequential(first, nn.ReLU(), pool, last))
    with warnings.catch_warnings(action="ignore"):
        expected = captums.attribute(x, (1, 1))
    torch.testing.assert_close(found, expected)
    maxout = Chain(first, nn.ReLU(), lambda x: pool(x.mT).mT.repeat(1, 2, 1), last)
    with pytest.raises(InputError, match="MaxPool2DWithIndices of several feature maps"):
        GuidedBackprop(maxout).attribute(x, (1, 1))


@pytest.mark.parametrize(
    ("reentrant", "line"), [(False, "under torch.utils.checkpoint"), (True, "CheckpointFunction")]
)
def test_parts_that_are_computed_again_are_refused_in_one_line(reentrant, line):
    class Again(Maps):
        def forward(self, x):
            part = torch.nn.Sequential(self.conv1, self.relu)
            return self.conv2(checkpoint(part, x, use_reentrant=reentrant))

    with pytest.raises(InputError, match=line) as raised:
        GuidedBackprop(Again()).attribute(torch.randn(1, 3, 8, 8), target=(1, 2, 3))
    assert "\n" not in str(raised.value)


def test_a_network_without_any_activation_is_refused():
    one = torch.tensor([0])
    with pytest.raises(InputError, match="found no ReLU or LeakyReLU on the way"):
        GuidedBackprop(Functional(lambda x: x).eval()).attribute_neurons(
            torch.randn(1, 3, 32, 32), "c3", one, one, one, one
        )


# As captum's users use it. The expected numbers are those of captum's own class on these models.


def same_as_captum(model, inputs, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        right = captum_attr.GuidedBackprop(model).attribute(inputs, **options)
    found = GuidedBackprop(model).attribute(inputs, **options)
    assert isinstance(found, tuple) == isinstance(right, tuple)
    pairs = zip(found, right, strict=True) if isinstance(found, tuple) else [(found, right)]
    for a, b in pairs:
        torch.testing.assert_close(a, b)


def test_a_convolutional_model_of_captum():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    same_as_captum(BasicModel_ConvNet_One_Conv(), x, target=0)
    x2 = torch.ones(1, 1, 4, 4)
    same_as_captum(BasicModel_ConvNet_One_Conv(), (x, x2), target=0)
    same_as_captum(BasicModel_ConvNet_One_Conv(), x, target=1, additional_forward_args=x2)
    same_as_captum(BasicModel_ConvNet(), 20 * torch.randn(6, 1, 10, 10), target=1)


ROWS = torch.tensor([[1.0, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]]).view(1, 1, 4, 4)
FIRST = torch.tensor([[0.0, 1, 1, 1], [1, 3, 3, 2], [1, 3, 3, 2], [1, 2, 2, 1]]).view(1, 1, 4, 4)


def test_the_values_of_captums_own_tests():
    """Its test_guided_backprop.py: one and two inputs, neurons by index, by slice, and all."""
    net, x = BasicModel_ConvNet_One_Conv(), torch.arange(16.0).view(1, 1, 4, 4)
    pair = (x, torch.ones(1, 1, 4, 4))
    neurons = NeuronGuidedBackprop(net, net.fc1)
    found = [
        (GuidedBackprop(net).attribute((x,), target=0), (FIRST,)),
        (GuidedBackprop(net).attribute(pair, target=0), (ROWS, ROWS)),
        (neurons.attribute((x,), neuron_selector=(0,)), (FIRST,)),
        (neurons.attribute((x,), neuron_selector=(slice(0, 1, 1),)), (FIRST,)),
        (neurons.attribute(pair, neuron_selector=(3,)), (ROWS, ROWS)),
    ]
    for attributions, right in found:
        torch.testing.assert_close(attributions, right)
    assert not GuidedBackprop(net).multiplies_by_inputs
    x = 100 * torch.randn(1, 1, 4, 4)
    for i in range(net(x).shape[1]):
        by_neuron = NeuronGuidedBackprop(net, net.relu2).attribute(x, (i,))
        torch.testing.assert_close(GuidedBackprop(net).attribute(x, target=i), by_neuron)


def test_captums_visualizer_draws_them():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    x = torch.randn(1, 3, 8, 8)
    maps = GuidedBackprop(Maps()).attribute(x, target=(1, 2, 3))
    picture, grey = (each[0].permute(1, 2, 0).numpy() for each in (maps, x.clamp(0, 1)))
    figure, _ = captum_attr.visualization.visualize_image_attr(
        picture, grey, method="blended_heat_map", sign="positive", use_pyplot=False
    )
    assert len(figure.axes) == 1


def test_neurons_of_flat_layers_are_those_of_captum():
    model, x = BasicModel_ConvNet_One_Conv(), 20 * torch.randn(2, 1, 4, 4)
    for neuron in (0, (1,), lambda maps: maps[:, :2].sum(1)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            right = captum_attr.NeuronGuidedBackprop(model, model.fc1).attribute(x, neuron)
        found = NeuronGuidedBackprop(model, model.fc1).attribute(x, neuron)
        torch.testing.assert_close(found, right)


class Maps(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.relu, self.conv2 = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3)

    def forward(self, x, scale=1.0):
        return self.conv2(self.relu(self.conv1(x))) * scale


class Attention(Maps):
    """The softmax of attention says how much of each location is taken; it is not an activation."""

    def forward(self, x):
        x = self.relu(self.conv1(x))
        queries = x.flatten(2)
        weights = (queries.transpose(1, 2) @ queries).softmax(-1)
        return self.conv2(x + (queries @ weights.transpose(1, 2)).view_as(x)).softmax(1)


def test_attention_and_a_softmax_at_the_end_are_no_activations():
    found = GuidedBackprop(Attention()).attribute(torch.randn(1, 3, 8, 8), target=(1, 2, 3))
    assert found.shape == (1, 3, 8, 8) and bool(found.any())


def test_targets_are_counted_as_captum_counts_them():
    model, x = Maps(), torch.randn(3, 3, 8, 8)
    same_as_captum(model, x, target=(1, 2, 3))
    same_as_captum(model, x, target=[(0, 1, 2), (1, 2, 3), (4, 0, 0)])
    same_as_captum(model, x, target=(1, 2, 3), additional_forward_args=2.0)
    with pytest.raises(InputError, match="found outputs of 3 x 5 x 4 x 4, expected a target"):
        GuidedBackprop(model).attribute(x)
    with pytest.raises(InputError, match="LSTM: outputs a tuple, expected one tensor: wrap"):
        GuidedBackprop(nn.LSTM(2, 2).eval()).attribute(torch.zeros(1, 1, 2))
    flat = BasicModel_MultiLayer()
    y = torch.randn(4, 3)
    for target in (1, torch.tensor([0, 1, 0, 1]), [0, 1, 1, 0]):
        same_as_captum(flat, y, target=target)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_it_works_inside_of_what_captum_builds_on_attributions():
    model, x = Maps(), torch.randn(2, 3, 8, 8)
    guided = GuidedBackprop(model)
    tunnel = NoiseTunnel(guided).attribute(x, nt_samples=3, stdevs=0.0, target=(1, 2, 3))
    torch.testing.assert_close(tunnel, guided.attribute(x, target=(1, 2, 3)))
    torch.manual_seed(0)
    sensitivity = sensitivity_max(guided.attribute, x, target=(1, 2, 3), perturb_radius=0.02)
    assert sensitivity.shape == (2,)
    assert sensitivity.isfinite().all()

    def perturb(inputs: Tensor) -> tuple[Tensor, Tensor]:
        noise = 0.01 * torch.randn_like(inputs)
        return noise, inputs - noise

    attributions = guided.attribute(x, target=(1, 2, 3))
    unfaithful = infidelity(model, perturb, x, attributions, target=(1, 2, 3))
    assert unfaithful.shape == (2,)
    assert (unfaithful >= 0).all()
