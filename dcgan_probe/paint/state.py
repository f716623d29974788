"""The state of the page, with unlimited undo and redo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from dcgan_probe.edits.filters import Selection
from dcgan_probe.edits.places import PlaceEdit
from dcgan_probe.edits.strokes import Stroke
from dcgan_probe.networks.config import AnyConfig
from dcgan_probe.storage.json_values import Value

MAX_REACH = 3.0  # lengths of an axis, and gain of a filter


@dataclass(frozen=True)
class Axis:
    """So many lengths of the way from one concept to another; from "" it is from the mean of z."""

    start: str
    end: str
    at: float

    @property
    def name(self) -> tuple[str, str]:
        return self.start, self.end


@dataclass(frozen=True)
class State:
    """What the page shows. sample: "0:17", or a name. walk: a second sample, and how far on the way
    to it, 0 to 1. selections: gains of filters, by slider. edits: of brushes, in order."""

    sample: str
    walk: tuple[str, float] = ("", 0.0)
    axes: tuple[Axis, ...] = ()
    selections: tuple[Selection, ...] = ()
    edits: tuple[PlaceEdit, ...] = ()

    def with_axis(self, axis: Axis) -> State:
        """With an axis in place of what it was, in its place."""
        kept = [axis if each.name == axis.name else each for each in self.axes]
        if axis not in kept:
            kept.append(axis)
        return replace(self, axes=tuple(each for each in kept if each.at))

    def with_selection(self, selection: Selection) -> State:
        """With a selection's gains in place of what they were; gains of 1 are dropped."""
        own = selection.layer, selection.filters
        kept = [selection if (e.layer, e.filters) == own else e for e in self.selections]
        if selection not in kept:
            kept.append(selection)
        return replace(self, selections=tuple(e for e in kept if any(g != 1 for g in e.gains)))

    def with_edit(self, edit: PlaceEdit) -> State:
        return replace(self, edits=(*self.edits, edit))

    def restored(self, stroke: Stroke, config: AnyConfig) -> State:
        """With what brushes did taken back where a stroke is.

        An edit of which nothing stays is dropped.
        """
        grids = config.hidden("generator")
        edits = []
        for edit in self.edits:
            less = replace(edit, strokes=(*edit.strokes, stroke))
            name = edit.layers[0]
            before, after = (each.shares(name, grids[name], config) for each in (edit, less))
            assert before is not None and after is not None, "the edits of brushes have a region"
            if (before == after).all():
                edits.append(edit)
            elif after.any():
                edits.append(less)
        return replace(self, edits=tuple(edits))

    def about(self) -> dict[str, Any]:
        """What of it no edit says, as JSON values."""
        return {
            "sample": self.sample,
            "walk": {"to": self.walk[0], "at": self.walk[1]},
            "axes": [vars(axis) for axis in self.axes],
        }


@dataclass
class History:
    """States one after the other, and where among them we are.

    >>> history = History(State("0:0"))
    >>> history.push(State("0:1"))
    >>> history.undo(), history.now.sample
    (True, '0:0')
    """

    now: State
    _done: list[State] = field(default_factory=list)
    _undone: list[State] = field(default_factory=list)

    def push(self, state: State) -> None:
        if state != self.now:
            self._done.append(self.now)
            self._undone.clear()
            self.now = state

    def undo(self) -> bool:
        """Go one step back; False at the beginning."""
        return self._step(self._done, self._undone)

    def redo(self) -> bool:
        return self._step(self._undone, self._done)

    def _step(self, take: list[State], give: list[State]) -> bool:
        if not take:
            return False
        give.append(self.now)
        self.now = take.pop()
        return True

    @property
    def depth(self) -> tuple[int, int]:
        """How many steps can be undone, and redone."""
        return len(self._done), len(self._undone)

    def __iter__(self) -> Iterator[State]:
        """From the first to the one that is shown."""
        yield from [*self._done, self.now]


def axis_of(value: Value) -> Axis:
    """An axis from the page, or from a file."""
    at = value["at"].number()
    if abs(at) > MAX_REACH:
        raise value["at"].error(f"a number from -{MAX_REACH:g} to {MAX_REACH:g}")
    start = value["start"].found
    return Axis("" if start == "" else value["start"].text(), value["end"].text(), at)
