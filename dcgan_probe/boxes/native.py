"""This package's own JSON of boxes."""

from __future__ import annotations

from typing import Any

from dcgan_probe.errors import InputError
from dcgan_probe.storage.json_values import Value

OWN_FORMAT = "dcgan-probe/boxes/1"
# Far more than a person looks at; it bounds the memory that a short file can ask for.
MAX_IMAGES = 1_000_000


def recognises(value: Value) -> bool:
    """Whether the JSON says that it is of this package; InputError for another of its formats."""
    if "format" not in value or not str(value.found["format"]).startswith("dcgan-probe/"):
        return False
    if value.found["format"] != OWN_FORMAT:
        raise value["format"].error(f'"{OWN_FORMAT}"')
    return True


def read(value: Value) -> dict[str, Any]:
    """The fields of `Boxes` as the file gives them: `Boxes` checks them, under the same places."""
    return {
        "boxes": value["boxes"].items(),
        "images": _images(value),
        "image_size": value["image_size"].found,
        "seed": value["seed"].found if "seed" in value else None,
        "latents": value["latents"].found if "latents" in value else None,
        # Asked for even if null: with the key misspelt, the boxes would pass for any checkpoint.
        "checkpoint": value["checkpoint"].found,
        "note": value["note"].found if "note" in value else "",
    }


def _images(value: Value) -> Any:
    """The images looked at: all up to `n`, or the list `images`."""
    if ("n" in value) == ("images" in value):
        both = "both" if "n" in value else "neither"
        raise InputError(f"{value.where}: found {both} of n and images, expected one of them")
    if "images" in value:
        return value["images"].found
    return tuple(range(value["n"].whole(1, MAX_IMAGES)))
