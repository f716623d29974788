"""Wrap third-party modules of any GAN: trace and check them, so every probe accepts them.

    session = Session.from_modules(generator=g, discriminator=d, latent=128)

Nothing here knows an architecture: layers are found by running the networks once (see `tracing`).
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, replace
from inspect import signature
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from dcgan_probe import hooks, latents, networks
from dcgan_probe.checkpoints import equivalence
from dcgan_probe.checkpoints import statistics as stored
from dcgan_probe.checkpoints.adapters import PLAIN, Adapted, Label
from dcgan_probe.checkpoints.checkpoint import Checkpoint, content
from dcgan_probe.checkpoints.facts import STATISTICS
from dcgan_probe.checkpoints.statistics import GREY_LEVEL, SAMPLES
from dcgan_probe.errors import InputError, brief, unknown
from dcgan_probe.networks import tracing
from dcgan_probe.networks.config import Draw
from dcgan_probe.networks.tracing import Layer

TRIED = 4  # latents that a network is tried with
DISTRIBUTIONS = ("uniform", "normal")
LATENTS = ("z", "noise", "latent", "latents")  # as a forward calls them

# How many numbers a standard normal z has; or that and "uniform" on [-1, 1]; or a function.
Latent = int | tuple[int, str] | Draw


@dataclass(frozen=True)
class Traced:
    """What is known of third-party modules; probes use it like a `config.Config`.

    found: the layers of "generator" and "discriminator". ends: the shapes of a network's inputs and
    outputs, which are not hidden layers.
    """

    size: int
    channels: int
    z_size: int
    z_distribution: str | Draw
    found: Mapping[str, tuple[Layer, ...]]
    ends: Mapping[str, tuple[tuple[int, ...], ...]]

    def layers(self, network: str) -> tuple[str, ...]:
        """Names of all layers of feature maps, in the order in which they are done."""
        return tuple(layer.name for layer in self.found.get(network, ()))

    def hidden(self, network: str) -> dict[str, tuple[int, int]]:
        """What it passes on at each resolution; see `tracing.hidden`."""
        return tracing.hidden(self.found.get(network, ()), *self.ends.get(network, ()))

    def convolutions(self, network: str) -> dict[str, tuple[int, int]]:
        """Every convolution as it is passed on; see `tracing.convolutions`."""
        return tracing.convolutions(self.found.get(network, ()), *self.ends.get(network, ()))

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        own = self.z_distribution
        return {
            "size": self.size,
            "channels": self.channels,
            "z_size": self.z_size,
            "z_distribution": own if isinstance(own, str) else "a function",
            "layers": {network: list(self.layers(network)) for network in self.found},
        }


def checkpoint(
    generator: nn.Module | None = None,
    discriminator: nn.Module | None = None,
    latent: Latent | None = None,
    image: tuple[int, int, int] | None = None,
    name: str | None = None,
    images: str = PLAIN,
    label: Label | None = None,
    statistics: str = "file",
) -> Checkpoint:
    """Modules as a checkpoint; see `Session.from_modules`, which says what is taken and raised.

    >>> checkpoint(generator=Generator(PRESETS["torch"]), latent=100).config.size
    64
    """
    with ExitStack() as stack:
        # An edit of another session must not become part of the layers and the identity.
        for part in (generator, discriminator):
            if isinstance(part, nn.Module):
                stack.enter_context(hooks.unedited(part))
        return _checkpoint(generator, discriminator, latent, image, name, images, label, statistics)


def _checkpoint(
    generator: nn.Module | None,
    discriminator: nn.Module | None,
    latent: Latent | None,
    image: tuple[int, int, int] | None,
    name: str | None,
    images: str,
    label: Label | None,
    statistics: str,
) -> Checkpoint:
    arguments = {"generator": generator, "discriminator": discriminator}
    parts = {role: _plain(part, role) for role, part in arguments.items() if part is not None}
    if not parts:
        raise InputError("model: found no generator and no discriminator, expected one at least")
    for part in parts.values():
        # Probes ask for gradients of images, never of weights.
        part.eval()  # one of their own may return nothing
        part.requires_grad_(False)
    bare = dict(parts)
    z_size, distribution = _latent(latent) if "generator" in parts else (0, "normal")
    config = Traced(0, 0, z_size, distribution, {}, {})
    z = latents.sample(config, TRIED, seed=0)
    remarks: list[str] = []
    if "generator" in parts:
        parts["generator"] = _adapted(parts["generator"], z, images, label, remarks)
    if "discriminator" in parts:
        parts["discriminator"] = _adapted_discriminator(
            parts["discriminator"], parts.get("generator"), z, images, label
        )
    for part in parts.values():
        part.eval()
    _check_statistics(parts, config, statistics, remarks)
    layers: dict[str, tuple[Layer, ...]] = {}
    ends: dict[str, tuple[tuple[int, ...], ...]] = {}
    inputs, outputs = {"generator": z}, {}
    if "generator" in parts:
        outputs["generator"], layers["generator"] = _tried(parts["generator"], z, "generator")
        samples = _judge_images(outputs["generator"], parts["generator"], config, remarks)
        drawn = samples[:TRIED]
        image = (drawn.shape[1], drawn.shape[2], drawn.shape[3])
        ends["generator"] = (image,)
    elif image is None:
        raise InputError("model: found no generator, expected image=(channels, height, width)")
    else:
        channels, height, width = image
        if channels not in (1, 3) or height != width or height < 1:
            raise InputError(f"image: found {image}, expected 1 or 3 channels and a square")
        drawn = torch.rand(TRIED, *image, generator=torch.Generator().manual_seed(0)) * 2 - 1
    if "discriminator" in parts:
        score, layers["discriminator"] = _tried(parts["discriminator"], drawn, "discriminator")
        ends["discriminator"] = (image, tuple(score.shape[1:]))
        inputs["discriminator"], outputs["discriminator"] = drawn, score
        if "generator" in parts:
            _compare_discriminator(parts["discriminator"], samples, remarks)
    config = replace(config, size=image[1], channels=image[0], found=layers, ends=ends)
    for part in parts.values():
        networks.describe(part, config)
    classes = {role: type(part).__qualname__ for role, part in bare.items()}
    sha = None
    if isinstance(distribution, str) and label is None and not images.endswith("BGR"):
        outputs = {role: _on_cpu(parts[role], inputs[role], outputs[role]) for role in parts}
        sha = equivalence.identity(bare, distribution, inputs, outputs, image[1])
    return Checkpoint(
        config,
        parts.get("generator"),
        parts.get("discriminator"),
        {"source": "modules", **classes},
        name or next(iter(classes.values())),
        sha or _identity(parts, z),
        tuple(f"{name or next(iter(classes.values()))}: {remark}" for remark in remarks),
    )


def _adapted(
    network: nn.Module, z: Tensor, images: str, label: Label | None, remarks: list[str]
) -> nn.Module:
    """The generator as it takes N x z_size, in an `Adapted` where it needs one."""
    if label is not None:
        _check_order(network)
    ways: list[nn.Module] = [network]
    if images != PLAIN or label is not None:
        ways = [Adapted(network, images=images, label=label)]
    ways.append(Adapted(network, places=True, images=images, label=label))
    if isinstance(label, tuple):
        ways.append(Adapted(network, places=True, images=images, label=label, label_places=True))
    way, failures = _first_that_runs(ways, z)
    if way is None:
        # What it says of z with places is meant where it asks for places.
        return ways["Expected 3D" in failures[0]]
    if getattr(way, "places", False):
        remarks.append(
            f"takes z as N x {z.shape[1]} x 1 x 1, which it is given; its layers are named "
            "network. and so on"
        )
    return way


def _check_order(network: nn.Module) -> None:
    """Refuse a forward whose second parameter is called as z is: a one-hot class may run as z."""
    names = list(signature(network.forward).parameters)
    if names[1:2] and names[1] in LATENTS and names[0] not in LATENTS:
        raise InputError(
            f"generator: found forward({', '.join(names[:2])}), expected the class second: a "
            "wrapper changes the order"
        )


def _adapted_discriminator(
    network: nn.Module, generator: nn.Module | None, z: Tensor, images: str, label: Label | None
) -> nn.Module:
    """The discriminator as it takes images alone, in an `Adapted` where it needs one."""
    plain = network
    if images != PLAIN:
        plain = Adapted(network, "discriminator", images=images)
    if label is None or generator is None:
        return plain
    beside = Adapted(network, "discriminator", images=images, label=label)
    # Failures of a generator's samples are reported later, too.
    forms = [plain, beside]
    way, failures = _first_that_runs([nn.Sequential(generator, each) for each in forms], z)
    return plain if way is None else forms[len(failures)]


def _first_that_runs(ways: list[nn.Module], inputs: Tensor) -> tuple[nn.Module | None, list[str]]:
    """The first of several forms of a network that takes inputs, and why those before it do not."""
    failures = []
    for way in ways:
        device = next(way.parameters()).device
        try:
            with torch.no_grad():
                way.eval()
                way(inputs.to(device))
        except Exception as error:  # whatever the user's code ran into: reported later
            failures.append(str(error))
        else:
            return way, failures
    return None, failures


def _check_statistics(
    parts: Mapping[str, nn.Module], config: Traced, how: str, remarks: list[str]
) -> None:
    """Say that batch norms were never trained, or estimate what they should hold.

    In a file that is a mistake, and refused; a module may be untrained on purpose.
    """
    if how not in STATISTICS:
        raise unknown("statistics", how, STATISTICS)
    if how == "estimate":
        if "generator" not in parts:
            raise InputError(
                "statistics: found no generator to estimate them from, expected one beside the "
                "discriminator"
            )
        stored.estimate(config, parts, None)
        return
    for role, part in parts.items():
        names = stored.untouched(part)
        if names:
            remarks.append(
                f"WARNING: {role}: the statistics of {len(names)} batch norms were never updated "
                f'(means 0, variances 1; {names[0]}); statistics="estimate" measures them'
            )


def _compare_discriminator(network: nn.Module, images: Tensor, remarks: list[str]) -> None:
    """Say where a discriminator has seen other images than it is given."""
    device = next(network.parameters()).device
    pictures = images.to(device)
    usual, unit = (stored.compare(network, each) for each in (pictures, (pictures + 1) / 2))
    worse = stored.distance(usual)
    if worse > 0.5 and stored.distance(unit) < 0.5 * worse:
        remarks.append(
            "WARNING: the discriminator's batch-norm statistics are those of images in [0, 1], not "
            'of [-1, 1] as it is given: images="[0, 1]" for both networks, or adapt it as '
            "docs/any-gan.md says"
        )


def is_factory(name: str) -> bool:
    """Whether a name is of the form ``package.module:factory``.

    >>> is_factory("mine.gan:build"), is_factory("rooms"), is_factory("C:/gan.pth")
    (True, False, False)
    """
    dotted = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
    return re.fullmatch(f"{dotted}:{dotted}", name) is not None


def load(name: str) -> Checkpoint:
    """Import a factory, ``package.module:factory``, call it, and take the modules it returns.

        >>> load("mine.gan:build").config.size
        64

    This runs the code of that module, found as Python finds it or in the working folder. The
    factory takes nothing and returns a dict of the arguments of `checkpoint`. Raises InputError for
    a missing module or function, what the code raises, and as `checkpoint` does.
    """
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path and "" not in sys.path:
        # At the end: nothing here replaces an installed package.
        sys.path.append(os.getcwd())
    try:
        factory: Any = importlib.import_module(module)
        for part in attribute.split("."):
            factory = getattr(factory, part)
        arguments = factory()
    except Exception as error:  # whatever the user's code ran into
        raise InputError(f"{name}: found {brief(error)}, expected modules") from error
    known = [each for each in checkpoint.__annotations__ if each != "return"]
    if not isinstance(arguments, dict):
        raise InputError(
            f"{name}: found a {type(arguments).__name__}, expected a dict of {', '.join(known)}"
        )
    for key in arguments:
        if key not in known:
            raise unknown("argument", key, known, where=name)
    try:
        return checkpoint(**{"name": name, **arguments})
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _plain(network: object, role: str) -> nn.Module:
    """A network without what only makes it faster, in a form that hooks reach."""
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        if isinstance(network, wrappers):
            network = network.module
        elif isinstance(network, nn.Module) and "_orig_mod" in network._modules:
            network = network._orig_mod  # what torch.compile returns
        else:
            break
    if not isinstance(network, nn.Module):
        raise InputError(f"{role}: found a {type(network).__name__}, expected an nn.Module")
    for name, part in network.named_modules():
        place = f"{role}: {name or type(network).__name__}"
        if isinstance(part, torch.jit.ScriptModule):
            raise InputError(f"{place}: found TorchScript, which hooks do not reach, expected code")
        if part._compiled_call_impl is not None or "_orig_mod" in part._modules:
            raise InputError(
                f"{place}: found a part that is compiled, whose hooks may be ignored, expected "
                "one that is not (torch.compile of the whole is fine)"
            )
    weights = list(network.parameters())
    if any(map(is_lazy, weights)):
        raise InputError(
            f"{role}: found weights without a shape, as of nn.LazyLinear, expected a network that "
            "has run once"
        )
    devices = sorted({str(each.device) for each in (*weights, *network.buffers())})
    if "meta" in devices:
        raise InputError(f"{role}: found weights on the meta device, expected ones with values")
    if len(devices) > 1:
        raise InputError(f"{role}: found weights on {', '.join(devices)}, expected one device")
    if not weights:
        raise InputError(f"{role}: found no weights, expected some")
    for what, tensors in (("weights", network.parameters()), ("buffers", network.buffers())):
        for tensor in tensors:
            if tensor.is_floating_point() and tensor.dtype != torch.float32:
                kind = str(tensor.dtype).removeprefix("torch.")
                raise InputError(f"{role}: found {what} of {kind}, expected float32: call .float()")
    return network


def _latent(latent: Latent | None) -> tuple[int, str | Draw]:
    if callable(latent):
        try:
            z, again = (latents.drawn(latent, TRIED, np.random.default_rng(0)) for _ in range(2))
        except InputError:
            raise
        except Exception as error:  # whatever the user's code ran into
            raise InputError(
                f"latent: found {brief(error)}, expected a function of n and a "
                "numpy.random.Generator"
            ) from error
        if not torch.equal(z, again):
            raise InputError(
                "latent: found a function that draws other numbers from the same "
                "numpy.random.Generator, expected one that draws all from it: a sample is named by "
                "its seed and index"
            )
        return z.shape[1], latent
    both = latent if isinstance(latent, tuple) and len(latent) == 2 else (latent, "normal")
    size, distribution = both
    if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
        raise InputError(f"latent: found {latent!r}, expected a size, with a distribution or not")
    if distribution not in DISTRIBUTIONS:
        raise unknown("distribution", distribution, DISTRIBUTIONS, where="latent")
    return int(size), distribution


def _tried(network: nn.Module, inputs: Tensor, role: str) -> tuple[Tensor, tuple[Layer, ...]]:
    """The output of a network, on the CPU, and its layers; refused if probes cannot rely on it."""
    device = next(network.parameters()).device
    shape = _shape(inputs)
    try:
        output, layers = tracing.trace(network, inputs.to(device))
        with torch.no_grad():
            single = network(inputs[:1].to(device))
    except InputError as error:
        raise InputError(f"{role}: {error}") from error
    except Exception as error:  # whatever the user's code ran into
        raise InputError(f"{role}: {_why_not(network, inputs, error)}") from error
    if output.dim() == 0 or len(output) != len(inputs):
        raise InputError(f"{role}: found {_shape(output)} from {shape}, expected one for each")
    if not output.isfinite().all():
        raise InputError(f"{role}: found NaN or infinite numbers, expected finite ones")
    if single.shape != output[:1].shape:
        if role == "generator" or single.numel() != output[:1].numel():
            raise InputError(
                f"{role}: found {_shape(single)} from one input, expected {_shape(output[:1])} (a "
                ".squeeze() that takes the batch too?)"
            )
        single = single.reshape(output[:1].shape)  # scores are for layers' sake: probes use those
    apart = (single[0] - output[0]).abs() > GREY_LEVEL * (1 + output[0].abs())
    if apart.any():
        raise InputError(
            f"{role}: found another output of the same input in another batch, expected the same "
            "(noise, or batch norm without running statistics?)"
        )
    return output.cpu(), layers


def _why_not(network: nn.Module, inputs: Tensor, error: Exception) -> str:
    """Why a network does not take its inputs: what was found and what was expected."""
    found = f"found {brief(error)} from {_shape(inputs)} numbers"
    label = network.label if isinstance(network, Adapted) else None
    if label is None:
        lacking = isinstance(error, TypeError) and "missing" in str(error)
        alone = " alone (label=CLASS passes a class; a wrapper passes anything)" if lacking else ""
        return f"{found}, expected a forward that takes them{alone}"
    assert isinstance(network, Adapted)
    if label.is_floating_point():
        given = f"class {int(label.argmax())} of {label.numel()}"
    else:
        given = f"class {int(label)}"
        first = Adapted(network.network, network.part, network.places, 0, network.images)
        if _first_that_runs([first], inputs)[0] is not None:
            return f"label: found {given}, expected one that the network has: it takes class 0"
    return (
        f"{found} and {given}, expected a forward that takes both, the class second (label=CLASS "
        "passes its number, label=(CLASS, CLASSES) a one-hot vector; a wrapper passes anything)"
    )


def _judge_images(images: Tensor, network: nn.Module, config: Traced, remarks: list[str]) -> Tensor:
    """Samples of a generator, if they are images that probes take; InputError for others.

    images: the first of them. The one rule on the range of images: it is judged on `SAMPLES`
    samples; numbers up to a grey level beyond are cut off, and reported.
    """
    expected = "N x 1 or 3 x S x S images in [-1, 1]"
    if images.dim() != 4 or images.shape[1] not in (1, 3) or images.shape[2] != images.shape[3]:
        raise InputError(f"generator: found {_shape(images)}, expected {expected}")
    device = next(network.parameters()).device
    z = latents.sample(config, SAMPLES, seed=0)[len(images) :]
    with torch.no_grad():
        more = [network(batch.to(device)).cpu() for batch in z.split(len(images))]
    samples = torch.cat([images, *more])
    low, high = samples.min().item(), samples.max().item()
    if low < -1 - GREY_LEVEL or high > 1 + GREY_LEVEL or low >= 0:
        span = f"numbers from {low:.3g} to {high:.3g}"
        unit = low >= 0 and high <= 1 + GREY_LEVEL
        hint = ' (0 to 1 is brought there by 2 * x - 1, or images="[0, 1]")' if unit else ""
        raise InputError(f"generator: found {span}, expected {expected}{hint}")
    beyond = (samples.abs() > 1).float().mean().item()
    if beyond:
        remarks.append(f"{100 * beyond:.2g}% of the numbers lie just beyond [-1, 1]; cut off there")
    if warning := stored.alike(samples):
        remarks.append(warning)
    fits = stored.compare(network, latents.sample(config, SAMPLES, seed=0).to(device))
    if not stored.untouched(network) and stored.misfit(fits) > stored.FITS:
        worst = max(fits, key=lambda fit: abs(fit.ratio - 1))
        remarks.append(
            f"WARNING: the batch-norm statistics do not fit: at {worst.name} the variance is "
            f"{worst.ratio:.2f} of the stored, expected about 1; is z drawn as in training "
            '(latent=(n, "uniform")), are eps and slopes those of training?'
        )
    return samples


def _on_cpu(network: nn.Module, inputs: Tensor, output: Tensor) -> Tensor:
    """The output as the CPU computes it: GPUs round convolutions (TF32), and identities are exact.

    output: of the network where it is, which stays if the network cannot be copied.
    """
    if next(network.parameters()).device.type == "cpu":
        return output
    try:
        copy = deepcopy(network).cpu()
        with torch.no_grad():
            return copy(inputs)
    except Exception:  # whatever the user's code runs into
        return output


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "one number"


def _identity(parts: Mapping[str, nn.Module], z: Tensor) -> str:
    """SHA-256 of classes and state dicts, and of latents: a sample is a seed's only with these."""
    sha = hashlib.sha256()
    for role, network in parts.items():
        state = network.state_dict()
        specs = [[name, str(each.dtype), list(each.shape)] for name, each in state.items()]
        sha.update(json.dumps([role, type(network).__qualname__, specs]).encode())
        for each in state.values():
            sha.update(content(each))
    sha.update(content(z))
    return sha.hexdigest()
