"""Write the model card of a checkpoint for the Hugging Face hub."""

from __future__ import annotations

import json
from typing import Any

from dcgan_probe.checkpoints.checkpoint import Checkpoint
from dcgan_probe.networks.dcgan import NETWORKS

# What the hub calls licenses; of its list, those that networks have.
LICENSES = ("apache-2.0", "bsd-3-clause", "cc-by-4.0", "cc-by-sa-4.0", "cc0-1.0", "gpl-3.0", "mit")


def text(checkpoint: Checkpoint) -> str:
    """A model card in Markdown: how to open the checkpoint, and all that its info has.

    >>> "license: mit" in text(checkpoints.load("rooms"))
    True
    """
    config, name = checkpoint.config, checkpoint.name
    info = {"license": "not recorded", "source": "not recorded", **checkpoint.info}
    known = "\n".join(f"    {_line(key, value)}" for key, value in info.items())
    parts = [part for part in NETWORKS if getattr(checkpoint, part) is not None]
    return f"""---
library_name: dcgan-probe
{_license(checkpoint.info)}tags:
- dcgan
- gan
- unconditional-image-generation
---

# {name}

A DCGAN (Radford, Metz and Chintala, 2015) of {config.size}x{config.size} \
{"grey" if config.channels == 1 else "colour"} images: {" and ".join(parts)}.

dcgan-probe opens it from the hub, or this folder from the disk:

    dcgan-probe --model hub:ORG/{name}@sha256:{checkpoint.sha256} sample
    dcgan-probe --model ./{name} sample

What is known of it:

{known}
"""


def _line(key: str, value: Any) -> str:
    """On one line, indented by the caller, a text cannot become markup."""
    shown = value if isinstance(value, str) else json.dumps(value)
    return " ".join(f"{key}: {shown}".split())


def _license(info: dict[str, Any]) -> str:
    """A line of the card's head; the hub takes a name of its list, or "other"."""
    if "license" not in info:
        return ""
    word = str(info["license"]).split(",")[0].strip().lower()
    return f"license: {word if word in LICENSES else 'other'}\n"
