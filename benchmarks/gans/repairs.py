"""What keeps third-party packages from being imported, or run with random weights, today.

Nothing here is about dcgan-probe: the same would be needed to draw one image with them.
"""

from __future__ import annotations

import importlib.util
import sys
from contextlib import nullcontext
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

# What packages import for training, scores and downloads; no forward of a network needs it.
UNUSED = [
    "accelerate",
    "accelerate.utils",
    "adabelief_pytorch",
    "aim",
    "boto3",
    "botocore",
    "botocore.exceptions",
    "ema_pytorch",
    "fire",
    "numerize",
    "open_clip",
    "skimage",
    "tensorflow",
    "torch._six",
    "vector_quantize_pytorch",
]
OPERATORS = torch.library.Library("torchvision", "FRAGMENT")


class Anything(type):
    """A class that has every class."""

    def __getattr__(cls, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name, (), {})


class Stub(ModuleType):
    """A module that has every class."""

    def __init__(self, name: str):
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)  # torch looks at it

    __getattr__ = Anything.__getattr__


def load(name: str) -> Any:
    """Import a module of a package."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        # Built for CUDA it has no operators beside a torch that was not. Packages use transforms.
        for operator in ("nms", "qnms"):
            OPERATORS.define(f"{operator}(Tensor dets, Tensor scores, float iou) -> Tensor")
    stubs = {unused: Stub(unused) for unused in UNUSED if not _is_there(unused)}
    sys.modules.update(stubs)
    try:
        # These two assert that there is a GPU when they are imported.
        asserted = name.startswith(("stylegan2_pytorch", "lightweight_gan"))
        with patch("torch.cuda.is_available", lambda: True) if asserted else nullcontext():
            return importlib.import_module(name)
    finally:
        for unused in stubs:
            del sys.modules[unused]


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of what it is in
        return False


def gan_lab(name: str) -> Any:
    """The networks of a part of gan-lab, at most 64 maps wide: widths are constants there.

    Its modules import each other as if they were in no package.
    """
    sys.path.append(str(Path(load("gan_lab").__path__[0])))
    base: Any = importlib.import_module(f"gan_lab.{name}.base")
    base.FMAP_MAX = 64
    return importlib.import_module(f"gan_lab.{name}.architectures")


def progan() -> Any:
    """The networks of pro-gan-pth, at most 64 maps wide: widths are constants there.

    It calls a private method of torch by its arguments of before torch 1.12.
    """
    networks = load("pro_gan_pytorch.networks")
    networks.nf.__defaults__ = (*networks.nf.__defaults__[:-1], 64)
    convolution = load("pro_gan_pytorch.custom_layers").EqualizedConvTranspose2d
    convolution._output_padding = lambda *_: (0, 0)
    return networks


def biggan(network: Any) -> None:
    """Weights that pytorch-pretrained-biggan leaves as the memory was: it waits for trained ones.

    Spectral norms find their vectors in some forwards, in training mode.
    """
    nn.init.ones_(network.generator.bn.weight)
    nn.init.zeros_(network.generator.bn.bias)
    for _ in range(20):
        network(torch.randn(4, network.config.z_dim), torch.eye(network.config.num_classes)[:4], 1)
