"""Generate the images of a state: the sample, and others next to it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dcgan_probe.checkpoints.adapters import Adapted
from dcgan_probe.edits.painting import Painting, Part
from dcgan_probe.edits.shift import Shift
from dcgan_probe.errors import InputError, unknown
from dcgan_probe.figures.rasters import pixels
from dcgan_probe.latents.concepts import Concepts
from dcgan_probe.latents.sampling import MAX_SEED, between
from dcgan_probe.networks.chain_config import ChainConfig
from dcgan_probe.paint.chain import Chain, DonorMaps, first_maps
from dcgan_probe.paint.state import State
from dcgan_probe.session import BATCH, Session

_SAMPLE = re.compile("([0-9]{1,19}):([0-9]{1,9})")
REMEMBERED = 256  # latents: a block of them is drawn for each
AXES_OF = 3  # exemplars of a concept, as `turn` takes them


class Studio:
    """Images of states, quickly: what did not change since the last one is not computed again.

        >>> studio = Studio(session, concepts=None)
        >>> studio.image(State("0:17")).shape
        (64, 64, 3)

    concepts: for axes. named: latents by name, beside those that the session keeps.
    """

    def __init__(
        self, session: Session, concepts: Concepts | None, named: dict[str, Tensor] | None = None
    ):
        self.session, self.concepts = session, concepts
        self.named = {**session.kept, **(named or {})}
        self._drawn: dict[str, Tensor] = {}
        self._donors = DonorMaps()
        self._shown: tuple[tuple[str, Shift | None], Chain] | None = None
        self._strip: tuple[tuple[tuple[str, ...], Shift | None], Chain] | None = None
        self._without_maps = not session.config.hidden("generator")

    @property
    def drawn_class(self) -> int | None:
        """The class that a conditional generator draws; None of any other."""
        config, generator = self.session.config, self.session.generator
        if isinstance(config, ChainConfig) and config.classes:
            return config.label
        if isinstance(generator, Adapted) and generator.label is not None:
            label = generator.label
            return int(label.argmax() if label.is_floating_point() else label[0])
        return None

    def latent(self, sample: str) -> Tensor:
        """1 x z_size, of "seed:index" or a name; InputError for another text."""
        if sample in self.named:
            return self.named[sample][:1]
        seed, index = self.place(sample)
        if sample not in self._drawn:
            if len(self._drawn) >= REMEMBERED:
                self._drawn.clear()
            self._drawn[sample] = self.session.latents(1, seed, index)
        return self._drawn[sample]

    def place(self, sample: str) -> tuple[int, int]:
        """Seed and index of "seed:index"; InputError for another text."""
        match = _SAMPLE.fullmatch(sample)
        if match is None or int(match[1]) > MAX_SEED:
            raise unknown("sample", sample, [*self.named, "seed and index, as 3:17"])
        return int(match[1]), int(match[2])

    def shift(self, state: State) -> Shift | None:
        """What sliders add to z; None where they stand at 0."""
        z = self.latent(state.sample)
        whole = torch.zeros_like(z)
        target, at = state.walk
        if target and at:
            way = "spherical" if self.session.config.z_distribution == "normal" else "linear"
            to = self.latent(target)[0]
            whole = whole + between(z[0], to, torch.tensor([at]), way) - z
        for axis in state.axes:
            whole = whole + axis.at * self.axis(axis.start, axis.end)
        if not whole.any():
            return None
        about = state.about()
        return Shift(tuple(whole[0].tolist()), self.session.checkpoint.sha256, about)

    def axis(self, start: str, end: str) -> Tensor:
        """From one concept to another, 1 x z_size, as in `turn`; from "" it begins at 0.

        Raises InputError for unknown concepts, and two of the same mean.
        """
        far = self._concept(end)
        axis = far - self._concept(start) if start else far
        if not axis.any():
            raise InputError(f"paint: found no axis from {start} to {end}: they are the same")
        return axis

    def painting(self, state: State) -> Painting:
        """The edit that makes the state's image of its sample."""
        shift = self.shift(state)
        edits: tuple[Part, ...] = (*state.selections, *state.edits)
        if shift is not None:
            edits = (shift, *edits)
        return Painting(edits, self.session.checkpoint.sha256, state.about())

    def image(self, state: State) -> np.ndarray:
        """What is shown, H x W x 3 uint8."""
        if self._without_maps:
            return pixels(self._plain(state, [state.sample]))[0]
        return pixels(self.chain(state).images([*state.selections, *state.edits]))[0]

    def chain(self, state: State) -> Chain:
        """Of the state's sample with its sliders; the edits are those that were shown last."""
        key = state.sample, self.shift(state)
        if self._shown is None or self._shown[0] != key:
            block, row = self._block(state.sample)
            if key[1] is not None:
                block = key[1].moved(block)
            # With as many others as the command line draws it: the last bit may depend on that.
            maps = first_maps(self.session, block)[row : row + 1]
            z = block[row : row + 1].to(self.session.device)
            self._shown = key, Chain(self.session, z, maps, self._donors)
        return self._shown[1]

    def strip(self, state: State, samples: Sequence[str], edited: bool) -> np.ndarray:
        """Other samples, with the same edits or as they are, N x H x W x 3 uint8."""
        shown = state if edited else State(state.sample)
        if self._without_maps:
            return pixels(self._plain(shown, samples))
        key = tuple(samples), self.shift(shown)
        if self._strip is None or self._strip[0] != key:
            z = torch.cat([self.latent(sample) for sample in samples])
            if key[1] is not None:
                z = key[1].moved(z)
            z = z.to(self.session.device)
            chain = Chain(self.session, z, first_maps(self.session, z), self._donors)
            self._strip = key, chain
        return pixels(self._strip[1].images([*shown.selections, *shown.edits]))

    def exact(self, state: State) -> np.ndarray:
        """The same as `image`, as a later command line draws it: with the painting applied."""
        block, row = self._block(state.sample)
        with self.session.editing(self.painting(state)):
            return pixels(self.session.generate(block)[row : row + 1])[0]

    def _plain(self, state: State, samples: Sequence[str]) -> Tensor:
        z = torch.cat([self.latent(sample) for sample in samples])
        shift = self.shift(state)
        return self.session.generate(z if shift is None else shift.moved(z))

    def _block(self, sample: str) -> tuple[Tensor, int]:
        """The batch in which the command line draws a sample, and its row."""
        if sample in self.named:
            return self.latent(sample), 0
        seed, index = self.place(sample)
        start = index // BATCH * BATCH
        return self.session.latents(BATCH, seed, start), index - start

    def _concept(self, name: str) -> Tensor:
        if self.concepts is None or name not in self.concepts.named:
            raise unknown("concept", name, self.concepts.named if self.concepts else ())
        few = min(AXES_OF, len(self.concepts.named[name].exemplars))
        z = self.session.find_latents(name, self.concepts, few)
        return z.mean(0, keepdim=True)
