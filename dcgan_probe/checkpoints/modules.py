"""Any GAN: modules that are not ours, looked into and checked, so that every probe takes them.

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
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dcgan_probe import latents, networks
from dcgan_probe.checkpoints.checkpoint import Checkpoint
from dcgan_probe.errors import InputError, brief, unknown
from dcgan_probe.networks import tracing
from dcgan_probe.networks.config import Draw
from dcgan_probe.networks.tracing import Layer

TRIED = 4  # latents that a network is tried with
GREY_LEVEL = 2 / 255
DISTRIBUTIONS = ("uniform", "normal")

# How many numbers a standard normal z has; or that and "uniform" on [-1, 1]; or a function.
Latent = int | tuple[int, str] | Draw


@dataclass(frozen=True)
class Traced:
    """What is known of modules that are not ours; probes ask it what they ask a `config.Config`.

    found: the layers of "generator" and "discriminator". ends: the shapes of what goes into a
    network and comes out of it, which are no hidden maps.
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
) -> Checkpoint:
    """Modules as a checkpoint; see `Session.from_modules`, which says what is taken and raised.

    >>> checkpoint(generator=Generator(PRESETS["torch"]), latent=100).config.size
    64
    """
    given = {"generator": generator, "discriminator": discriminator}
    parts = {what: _plain(part, what) for what, part in given.items() if part is not None}
    if not parts:
        raise InputError("model: found no generator and no discriminator, expected one at least")
    for part in parts.values():
        # Probes ask for gradients of images, never of weights.
        part.eval()  # one of their own may return nothing
        part.requires_grad_(False)
    z_size, distribution = _latent(latent) if "generator" in parts else (0, "normal")
    config = Traced(0, 0, z_size, distribution, {}, {})
    z = latents.sample(config, TRIED, seed=0)
    found: dict[str, tuple[Layer, ...]] = {}
    ends: dict[str, tuple[tuple[int, ...], ...]] = {}
    if "generator" in parts:
        output, found["generator"] = _tried(parts["generator"], z, "generator")
        images = _images(output)
        image = (images.shape[1], images.shape[2], images.shape[3])
        ends["generator"] = (image,)
    elif image is None:
        raise InputError("model: found no generator, expected image=(channels, height, width)")
    else:
        channels, height, width = image
        if channels not in (1, 3) or height != width or height < 1:
            raise InputError(f"image: found {image}, expected 1 or 3 channels and a square")
        images = torch.rand(TRIED, *image, generator=torch.Generator().manual_seed(0)) * 2 - 1
    if "discriminator" in parts:
        score, found["discriminator"] = _tried(parts["discriminator"], images, "discriminator")
        ends["discriminator"] = (image, tuple(score.shape[1:]))
    config = replace(config, size=image[1], channels=image[0], found=found, ends=ends)
    for part in parts.values():
        networks.describe(part, config)
    classes = {what: type(part).__qualname__ for what, part in parts.items()}
    return Checkpoint(
        config,
        parts.get("generator"),
        parts.get("discriminator"),
        {"source": "modules", **classes},
        name or next(iter(classes.values())),
        _identity(parts, z),
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
    what is not there, what the code raises, and as `checkpoint` does.
    """
    module, _, attribute = name.partition(":")
    if os.getcwd() not in sys.path and "" not in sys.path:
        # At the end: nothing here takes the place of what is installed.
        sys.path.append(os.getcwd())
    try:
        factory: Any = importlib.import_module(module)
        for part in attribute.split("."):
            factory = getattr(factory, part)
        given = factory()
    except Exception as error:  # whatever the user's code ran into
        raise InputError(f"{name}: found {brief(error)}, expected modules") from error
    known = [each for each in checkpoint.__annotations__ if each != "return"]
    if not isinstance(given, dict):
        raise InputError(
            f"{name}: found a {type(given).__name__}, expected a dict of {', '.join(known)}"
        )
    for key in given:
        if key not in known:
            raise unknown("argument", key, known, where=name)
    try:
        return checkpoint(**{"name": name, **given})
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _plain(network: object, what: str) -> nn.Module:
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
        raise InputError(f"{what}: found a {type(network).__name__}, expected an nn.Module")
    for name, part in network.named_modules():
        place = f"{what}: {name or type(network).__name__}"
        if isinstance(part, torch.jit.ScriptModule):
            raise InputError(f"{place}: found TorchScript, which hooks do not reach, expected code")
        if part._compiled_call_impl is not None or "_orig_mod" in part._modules:
            raise InputError(
                f"{place}: found a part that is compiled, whose hooks may be ignored, expected "
                "one that is not (torch.compile of the whole is fine)"
            )
    weights = list(network.parameters())
    if not weights:
        raise InputError(f"{what}: found no weights, expected some")
    for weight in weights:
        if weight.dtype != torch.float32:
            kind = str(weight.dtype).removeprefix("torch.")
            raise InputError(f"{what}: found weights of {kind}, expected float32: call .float()")
    return network


def _latent(latent: Latent | None) -> tuple[int, str | Draw]:
    if callable(latent):
        return latents.drawn(latent, TRIED, np.random.default_rng(0)).shape[1], latent
    size, distribution = latent if isinstance(latent, tuple) else (latent, "normal")
    if type(size) is not int or size < 1:
        raise InputError(f"latent: found {latent!r}, expected a size, with a distribution or not")
    if distribution not in DISTRIBUTIONS:
        raise unknown("distribution", distribution, DISTRIBUTIONS, where="latent")
    return size, distribution


def _tried(network: nn.Module, inputs: Tensor, what: str) -> tuple[Tensor, tuple[Layer, ...]]:
    """What a network puts out, on the CPU, and its layers; refused if probes cannot rely on it."""
    device = next(network.parameters()).device
    shape = _shape(inputs)
    try:
        output, layers = tracing.trace(network, inputs.to(device))
        with torch.no_grad():
            single = network(inputs[:1].to(device))
    except InputError as error:
        raise InputError(f"{what}: {error}") from error
    except Exception as error:  # whatever the user's code ran into
        raise InputError(
            f"{what}: found {brief(error)} from {shape} numbers, expected a forward that takes them"
        ) from error
    if output.dim() == 0 or len(output) != len(inputs):
        raise InputError(f"{what}: found {_shape(output)} from {shape}, expected one for each")
    if not output.isfinite().all():
        raise InputError(f"{what}: found NaN or infinite numbers, expected finite ones")
    if single.shape != output[:1].shape:
        if what == "generator" or single.numel() != output[:1].numel():
            raise InputError(
                f"{what}: found {_shape(single)} from one input, expected {_shape(output[:1])} (a "
                ".squeeze() that takes the batch too?)"
            )
        single = single.reshape(output[:1].shape)  # scores are for layers' sake: probes use those
    apart = (single[0] - output[0]).abs() > GREY_LEVEL * (1 + output[0].abs())
    if apart.any():
        raise InputError(
            f"{what}: found another output of the same input in another batch, expected the same "
            "(noise, or batch norm without running statistics?)"
        )
    return output.cpu(), layers


def _images(images: Tensor) -> Tensor:
    """Images that probes take; InputError for others."""
    expected = "N x 1 or 3 x S x S images in [-1, 1]"
    if images.dim() != 4 or images.shape[1] not in (1, 3) or images.shape[2] != images.shape[3]:
        raise InputError(f"generator: found {_shape(images)}, expected {expected}")
    low, high = images.min().item(), images.max().item()
    if low < -1 - GREY_LEVEL or high > 1 + GREY_LEVEL or low >= 0:
        found = f"numbers from {low:.3g} to {high:.3g}"
        hint = " (0 to 1 is brought there by 2 * x - 1)" if low >= 0 else ""
        raise InputError(f"generator: found {found}, expected {expected}{hint}")
    return images


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "one number"


def _identity(parts: Mapping[str, nn.Module], z: Tensor) -> str:
    """SHA-256 of classes and state dicts, and of latents: a sample is a seed's only with these."""
    sha = hashlib.sha256()
    for what, network in parts.items():
        state = network.state_dict()
        specs = [[name, str(each.dtype), list(each.shape)] for name, each in state.items()]
        sha.update(json.dumps([what, type(network).__qualname__, specs]).encode())
        for each in state.values():
            sha.update(_bytes(each))
    sha.update(_bytes(z))
    return sha.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
