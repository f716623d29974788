"""Read the labelled images of a protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dcgan_probe.errors import InputError
from dcgan_probe.images import datasets
from dcgan_probe.images.datasets import Labelled

from .protocols import Protocol

SVHN_FILES = ("train_32x32.mat", "test_32x32.mat")


def read(
    protocol: Protocol,
    images: Path,
    labels: str | Path | None,
    test: Path | None,
    size: int,
    channels: int,
    **options: Any,
) -> Labelled:
    """The labelled images of a protocol, from the files that it is known by.

    "svhn-1000": the folder with the two files of SVHN, or train and test given apart. "cifar10":
    folders of classes in folders train and test.
    """
    if protocol.name == "svhn-1000":
        labels = datasets.Y if labels is None else labels
        if images.is_dir():
            for name in SVHN_FILES:
                if not (images / name).is_file():
                    raise InputError(
                        f"{images}: found no {name}, expected {' and '.join(SVHN_FILES)} of SVHN"
                    )
            images, test = (images / name for name in SVHN_FILES)
    elif labels is None:
        labels = datasets.FOLDERS
    return datasets.read(images, labels, size, channels, test=test, **options)
