"""Guided backpropagation as a captum attribution that covers LeakyReLU."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.utils.checkpoint import CheckpointError

from dcgan_probe import hooks
from dcgan_probe.attribution import chain
from dcgan_probe.attribution.activations import Guiding
from dcgan_probe.attribution.graph import check_path
from dcgan_probe.errors import InputError, unknown

with warnings.catch_warnings():
    # Of tqdm in a notebook without ipywidgets, whose bars are not used here.
    warnings.filterwarnings("ignore", "IProgress not found")
    from captum._utils.common import _run_forward
    from captum.attr._utils.attribution import GradientAttribution, NeuronAttribution
    from captum.log import log_usage

RULES = ("leak", "strict")

T = TypeVar("T", Tensor, tuple[Tensor, ...])


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

    Activations may be modules or functions, and written out, as max(x, 0.2 x); see `activations`.

    Raises InputError for an unknown rule, for batch norm or dropout in training mode, and where it
    would fall silent: no ReLU or LeakyReLU leads to the output, or a function does that is not
    known to pass gradients as they are: another activation such as ELU, a sigmoid, tanh or softmax
    between layers, a square root or power of each number, the largest of several maps (maxout),
    sorting, sums of ReLUs of one tensor that are not a LeakyReLU, a mask that is computed from the
    input, or a function with a backward of its own. What is computed beside the way to the output
    does not count. The softmax of attention is taken as it is. Source: section 6.2; Springenberg et
    al. 2014, https://arxiv.org/abs/1412.6806.
    """

    def __init__(self, model: nn.Module, rule: str = "leak"):
        if rule not in RULES:
            raise unknown("rule", rule, RULES, where="guided backpropagation")
        super().__init__(model)
        self.model = model
        self.rule = rule

    @log_usage()  # NoiseTunnel and others call what this wraps
    def attribute(self, inputs: T, target: Any = None, additional_forward_args: Any = None) -> T:
        """Guided gradient of the output, at `target` as captum counts it, on the inputs.

        inputs: N x ... float32, or a tuple of such. target: a class for all or for each; for
        outputs of more dimensions a tuple, or a list of them; None where there is one output for
        each input. additional_forward_args: what the forward takes behind the inputs. Returns
        tensors of the same shapes and dtype. Raises InputError, besides, for an output of which a
        target must be given and is not.
        """
        tensors = inputs if isinstance(inputs, tuple) else (inputs,)

        def output(*xs: Tensor) -> Tensor:
            y = _run_forward(self.model, xs, target, additional_forward_args)
            if not isinstance(y, Tensor):
                raise InputError(
                    f"{type(self.model).__name__}: outputs a {type(y).__name__}, expected one "
                    "tensor: wrap the model to return the one to explain"
                )
            if y.dim() and y[0].numel() != 1:
                shape = " x ".join(map(str, y.shape))
                raise InputError(
                    f"{type(self.model).__name__}: found outputs of {shape}, expected a "
                    "target that leaves one for each input"
                )
            return y

        gradients = self._guided(output, tensors)
        result: Any = gradients if isinstance(inputs, tuple) else gradients[0]
        return cast(T, result)

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
        columns: N int64 each, the neuron in the layer's output. Returns N x C x H x W float32.

        In eval mode the inputs of a batch do not meet, so the gradient of the sum of the neurons is
        that of each neuron on its own input. Where a plain chain of layers leads to the neurons,
        those of one input share its forward (see `chain`); the result is the same.
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

        return self._guided(output, (inputs[which],))[0]

    def _check_eval(self) -> None:
        for name, part in self.model.named_modules():
            if part.training and isinstance(part, _NormBase | _DropoutNd):
                raise InputError(
                    f"guided backpropagation: {name}: found training mode, expected eval()"
                )

    def _guided(
        self, output: Callable[..., Tensor], inputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        self._check_eval()
        leaves = [x.detach().clone().requires_grad_(True) for x in inputs]
        with torch.enable_grad():
            # Nodes of their own, so that the way from the inputs can be followed in the graph, and
            # an activation in place may come first.
            xs = [x * 1 for x in leaves]
            starts = [x.grad_fn for x in xs]
            with Guiding(self.rule == "strict") as guiding:
                y = output(*xs)
            check_path(y, starts, guiding.masked, type(self.model).__name__)
            try:
                return torch.autograd.grad(y.sum(), leaves)
            except CheckpointError as error:
                raise InputError(
                    f"{type(self.model).__name__}: found a part under torch.utils.checkpoint, "
                    "which is computed again, expected one that is not: guided backpropagation"
                ) from error


class NeuronGuidedBackprop(NeuronAttribution, GradientAttribution):
    """Guided gradients of one neuron of a layer, as captum's class of this name.

        >>> NeuronGuidedBackprop(discriminator, discriminator.score).attribute(images, 0).shape
        torch.Size([4, 3, 64, 64])

    layer: a part of the model. rule and what is raised: see `GuidedBackprop`.
    """

    def __init__(self, model: nn.Module, layer: nn.Module, rule: str = "leak"):
        NeuronAttribution.__init__(self, model, layer)
        GradientAttribution.__init__(self, model)
        self.guided = GuidedBackprop(model, rule)

    @log_usage()
    def attribute(
        self,
        inputs: T,
        neuron_selector: Any,
        additional_forward_args: Any = None,
        attribute_to_neuron_input: bool = False,
    ) -> T:
        """Guided gradient of a neuron on the inputs.

        neuron_selector: an index, a tuple of them into the layer's output for one input, or a
        function of its output. attribute_to_neuron_input: the neuron is one of the layer's input.
        """
        tensors = inputs if isinstance(inputs, tuple) else (inputs,)
        maps: list[Tensor] = []

        def keep(_module: nn.Module, arguments: tuple[Tensor, ...], put: Tensor) -> None:
            maps.append(arguments[0] if attribute_to_neuron_input else put)

        def output(*xs: Tensor) -> Tensor:
            handle = self.layer.register_forward_hook(keep)
            try:
                _run_forward(self.forward_func, xs, None, additional_forward_args)
            finally:
                handle.remove()
            if callable(neuron_selector):
                return cast(Tensor, neuron_selector(maps[-1]))
            return _select(maps[-1], neuron_selector)

        gradients = self.guided._guided(output, tensors)
        result: Any = gradients if isinstance(inputs, tuple) else gradients[0]
        return cast(T, result)


def _select(maps: Tensor, place: Any) -> Tensor:
    """One neuron of every map, by its index or indices."""
    indices: tuple[Any, ...] = place if isinstance(place, tuple) else (place,)
    return maps[(slice(None), *indices)]
