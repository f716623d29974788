"""Boxed samples: their latents, one layer's activations, and the locations inside boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from dcgan_probe import hooks
from dcgan_probe.boxes.boxes import Boxes
from dcgan_probe.edits.regions import cells_in_and_out
from dcgan_probe.errors import InputError
from dcgan_probe.networks.config import AnyConfig
from dcgan_probe.recognition.regression import Cells, Fit, cells_of, fit
from dcgan_probe.session import BATCH, Session
from dcgan_probe.storage import files


@dataclass(frozen=True, eq=False)
class BoxedSamples:
    """The samples that boxes were drawn on, and the output of a layer of the generator for them.

        >>> samples = BoxedSamples.draw(session, session.read_boxes(), "16x16")
        >>> samples.maps.shape, samples.inside.shape
        (torch.Size([150, 128, 16, 16]), (150, 16, 16))

    z: N x z_size float32. maps: N x filters x h x w float32, on the CPU. inside: N x h x w bool,
    which locations of the layer lie in boxes. All in the order of `boxes.images`.
    """

    session: Session
    boxes: Boxes
    layer: str
    z: Tensor
    maps: Tensor
    inside: np.ndarray

    @classmethod
    def draw(cls, session: Session, boxes: Boxes, layer: str) -> BoxedSamples:
        """Compute the maps of a layer for the samples of some boxes, with the active edits.

        Raises InputError for a layer that has no maps, and for latents that cannot be read.
        """
        z = latents_of(session, boxes)
        maps = maps_of(session, z, layer)
        return cls(session, boxes, layer, z, maps, boxes.mask((maps.shape[2], maps.shape[3])))

    def check(self) -> None:
        """Raise InputError where boxed samples have no location of the layer inside, or outside."""
        # Only images with boxes give locations, inside and outside.
        boxed = self.boxes.only_images({box.image for box in self.boxes.boxes})
        cells_in_and_out(boxed, self.layer, tuple(self.maps.shape), self.session.config)

    def only(self, images: Iterable[int]) -> BoxedSamples:
        """The samples on some of the images only."""
        boxes = self.boxes.only_images(images)
        rows = [self.boxes.images.index(image) for image in boxes.images]
        z, maps, inside = self.z[rows], self.maps[rows], self.inside[rows]
        return BoxedSamples(self.session, boxes, self.layer, z, maps, inside)

    @cached_property
    def cells(self) -> Cells:
        """All locations inside of boxes, and as many outside; drawn by the session's seed."""
        where = f"{self.boxes.source or 'boxes'}: layer {self.layer!r}"
        return cells_of(self.maps.numpy(), self.inside, self.session.seed, where)

    @cached_property
    def regression(self) -> Fit:
        """The regression that tells locations inside of boxes from those outside."""
        return fit(self.cells.activations, self.cells.inside)

    def means(self, outside: bool = False) -> tuple[float, ...]:
        """Each filter's mean over all locations, or over those outside of boxes."""
        maps = self.maps.double()
        if not outside:
            return tuple(maps.mean(dim=(0, 2, 3)).tolist())
        apart = torch.from_numpy(~self.inside)[:, None].double()
        return tuple(((maps * apart).sum(dim=(0, 2, 3)) / apart.sum()).tolist())


def default_layer(config: AnyConfig) -> str:
    """The second-highest convolution layer of a generator, not counting the one that paints pixels.

        >>> default_layer(dp.Config(size=64))
        '16x16'

    The paper drops 200 maps of its second-highest convolution layer: more than the 128 of 32x32.
    In any network: of what it passes on at each resolution, the second-highest but not the first.
    Raises InputError for a generator without feature maps.
    """
    layers = hidden_layers(config)
    return layers[-2] if len(layers) > 2 else layers[-1]


def hidden_layers(config: AnyConfig) -> list[str]:
    """The layers of a generator that give feature maps, the first first, or InputError."""
    layers = list(config.hidden("generator"))
    if not layers:
        raise InputError("generator: found no layer of feature maps, expected one; name a --layer")
    return layers


def latents_of(session: Session, boxes: Boxes) -> Tensor:
    """The latents of the images that were looked at, in the order of `boxes.images`.

    Returns N x z_size float32. Raises InputError for a file of latents that cannot be read or does
    not fit the generator.
    """
    if boxes.seed is not None:
        return session.latents(boxes.n, boxes.seed)[list(boxes.images)]
    path = boxes.latents_path
    assert path is not None, "boxes without a seed have a file of latents"
    try:
        with files.open_regular(path, "a .npy of latents"):
            z = np.load(path, allow_pickle=False, mmap_mode="r")
    except InputError:
        raise
    except Exception as error:  # numpy evaluates the header as a literal, which may be anything
        raise InputError(f"{path}: found no .npy of latents that can be read: {error}") from error
    if not isinstance(z, np.ndarray):
        raise InputError(f"{path}: found an .npz, expected a .npy of latents")
    wanted = session.config.z_size
    if z.ndim != 2 or z.shape[1] != wanted or z.dtype.kind != "f":
        raise InputError(f"{path}: found {z.dtype} {z.shape}, expected float32 N x {wanted}")
    if len(z) < boxes.n:
        raise InputError(f"{path}: found {len(z)} latents, expected at least {boxes.n}")
    return torch.from_numpy(np.asarray(z[list(boxes.images)], dtype=np.float32))


def maps_of(session: Session, z: Tensor, layer: str) -> Tensor:
    """Feature maps of a generator's layer for latents, N x filters x h x w float32, on the CPU.

    >>> maps_of(session, session.latents(150), "16x16").shape
    torch.Size([150, 128, 16, 16])
    """
    maps = collect_maps(session, z, (layer,))[layer]
    if maps.dim() != 4:
        raise InputError(f"layer {layer!r}: found {maps.dim() - 1}-d values, expected maps")
    return maps


def collect_maps(session: Session, z: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Maps of several layers of a generator for latents, N x filters x h x w float32, on the CPU.

        >>> collect_maps(session, session.latents(150), ("8x8", "16x16"))["8x8"].shape
        torch.Size([150, 256, 8, 8])

    The session's edits act.
    """
    parts = []
    for part in z.split(BATCH):
        with torch.no_grad():
            parts.append(hooks.collect(session.generator, names, part.to(session.device)))
    return {name: torch.cat([part[name].float().cpu() for part in parts]) for name in names}
