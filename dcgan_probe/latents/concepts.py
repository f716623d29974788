"""Concepts: a name for latents whose images share something, such as ``smiling``.

A file of concepts is JSON:

    {"format": "dcgan-probe/concepts/1",
     "checkpoint": "<SHA-256 of the checkpoint's file>",
     "concepts": {"smiling": {"exemplars": ["3:17", "3:42", "5:8"],
                              "shows": ["smile", "not hat"]}}}

An exemplar is a sample, by seed and index, or a list of the z_size numbers of a latent. `shows`
may be left out: what a classifier must see, and not see, in an image of the concept.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dcgan_probe.errors import InputError, unknown
from dcgan_probe.latents import sampling
from dcgan_probe.latents.sampling import MAX_SEED
from dcgan_probe.networks.config import AnyConfig
from dcgan_probe.storage import files, json_values
from dcgan_probe.storage.json_values import Value

FORMAT = "dcgan-probe/concepts/1"
MAX_INDEX = 2**31 - 1
_NAME = re.compile(r"[^\W\d]\w*")
_SAMPLE = re.compile(r"([0-9]{1,19}):([0-9]{1,10})")

Exemplar = str | tuple[float, ...]


@dataclass(frozen=True)
class Concept:
    """Exemplars, each "seed:index" or a latent's numbers, and what a classifier sees in them.

    >>> Concept(("3:17", "3:42", "5:8"), shows=("smile", "not hat")).exemplars[0]
    '3:17'
    """

    exemplars: tuple[Exemplar, ...]
    shows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Concepts:
    """Named concepts of one checkpoint.

        >>> concepts = Concepts("ab" * 32, {"smiling": Concept(("3:17", "3:42"))})
        >>> concepts.latents("smiling", PRESETS["paper"], exemplars=2).shape
        torch.Size([2, 100])

    checkpoint: its SHA-256. source: the path that they were read from; it does not count in
    comparisons. Raises InputError for an invalid name, a concept without exemplars, an
    exemplar that is neither kind, or is there twice.
    """

    checkpoint: str
    named: Mapping[str, Concept]
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        source = self.source or "concepts"
        Value(self.checkpoint, source, "checkpoint").text()
        for name, concept in self.named.items():
            check_name(name, source)
            where = Value(concept.exemplars, source, f"concepts.{name}.exemplars")
            exemplars = [_exemplar(item) for item in where.items()]
            if not exemplars:
                raise where.error("at least one exemplar, as 3:17 (seed and index) or as numbers")
            if len(set(exemplars)) < len(exemplars):
                raise where.error("each exemplar once")

    @property
    def file(self) -> str:
        """The name of the file that they were read from, for results: without its folder."""
        return Path(self.source).name

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Concepts:
        """Read concepts; raises InputError for an invalid file."""
        file = json_values.read_own(Path(path), "concepts", FORMAT)
        members = file["concepts"].members()
        named = {
            name: Concept(
                tuple(_exemplar(item) for item in member["exemplars"].items()),
                tuple(item.text() for item in member["shows"].items()) if "shows" in member else (),
            )
            for name, member in zip(file["concepts"].found, members, strict=True)
        }
        return cls(file["checkpoint"].text(), named, str(path))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write JSON atomically."""
        concepts: dict[str, Any] = {}
        for name, concept in self.named.items():
            concepts[name] = {"exemplars": list(concept.exemplars)}
            if concept.shows:
                concepts[name]["shows"] = list(concept.shows)
        head = {"format": FORMAT, "checkpoint": self.checkpoint}
        files.write_json(path, {**head, "concepts": concepts})

    def latents(self, name: str, config: AnyConfig, exemplars: int | None = None) -> Tensor:
        """The latents of a concept's exemplars, n x z_size float32; at most the first `exemplars`.

        Raises InputError for an unknown name, fewer exemplars than asked for, and a stored latent
        of another size or with numbers that are not finite.
        """
        if name not in self.named:
            raise unknown("concept", name, self.named, where=self.source)
        have = self.named[name].exemplars
        if exemplars is not None and len(have) < exemplars:
            raise InputError(
                f"{self.source or 'concepts'}: concepts.{name}: found {len(have)} "
                f"exemplar{'s'[: len(have) != 1]}, expected at least {exemplars}"
            )
        where = f"{self.source or 'concepts'}: concepts.{name}"
        return torch.cat(
            [_latent(e, config, f"{where}.exemplars[{i}]") for i, e in enumerate(have[:exemplars])]
        )


def find(
    text: str,
    config: AnyConfig,
    concepts: Concepts | None,
    kept: Mapping[str, Tensor],
    exemplars: int | None = None,
) -> Tensor:
    """Look up the latents of a name or a sample, n x z_size float32.

        >>> find("3:17", Config(), None, {}).shape
        torch.Size([1, 100])

    text: "seed:index", a name in `kept`, or the name of a concept, in this order.
    Raises InputError for a name that is neither, and as `Concepts.latents` does.
    """
    if _SAMPLE.fullmatch(text):
        return _latent(text, config, text)
    if text in kept:
        return kept[text]
    if concepts is None or text not in concepts.named:
        known = [*kept, *(concepts.named if concepts else ()), "a sample, as 3:17"]
        raise unknown("concept", text, known, where=concepts.source if concepts else "")
    return concepts.latents(text, config, exemplars)


def check_name(name: str, source: str) -> str:
    """A name that an expression can hold; InputError otherwise."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{source}: found a concept named {name!r}, expected letters, digits and _, "
            "a letter first"
        )
    return name


def exemplars_of(arguments: Sequence[str], config: AnyConfig, sha256: str) -> tuple[Exemplar, ...]:
    """What a user gave as exemplars: each "seed:index", or a file of `latents.write`.

    Raises InputError for one that is neither, and as `latents.read` does.
    """
    exemplars: list[Exemplar] = []
    for argument in arguments:
        if _SAMPLE.fullmatch(argument):
            exemplars.append(_exemplar(Value(argument, "exemplar")))
        elif os.path.exists(argument):
            exemplars += [tuple(z.tolist()) for z in sampling.read(argument, config, sha256)]
        else:
            raise InputError(
                f"exemplar: found {argument!r}, expected a sample, as 3:17 (seed and index), or "
                "the path of a z.safetensors"
            )
    return tuple(exemplars)


def _exemplar(value: Value) -> Exemplar:
    if isinstance(value.found, list | tuple):
        return tuple(item.number() for item in value.items())
    match = _SAMPLE.fullmatch(value.found) if isinstance(value.found, str) else None
    if match is None or int(match[1]) > MAX_SEED or int(match[2]) > MAX_INDEX:
        raise value.error("a sample, as 3:17 (seed and index), or a list of numbers")
    return f"{int(match[1])}:{int(match[2])}"


def _latent(exemplar: Exemplar, config: AnyConfig, where: str) -> Tensor:
    if isinstance(exemplar, str):
        seed, index = (int(part) for part in exemplar.split(":"))
        return sampling.sample(config, 1, seed, start=index)
    # A sum of latents may lie where no sample does.
    return sampling.check(torch.tensor([exemplar]), config, where)
