"""Object detectors: their protocol, how they are discovered, masks from their output.

A detector is any callable from images to masks or boxes, with a name and what is known of it. A
package offers one by a factory under the entry point group ``dcgan_probe.detectors``, which takes
the label of an object; those that ship are found in the same way. Or it is a network of the user's,
in a file of torch.export.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from dcgan_probe import plugins, terminal
from dcgan_probe.errors import InputError, guarded, unknown
from dcgan_probe.recognition import exported
from dcgan_probe.session import BATCH

GROUP = "dcgan_probe.detectors"
_NEEDS = {"name": str, "about": dict}
# Checkpoint and object, and the detector that ships for it.
_SHIPPED = {("rooms", "window"): "rooms", ("cells", "white cell"): "cells"}


class Detector(Protocol):
    """What a probe needs of a detector.

        >>> class Bright:
        ...     name = "bright"
        ...     about = {"held_out_iou": 0.4}
        ...
        ...     def __call__(self, images):
        ...         return images.mean(1) > 0.5

    name: in results and figures. about: what is known of it, as JSON values.
    A call takes N x C x H x W float32 in [-1, 1]. It returns masks, N x H x W or N x 1 x H x W,
    bool or probabilities from 0 to 1; or, for each of the N images, a list of boxes
    (x0, y0, x1, y1) in pixels, x1 and y1 exclusive.
    """

    @property
    def name(self) -> str: ...

    @property
    def about(self) -> dict[str, Any]: ...

    def __call__(self, images: Tensor, /) -> Any: ...


def soft(detector: Detector, images: Tensor) -> Tensor:
    """How likely each pixel is of the object: N x H x W float32 from 0 to 1, on the CPU.

        >>> soft(Bright(), torch.ones(2, 3, 64, 64)).shape
        torch.Size([2, 64, 64])

    images: N x C x H x W float32 in [-1, 1]; the detector sees at most 64 at a time. A pixel is in
    a box if its centre is. Raises InputError, with the detector's name, for an output of a wrong
    shape or length, for NaN, and for values outside of 0 to 1.
    """
    marks = torch.empty(len(images), *images.shape[2:])
    with torch.no_grad():
        for start in range(0, len(images), BATCH):
            marks[start : start + BATCH] = _checked(detector, images[start : start + BATCH])
    return marks


def find(
    name: str, label: str, device: torch.device | str = "cpu", also: Iterable[str] = ()
) -> Detector:
    """The detector of an installed package, by name, or of a file of torch.export, by path.

        >>> find("rooms", "window").about["held_out_iou"] > 0.9
        True

    label: the object to detect; a network of a file is asked for its one object whatever that is
    called. device: where a network of a file runs. also: names that the caller knows itself, for
    the message. An installed name goes before a path; write ``./rooms`` for a file of that name.

    Raises InputError for an unknown name, a package that cannot be imported, a label that
    the detector does not know, and as `exported.read` does.
    """
    points = plugins.find(GROUP, terminal.current().only_ours)
    if name in points:
        return plugins.instantiate(plugins.entry_point(points[name]), _NEEDS, label)
    if not os.path.exists(name):
        known = [
            *dict.fromkeys([*also, *sorted(points)]),
            "the path of a file of torch.export.save",
        ]
        raise unknown("detector", name, known)
    return exported.read(Path(name)).to(torch.device(device))


def check(detector: Detector) -> Detector:
    """A detector that a script passes; InputError if it lacks a name, what is known, or a call.

    >>> check(Bright()).name
    'bright'
    """
    plugins.check_given("detector", detector, _NEEDS)
    return detector


def shipped(checkpoint: str, label: str) -> str | None:
    """The name of the detector that ships for an object of a shipped checkpoint, or None.

    >>> shipped("rooms", "window"), shipped("svhn", "digit")
    ('rooms', None)
    """
    return _SHIPPED.get((checkpoint, label))


def tensor(value: Any) -> Any:
    """An array of numbers as a tensor; anything else as it is."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return torch.from_numpy(np.ascontiguousarray(value))
    return value


def _checked(detector: Detector, images: Tensor) -> Tensor:
    n, _, height, width = images.shape
    where = f"detector {detector.name}"
    with guarded(where, InputError):
        output = detector(images)
    expected = f"{n} x {height} x {width} masks or {n} lists of boxes"
    if isinstance(output, list | tuple):
        if len(output) != n:
            raise InputError(f"{where}: found {len(output)} lists of boxes, expected {expected}")
        filled = [_filled(f"{where}: image {i}", b, height, width) for i, b in enumerate(output)]
        return torch.from_numpy(np.stack(filled))
    output = tensor(output)
    if not isinstance(output, Tensor):
        raise InputError(f"{where}: found {type(output).__name__}, expected {expected}")
    if output.ndim == 4 and output.shape[1] == 1:
        output = output[:, 0]
    if output.shape != (n, height, width):
        raise InputError(
            f"{where}: found {exported.shape(output)} for {n} images, expected {expected}"
        )
    masks = output.float().cpu()
    low, high = masks.aminmax()
    if not (low >= 0 and high <= 1):  # NaN is neither
        raise InputError(
            f"{where}: found values from {low:.3g} to {high:.3g}, expected probabilities from 0 to "
            "1 (apply sigmoid inside of the network)"
        )
    return masks


def _filled(where: str, boxes: Any, height: int, width: int) -> np.ndarray:
    """The pixels whose centre is in one of the boxes, as height x width float32 of 0 and 1."""
    try:
        edges = np.asarray(boxes, np.float64)
        edges = edges if edges.size else np.empty((0, 4))
        right = edges.ndim == 2 and edges.shape[1] == 4 and bool(np.isfinite(edges).all())
    except (TypeError, ValueError):  # numpy's, for anything but numbers
        right = False
    if not right or not (edges[:, :2] < edges[:, 2:]).all():
        raise InputError(
            f"{where}: found {boxes!r:.100}, expected boxes x0, y0, x1, y1 of x0 < x1 and y0 < y1"
        )
    y, x = np.mgrid[:height, :width] + 0.5
    mask = np.zeros((height, width), np.float32)
    for x0, y0, x1, y1 in edges:
        mask[(x0 <= x) & (x < x1) & (y0 <= y) & (y < y1)] = 1
    return mask
