"""Generate images under a sequence of edits, caching what has not changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor

from dcgan_probe import hooks
from dcgan_probe.edits.filters import Selection
from dcgan_probe.edits.places import Drawn, PlaceEdit, Planner
from dcgan_probe.edits.strokes import Stroke
from dcgan_probe.edits.tails import Tail
from dcgan_probe.errors import unknown
from dcgan_probe.session import Session

LayerEdit = Selection | PlaceEdit
Function = Callable[[Tensor], Tensor]
KEPT = 8  # of the newest links, whose maps stay in memory


class DonorMaps:
    """Maps of donors that edits share, as long as the filters are edited alike."""

    def __init__(self) -> None:
        self._selections: tuple[Selection, ...] = ()
        self.drawn = Drawn()

    def under(self, selections: tuple[Selection, ...]) -> Drawn:
        """What was drawn under these edits of filters."""
        if selections != self._selections:
            self._selections, self.drawn = selections, Drawn()
        return self.drawn


class Chain:
    """Images of some latents under a list of edits, which may grow, shrink or change at its end.

        >>> chain = Chain(session, session.latents(1), maps_of_the_first_layer)
        >>> chain.images([stronger, brushed]).shape
        torch.Size([1, 3, 64, 64])
        >>> chain.images([stronger, brushed, brushed_again])        # only the last one is computed

    The images are those of `session.editing(*edits)`: selections come before edits by place. maps:
    the output of the generator's first layer of maps for the latents.
    """

    def __init__(self, session: Session, z: Tensor, maps: Tensor, donors: DonorMaps):
        self.session, self.z, self.donors = session, z, donors
        self.order = tuple(session.config.hidden("generator"))
        self.edits: list[LayerEdit] = []
        self._functions: list[Mapping[str, Function]] = [{}]
        self._maps: list[dict[str, Tensor]] = [{self.order[0]: maps}]
        self._tails: dict[str, Tail] = {}

    @torch.no_grad()
    def images(self, edits: Sequence[LayerEdit]) -> Tensor:
        """N x channels x size x size float32, on the generator's device."""
        self._follow(edits)
        start = self._latest(self.order[-1], included=True)
        images = self._tail(start).run(self.maps(start).clone(), self.z)
        for link in self._maps[1:-KEPT]:
            link.clear()
        return images

    @torch.no_grad()
    def maps(self, name: str) -> Tensor:
        """The output of a layer under all edits that `images` was last asked for."""
        return self._at(len(self.edits), name)

    def _follow(self, edits: Sequence[LayerEdit]) -> None:
        same = 0
        for mine, other in zip(self.edits, edits, strict=False):
            if mine is not other:
                break
            same += 1
        del self.edits[same:], self._functions[same + 1 :], self._maps[same + 1 :]
        for edit in edits[same:]:
            functions = self._plan(edit)
            self.edits.append(edit)
            self._functions.append(functions)
            self._maps.append({})

    @torch.no_grad()
    def images_restored(self, stroke: Stroke) -> Tensor:
        """The same as `images` was last asked for, but as they were before brushes at a stroke.

        Mixed at the latest edited layer: what is cheap, and nearly what `State.restored` gives.
        """
        start = self._latest(self.order[-1], included=True)
        sliders = sum(isinstance(edit, Selection) for edit in self.edits)
        maps, plain = self.maps(start), self._at(sliders, start)
        grid = self.session.config.hidden("generator")[start]
        share = stroke.reached(grid, self.session.config.size) * stroke.strength
        weight = torch.from_numpy(share).to(maps)
        return self._tail(start).run(torch.lerp(maps, plain, weight), self.z)

    @torch.no_grad()
    def donor(self, edit: PlaceEdit) -> int:
        """The number of the donor that an edit would choose for the first latent now."""
        maps = {name: self.maps(name) for name in edit.seen}
        planner = self._planner(edit)
        return int(planner.match(maps, planner.logits(maps)).number[0])

    def _plan(self, edit: LayerEdit) -> Mapping[str, Function]:
        if isinstance(edit, Selection):
            if edit.layer not in self.order:  # a part of a layer, which the chain does not see
                raise unknown("layer", edit.layer, self.order)
            return {edit.layer: self._hook(edit).edit}
        return self._planner(edit)({name: self.maps(name) for name in edit.seen})

    def _planner(self, edit: PlaceEdit) -> Planner:
        generator, config = self.session.generator, self.session.config
        selections = tuple(each for each in self.edits if isinstance(each, Selection))
        drawn = self.donors.under(selections)
        with ExitStack() as stack:  # for donors that are not drawn yet
            for each in selections:
                stack.enter_context(self._hook(each))
            return edit.planner(generator, config, drawn)

    def _hook(self, edit: Selection) -> hooks.Ablation:
        generator = self.session.generator
        if edit.where is None:  # `on` would give the same, after a forward of its own
            return edit.hook(generator)
        return edit.on(generator, self.session.config)

    def _at(self, link: int, name: str) -> Tensor:
        """The output of a layer under the first edits."""
        before = self.order[: self.order.index(name)]
        base = link
        while name not in self._maps[base] and base:
            if any(layer in before for layer in self._functions[base]):
                break
            base -= 1
        if name in self._maps[base]:
            maps = self._maps[base][name]
        else:
            start = self._latest(name, included=False, link=link)
            maps = self._tail(start).collect(self._at(link, start).clone(), self.z, (name,))[name]
            base = 0
        for functions in self._functions[base + 1 : link + 1]:
            if name in functions:
                maps = functions[name](maps)
        self._maps[link][name] = maps
        return maps

    def _latest(self, name: str, included: bool, link: int | None = None) -> str:
        """The latest layer before one that is edited, or the first of all."""
        end = self.order.index(name) + included
        edited = {
            layer
            for functions in self._functions[: None if link is None else link + 1]
            for layer in functions
        }
        return next((each for each in reversed(self.order[:end]) if each in edited), self.order[0])

    def _tail(self, layer: str) -> Tail:
        if layer not in self._tails:
            self._tails[layer] = Tail(self.session.generator, layer)
        return self._tails[layer]


def first_maps(session: Session, z: Tensor) -> Tensor:
    """The output of the generator's first layer of maps, N x filters x h x w."""
    name = next(iter(session.config.hidden("generator")))
    with torch.no_grad():
        return hooks.activations(session.generator, name, z.to(session.device))
