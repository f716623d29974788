"""Guided backpropagation as a captum attribution that covers LeakyReLU."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dcgan_probe import hooks
from dcgan_probe.attribution import chain
from dcgan_probe.errors import InputError, unknown

with warnings.catch_warnings():
    # Of tqdm in a notebook without ipywidgets, whose bars are not used here.
    warnings.filterwarnings("ignore", "IProgress not found")
    from captum.attr._utils.attribution import GradientAttribution

RULES = ("leak", "strict")

_IN_GRAPH = ("ReluBackward", "LeakyReluBackward")
# Other activations that take the place of a ReLU; the method says nothing about them.
_OTHERS = (
    "Celu",
    "Elu",
    "Gelu",
    "Hardswish",
    "Hardtanh",
    "Mish",
    "Prelu",
    "Rrelu",
    "Silu",
    "Softplus",
)


class GuidedBackprop(GradientAttribution):
    """Gradients in which every ReLU and LeakyReLU lets only positive gradients through.

        >>> guided = GuidedBackprop(discriminator)
        >>> guided.attribute(images).shape == images.shape
        True

    rule: what a LeakyReLU passes back for a gradient g, an input x and its slope s for x < 0.

    - "leak": max(g, 0) where x > 0, s max(g, 0) elsewhere: the gradient is clamped, the slope kept.
    - "strict": max(g, 0) where x > 0, nothing elsewhere, as if the LeakyReLU were a ReLU.

    On a ReLU (s = 0) both are guided backpropagation as published, and equal captum's. captum's
    own GuidedBackprop hooks ``nn.ReLU`` alone: on a network of LeakyReLUs it is the plain gradient.

    The default is "leak": it differs from the network's gradient only by the clamping that defines
    the method. "strict" explains another network, one with ReLUs, whose filters this one never had.

    Raises InputError for an unknown rule, for a network in training mode (where batch norm would
    mix the images of a batch), and where it would fall silent: no ReLU or LeakyReLU module is met
    on the way, one is called as a function, out of reach of hooks, or there is another activation
    (CELU, ELU, GELU, hardswish, ReLU6, Mish, PReLU, RReLU, SiLU, softplus).
    Source: section 6.2; Springenberg et al. 2014, https://arxiv.org/abs/1412.6806.
    """

    def __init__(self, model: nn.Module, rule: str = "leak"):
        if rule not in RULES:
            raise unknown("rule", rule, RULES, where="guided backpropagation")
        super().__init__(model)
        self.model = model
        self.rule = rule

    def attribute(self, inputs: Tensor, target: Any = None) -> Tensor:
        """Guided gradient of the output, at `target` as captum counts it, on the inputs.

        inputs: N x C x H x W float32. Returns the same shape and dtype.
        """

        def output(x: Tensor) -> Tensor:
            y = self.model(x)
            if target is None:
                return y
            index = torch.as_tensor(target, device=y.device).expand(len(y))
            return y[torch.arange(len(y), device=y.device), index]

        return self._guided(output, inputs)

    def attribute_neurons(
        self,
        inputs: Tensor,
        layer: str,
        which: Tensor,
        filters: Tensor,
        rows: Tensor,
        columns: Tensor,
    ) -> Tensor:
        """Guided gradients of neurons, each on one of the inputs, in one batch.

            >>> zero, one = torch.tensor([0, 0]), torch.tensor([0, 1])
            >>> guided.attribute_neurons(images, "4x4", zero, one, rows=one, columns=zero).shape
            torch.Size([2, 3, 64, 64])

        inputs: M x C x H x W float32. which: N int64, the input of every neuron. filters, rows,
        columns: N int64 each, the neuron in what the layer puts out. Returns N x C x H x W float32.

        In eval mode the inputs of a batch do not meet, so the gradient of the sum of the neurons
        is that of each on its own input. Where a plain chain of layers leads to the neurons, those
        of one input share its forward (see `chain`); the result is the same.
        """
        self._check_eval()
        neurons = [index.to(inputs.device) for index in (which, filters, rows, columns)]
        links = chain.follow(self.model, layer, inputs)
        if links is not None:
            return chain.guided(links, self.rule == "strict", *neurons)
        return self.attribute_neurons_by_autograd(inputs, layer, *neurons)

    def attribute_neurons_by_autograd(
        self,
        inputs: Tensor,
        layer: str,
        which: Tensor,
        filters: Tensor,
        rows: Tensor,
        columns: Tensor,
    ) -> Tensor:
        """`attribute_neurons` for any network: every neuron has a forward pass of its own."""

        def output(x: Tensor) -> Tensor:
            maps = hooks.activations(self.model, layer, x)
            return maps[torch.arange(len(x), device=x.device), filters, rows, columns]

        return self._guided(output, inputs[which])

    def _check_eval(self) -> None:
        if self.model.training:
            raise InputError("guided backpropagation: found training mode, expected eval()")

    def _guided(self, output: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        self._check_eval()
        calls = 0

        def clamp(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            nonlocal calls
            calls += 1
            # A copy, so that only the gradient through this activation is clamped, not that of a
            # skip connection from the same tensor, and an in-place activation writes on the copy.
            x = args[0].clone()
            on = x.detach() > 0 if self.rule == "strict" else None
            # The hook sees the gradient behind the activation: its slope is already in it.
            x.register_hook(lambda g: g.clamp_min(0) if on is None else g.clamp_min(0) * on)
            return (x, *args[1:])

        x = inputs.detach().clone().requires_grad_(True)
        handles = [
            part.register_forward_pre_hook(clamp)
            for part in self.model.modules()
            if isinstance(part, chain.ACTIVATIONS)
        ]
        try:
            with torch.enable_grad():
                y = output(x)
                names = _operations(y)
                met = sum(name.startswith(_IN_GRAPH) for name in names)
                others = {each for each in _OTHERS for name in names if name.startswith(each)}
                if others:
                    raise InputError(
                        f"{type(self.model).__name__}: found {', '.join(sorted(others))}, expected "
                        "ReLU and LeakyReLU as the only activations: guided backpropagation"
                    )
                if calls == 0 or met > calls:
                    raise InputError(
                        f"{type(self.model).__name__}: found {calls} ReLU or LeakyReLU modules and "
                        f"{met} such operations, expected a module for each and at least one"
                    )
                return torch.autograd.grad(y.sum(), x)[0]
        finally:
            for handle in handles:
                handle.remove()


def _operations(output: Tensor) -> list[str]:
    """Autograd's names of the operations that led to a tensor."""
    seen = set()
    nodes = [output.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            nodes.extend(parent for parent, _ in node.next_functions)
    return [node.name() for node in seen]
