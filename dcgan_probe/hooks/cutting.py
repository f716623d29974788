"""Run a module from one of its layers on."""

from __future__ import annotations

import operator

from torch import fx, nn

from dcgan_probe.errors import InputError
from dcgan_probe.hooks.layers import layer


class Uncut(InputError):
    """A module that cannot be cut after a layer; see `tail`."""


def tail(module: nn.Module, name: str) -> nn.Module:
    """The part of a module after a layer: takes the layer's output, returns the output.

        >>> rest = tail(generator, "8x8")
        >>> images = rest(activations(generator, "8x8", z))      # equals generator(z)

    It shares the module's layers and weights, so hooks on layers after the cut act in it too. The
    module is traced with torch.fx: its forward must not branch on values. Raises InputError for an
    unknown name or one that is called several times, and its subclass `Uncut` for a module that
    cannot be traced, and for a layer that a value bypasses, such as by a skip connection.
    `tails.Tail` takes any module.
    """
    layer(module, name)
    where = f"{type(module).__name__}: cannot run on from layer {name!r}"

    class Tracer(fx.Tracer):
        def is_leaf_module(self, part: nn.Module, path: str) -> bool:
            # Only what holds the layer is looked into. The rest is called whole, with its hooks.
            return not name.startswith(f"{path}.")

    try:
        rest = fx.GraphModule(module, Tracer().trace(module))
    except Exception as error:  # fx raises whatever the traced forward ran into
        raise Uncut(f"{where}: its forward cannot be traced: {error}") from error
    graph = rest.graph
    calls = [node for node in graph.nodes if node.op == "call_module" and node.target == name]
    if len(calls) != 1:
        raise InputError(f"{where}: the forward calls it {len(calls)} times, expected once")
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    with graph.inserting_before(inputs[0]):
        activation = graph.placeholder("activation")
    calls[0].replace_all_uses_with(activation)
    graph.eliminate_dead_code()
    for node in inputs:
        for user in [user for user in node.users if _is_of_any_batch(user)]:
            user.replace_input_with(node, activation)
    for node in inputs:
        if node.users:
            user = next(iter(node.users))
            raise Uncut(f"{where}: the input also reaches {user.target!r} around it")
        graph.erase_node(node)
    rest.recompile()
    return rest


def _is_of_any_batch(node: fx.Node) -> bool:
    """Whether what is asked of a tensor is its length or where it is: the maps answer the same."""
    if node.op == "call_method" and node.target == "size" and node.args[1:]:
        return bool(node.args[1] == 0)
    sized = node.op == "call_method" and node.target == "size" and not node.kwargs
    if node.op == "call_function" and node.target is getattr:
        if node.args[1] in ("device", "dtype"):
            return True
        sized = node.args[1] == "shape"
    first = [use.target is operator.getitem and use.args[1] == 0 for use in node.users]
    return sized and all(first)
