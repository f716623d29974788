"""Compare the facts that a user gives with the statistics of batch norm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dcgan_probe.checkpoints import hypotheses
from dcgan_probe.checkpoints.assembly import guesses
from dcgan_probe.checkpoints.facts import Facts
from dcgan_probe.checkpoints.hypotheses import NEARER, NOISE, Choice
from dcgan_probe.checkpoints.statistics import FITS
from dcgan_probe.checkpoints.structure import StoredNetwork
from dcgan_probe.errors import InputError
from dcgan_probe.networks.chain_config import ChainConfig

SHOWN = ("z", "slope", "eps", "size", "label")  # facts that a generator's norms may contradict


def contradiction(
    said: Choice, networks: Mapping[str, StoredNetwork], facts: Facts, where: str
) -> str:
    """A warning if the statistics fit much better without the given facts, else "".

    said: what was chosen with the facts. It stays: the warning has the variance that enters a norm,
    over the stored one, with the facts as given and as the statistics suggest.
    """
    names = [name for name in SHOWN if getattr(facts, name) is not None]
    if not names or not said.fits:
        return ""
    generator = networks["generator"]
    if words := hypotheses.other_side(said.config, generator, facts):
        return f"WARNING: the batch-norm statistics contradict --class {facts.label}: {words}"
    if max(fit.distance for fit in said.fits) <= NOISE:
        return ""
    try:
        unsaid = replace(facts, **dict.fromkeys(names))
        free = hypotheses.choose(guesses(networks, unsaid, where), generator, unsaid)
    except InputError:
        return ""  # without its size no strides lead to an image
    pairs = [
        (a, b)
        for a, b in zip(said.fits, free.fits, strict=True)
        if b.distance < NEARER * a.distance and a.distance - b.distance > NOISE / 2
    ]
    if not pairs or free.misfit > FITS:
        return ""
    worse, better = pairs[0]  # in the order of the data: the one next to the cause
    shown = {name: _value(free.config, name) for name in names}
    wrong = [name for name in names if shown[name] != _value(said.config, name)]
    if not wrong:
        return ""
    option = {"label": "class"}
    as_said = ", ".join(f"--{option.get(name, name)} {getattr(facts, name)}" for name in wrong)
    found = ", ".join(f"{option.get(name, name)} {shown[name]}" for name in wrong)
    line = (
        f"WARNING: the batch-norm statistics contradict {as_said}: what enters {worse.name} varies "
        f"by {worse.ratio:.2f} of the stored as said, by {better.ratio:.2f} with {found}"
    )
    if abs(worse.ratio - better.ratio) < NOISE:
        line += f"; its means are off by {worse.shift:.2f} and {better.shift:.2f} deviations"
    return line


def _value(config: ChainConfig, name: str) -> str:
    """A fact of a config, in words."""
    blocks = config.generator
    hidden = ["none" if b.activation == "none" else f"{b.slope:g}" for b in blocks[:-1]]
    side = "first" if config.class_first else "last"
    values = {
        "z": [config.z_distribution],
        "slope": hidden,
        "eps": [f"{block.eps:g}" for block in blocks if block.norm != "none"],
        "size": [str(config.size)],
        "label": [f"of {config.classes}:{side}" if config.classes else "none"],
    }[name]
    return values[0] if len(set(values)) == 1 else ", ".join(values)
