"""Read state dicts of DCGANs, whatever their names and nesting.

Networks are found by the shapes of their tensors (`structure`), strides by what is customary
(`geometry`), and the rest by the given facts (`facts`), by the batch-norm statistics
(`hypotheses`), or as in pytorch/examples. What was assumed is a remark of the checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dcgan_probe import latents
from dcgan_probe.checkpoints import (
    contradictions,
    discriminators,
    evidence,
    hypotheses,
    pickles,
    statistics,
    structure,
    weights,
)
from dcgan_probe.checkpoints.assembly import EPS, build, chain_tensors, family, guesses
from dcgan_probe.checkpoints.checkpoint import Checkpoint, digest
from dcgan_probe.checkpoints.facts import NOTHING, Facts
from dcgan_probe.checkpoints.structure import StoredNetwork
from dcgan_probe.checkpoints.weights import WeightFile
from dcgan_probe.errors import InputError
from dcgan_probe.images.sources import Images
from dcgan_probe.networks.chain_config import ChainConfig
from dcgan_probe.networks.config import Config
from dcgan_probe.networks.dcgan import NETWORKS

EXAMPLE = "state dicts of https://github.com/pytorch/examples, dcgan"
CHAIN = "state dicts of chains of convolutions"
STORED = "running statistics of the source"
AVERAGED = re.compile("ema|avg|average|averaged|running|shadow|polyak|swa|smooth|smoothed")


@dataclass(frozen=True)
class _Assumed:
    """A config; in words what the statistics showed of it, by fact, and how far they fit."""

    config: ChainConfig
    shown: dict[str, str]
    checked: str
    warning: str


def read_state_dicts(
    paths: Sequence[str | os.PathLike[str]],
    facts: Facts = NOTHING,
    images: str | os.PathLike[str] | Images | None = None,
) -> Checkpoint:
    """Read the state dicts of a generator, a discriminator, or both.

        >>> checkpoint = read_state_dicts(["netG_epoch_24.pth", "netD_epoch_24.pth"])
        >>> checkpoint.config.z_distribution
        'normal'

    paths: files as ``torch.save`` or safetensors wrote them, or a folder of such. Each network is
    a chain of (transposed) convolutions, linear layers and norms. facts: what the files do not
    hold. images: real ones, for the discriminator's statistics where these are estimated.

    The checkpoint's remarks say what was assumed. Raises InputError, one line, for all else, and
    for batch norms whose statistics were never updated, unless ``facts.statistics`` is "estimate".
    """
    return read_files([weights.look_at(Path(path)) for path in paths], facts, images)


def read_files(
    files: Sequence[WeightFile],
    facts: Facts = NOTHING,
    images: str | os.PathLike[str] | Images | None = None,
    some: bool = False,
) -> Checkpoint:
    """`read_state_dicts`, of files that were looked at.

    some: files without a network may be among them, as in a folder; a remark says which.
    """
    candidates: list[StoredNetwork] = []
    broken: list[str] = []
    paths: list[Path] = []
    failed: list[InputError] = []
    for file in files:
        try:
            inside, beside = _networks(file)
        except InputError as error:
            if not some:
                raise
            failed.append(error)
            continue
        paths.append(file.path)
        candidates += inside
        broken += beside
    if failed and not candidates:
        raise failed[0]
    broken += map(str, failed)
    where = " and ".join(map(str, paths))
    networks, remarks = _one_of_each(candidates, facts)
    remarks += [f"left out: {reason}" for reason in broken]
    assumed = _assume(networks, facts, where)
    tensors = {part: chain_tensors(assumed.config, networks[part]) for part in networks}
    config: Config | ChainConfig = family(assumed.config) or assumed.config
    parts = {part: build(config, part, tensors[part]) for part in NETWORKS if part in networks}
    info = {
        "source": EXAMPLE if isinstance(config, Config) else CHAIN,
        "statistics": _statistics(config, parts, facts, images, where),
    }
    ignored = [name for network in networks.values() for name in network.ignored]
    if ignored:
        remarks.append(f"left out, not part of a layer: {', '.join(dict.fromkeys(ignored)):.100}")
    remarks.append(_remark(config, assumed, networks, facts))
    warnings = [assumed.warning]
    if "generator" in parts:
        with torch.no_grad():
            samples = parts["generator"](latents.sample(config, statistics.SAMPLES, seed=0))
        warnings.append(statistics.alike(samples))
    remarks += [warning for warning in warnings if warning]
    return Checkpoint(
        config,
        parts.get("generator"),
        parts.get("discriminator"),
        info,
        paths[0].stem,
        _identity(paths, config, facts),
        tuple(f"{where}: {remark}" for remark in remarks),
    )


def _identity(paths: Sequence[Path], config: Config | ChainConfig, facts: Facts) -> str:
    """The digest of the files; another one where the images are not those of the usual reading."""
    sha = digest(paths)
    family = isinstance(config, Config) and config.norm_eps == EPS
    if family and config.z_distribution == "normal" and not (facts.weights or facts.statistics):
        return sha
    chosen = {name: facts.said().get(name) for name in ("weights", "statistics")}
    text = json.dumps([sha, config.to_dict(), chosen], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


# Networks


def _networks(file: WeightFile) -> tuple[list[StoredNetwork], list[str]]:
    """The networks in a file, and why its other tensors are not."""
    path, kind = file
    if kind == "npy":
        raise InputError(f"{path}: found one .npy array, expected the folder of all of them")
    ordered = kind != "safetensors"
    content: Any
    if ordered:
        content = pickles.read(file)
    else:
        with weights.opened(path) as opened:
            names = opened.keys()
            content = {name: opened.get_tensor(name) for name in names}
    candidates: list[StoredNetwork] = []
    reasons: list[InputError] = []
    for place, tensors in structure.states(content, str(path)):
        try:
            candidates += structure.find_networks(tensors, place, ordered)
        except InputError as error:
            reasons.append(error)
    if candidates:
        beside = dict.fromkeys(reason for network in candidates for reason in network.broken)
        return candidates, [*map(str, reasons), *beside]
    if reasons:
        raise reasons[0]
    keys = list(content) if isinstance(content, Mapping) else []
    listed = ", ".join(map(str, keys[:3])) or "none"
    summary = f"keys {listed}" if isinstance(content, Mapping) else f"a {type(content).__name__}"
    raise InputError(
        f"{path}: found {summary:.200}, expected the state dict of a DCGAN (main.0.weight, ...)"
        " or a checkpoint of dcgan-probe"
    )


def _one_of_each(
    candidates: list[StoredNetwork], facts: Facts
) -> tuple[dict[str, StoredNetwork], list[str]]:
    """At most one generator and one discriminator, and remarks on the choice."""
    networks: dict[str, StoredNetwork] = {}
    remarks = []
    for part in NETWORKS:
        those = [network for network in candidates if network.part == part]
        if len(those) > 1:
            those, remark = _choose(part, those, facts)
            remarks.append(remark)
        if those:
            networks[part] = those[0]
    if facts.weights and not remarks:
        place = next(iter(networks.values())).place
        raise InputError(
            f"{place}: found one network of a kind, expected several: --weights {facts.weights}"
        )
    return networks, remarks


def _choose(part: str, those: list[StoredNetwork], facts: Facts) -> tuple[list[StoredNetwork], str]:
    names = [_name(network) for network in those]
    if len(set(names)) < len(names):
        names = [f"{_file(network)}: {name}" for network, name in zip(those, names, strict=True)]
    if facts.weights:
        wanted = [i for i, name in enumerate(names) if facts.weights in re.split(r"[.:\s]+", name)]
        wanted = wanted or [i for i, name in enumerate(names) if facts.weights in name]
        if not wanted and part == "discriminator":
            wanted = [i for i, name in enumerate(names) if not _averaged(name)]
    else:
        wanted = [i for i, name in enumerate(names) if not _averaged(name)]
    listed = ", ".join(names)
    if len(wanted) != 1:
        second = those[wanted[1]].place if len(wanted) > 1 else those[1].place
        raise InputError(
            f"{second}: found a second {part} ({listed}), expected at most one of "
            "each: --weights NAME chooses"
        )
    taken = names[wanted[0]]
    others = ", ".join(name for name in names if name != taken)
    return [those[wanted[0]]], f"{part}: took {taken}, not {others}: --weights NAME chooses"


def _name(network: StoredNetwork) -> str:
    """The place of a network behind its file, and the prefix that its layers share."""
    _, _, inside = network.place.partition(": ")
    shared = os.path.commonprefix([layer.path for layer in network.layers]).rpartition(".")[0]
    return inside.replace(": ", ".") or shared or Path(network.place).name


def _file(network: StoredNetwork) -> str:
    return Path(network.place.partition(": ")[0]).name


def _averaged(name: str) -> bool:
    return any(AVERAGED.fullmatch(word) for word in re.split(r"[^a-z]+", name.lower()))


# Facts


def _assume(networks: Mapping[str, StoredNetwork], facts: Facts, where: str) -> _Assumed:
    """Fill in what the files do not hold."""
    candidates = guesses(networks, facts, where)
    generator, discriminator = networks.get("generator"), networks.get("discriminator")
    if (
        generator is None
        or facts.statistics == "estimate"
        or not _trained(candidates[0], generator)
    ):
        return _Assumed(candidates[0], {}, "", "")
    choice = hypotheses.choose(candidates, generator, facts)
    shown = choice.shown
    contradicted = contradictions.contradiction(choice, networks, facts, where)
    if discriminator is not None and choice.misfit <= statistics.FITS:
        maps = _before_output(choice.config, generator)
        seen = discriminators.choose_discriminator(choice.config, discriminator, maps, facts)
        shown = {**shown, **{f"D {name}": words for name, words in seen.shown.items()}}
        choice = replace(choice, config=seen.config)
    if not choice.fits:
        return _Assumed(choice.config, shown, "no batch norm, so nothing to check this by", "")
    ratios = [fit.ratio for fit in choice.fits]
    span = f"{min(ratios):.2f} to {max(ratios):.2f} of the stored"
    if contradicted:
        return _Assumed(choice.config, shown, "", contradicted)
    if choice.misfit > statistics.FITS:
        return _Assumed(
            choice.config,
            {},
            "",
            f"WARNING: the batch-norm statistics do not fit: what enters the norms varies by "
            f"{span}, expected about 1, so the images may be those of another network",
        )
    return _Assumed(choice.config, shown, f"batch-norm statistics fit: variance {span}", "")


def _before_output(config: ChainConfig, generator: StoredNetwork) -> Tensor:
    """Samples of a generator, without its last activation."""
    linear = replace(config.generator[-1], activation="none")
    config = replace(config, generator=(*config.generator[:-1], linear), images="[-1, 1]")
    network = build(config, "generator", chain_tensors(config, generator))
    with torch.no_grad():
        maps: Tensor = network(latents.sample(config, evidence.FEWER, seed=0))
    return maps


def _trained(config: ChainConfig, generator: StoredNetwork) -> bool:
    """Whether the generator has statistics that are not those of a new norm."""
    chain = build(config, "generator", chain_tensors(config, generator))
    return not statistics.untouched(chain)


def _statistics(
    config: Config | ChainConfig,
    parts: Mapping[str, Any],
    facts: Facts,
    images: str | os.PathLike[str] | Images | None,
    where: str,
) -> str:
    """Where the batch-norm statistics are from, in words; they are estimated if that was asked."""
    new = {part: statistics.untouched(network) for part, network in parts.items()}
    if facts.statistics == "estimate":
        if "generator" not in parts and images is None:
            raise InputError(
                f"{where}: found a discriminator without a generator, expected images for its"
                " batch-norm statistics (convert --images), or the generator beside it"
            )
        return statistics.estimate(config, parts, images)
    for part, names in new.items():
        if names:
            raise InputError(
                f"{where}: {part}: found {len(names)} batch norms whose statistics were never "
                f"updated (means 0, variances 1; {names[0]}), expected those of training; "
                "--statistics estimate measures them"
            )
    if images is not None:
        raise InputError(
            f"{where}: found images given, expected none: its statistics are known (or "
            "--statistics estimate)"
        )
    return STORED


def _remark(
    config: Config | ChainConfig,
    assumed: _Assumed,
    networks: Mapping[str, StoredNetwork],
    facts: Facts,
) -> str:
    """One line on what was opened, what was assumed, and how to override it."""
    chain, colours = assumed.config, "grey" if config.channels == 1 else "colour"
    words = " and ".join(networks)
    line = f"opened as the {words} of {config.size}x{config.size} {colours} images"
    notes = dict.fromkeys(
        note for network in networks.values() for layer in network.layers for note in layer.notes
    )
    line += "".join(f", {note}" for note in notes)
    if chain.classes:
        line += f", class {chain.label} of {chain.classes}"
    guessed = _assumptions(chain, facts, assumed.shown)
    line += f"; assumed: {', '.join(guessed)}" if guessed else ""
    line += "".join(f"; {words}" for words in (*assumed.shown.values(), assumed.checked) if words)
    options = "--z, --output, --slope, --size, --eps or --class K/N (of --model or convert)"
    return f"{line}. Override with {options}"


def _assumptions(config: ChainConfig, facts: Facts, shown: Mapping[str, str]) -> list[str]:
    """Facts that were neither given nor shown."""
    result = []
    blocks = [*config.generator, *config.discriminator]
    if config.generator:
        if facts.z is None and "z" not in shown:
            result.append(f"z {config.z_distribution} ({config.z_size})")
        if config.classes and facts.class_first is None and "class" not in shown:
            result.append("the class before z" if config.class_first else "the class behind z")
        if facts.output is None and "D output" not in shown:
            result.append(f"output {config.generator[-1].activation}")
        if facts.slope is None and "slope" not in shown:
            result.append(f"slope {config.generator[0].slope:g} in the generator")
    if config.discriminator and facts.d_slope is None and "D slope" not in shown:
        result.append(f"slope {config.discriminator[0].slope:g} in the discriminator")
    if facts.eps is None and "eps" not in shown and any(b.norm != "none" for b in blocks):
        result.append(f"eps {blocks[0].eps:g}")
    if facts.size is None and "strides" not in shown:
        result.append(f"size {config.size} (customary strides)")
    if any(block.norm == "instance" for block in blocks):
        result.append("instance norms, where norms have no statistics")
    return result
