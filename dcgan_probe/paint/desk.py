"""Answer the requests of the page."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np

from dcgan_probe.edits.donors import Donors
from dcgan_probe.edits.filters import Selection
from dcgan_probe.edits.places import PlaceEdit
from dcgan_probe.edits.strokes import Stroke
from dcgan_probe.edits.tails import Tail
from dcgan_probe.errors import unknown
from dcgan_probe.figures.rasters import pixels, png
from dcgan_probe.networks.config import MAX_FEATURE_MAPS
from dcgan_probe.pages.server import Answer
from dcgan_probe.pages.work_file import NotSaved
from dcgan_probe.pages.writers import Writers
from dcgan_probe.paint.brushes import Brushes
from dcgan_probe.paint.state import MAX_REACH, State, axis_of
from dcgan_probe.paint.work import PaintWork
from dcgan_probe.storage.json_values import Value


class Desk:
    """Lets one tab at a time paint, and tells the others.

        >>> desk = Desk(work, brushes, [], ["0:1", "0:2"], [])
        >>> desk.answers["/join"](Value({"tab": "a"}, "request"))["writes"]
        True

    Images are answered as bytes: the length of some JSON, 4 bytes with the lowest first, that JSON,
    and RGBA pixels of images one after the other. selections: that get a slider each.
    """

    def __init__(
        self,
        work: PaintWork,
        brushes: Brushes,
        notices: Sequence[str],
        strip: Sequence[str],
        selections: Sequence[Selection],
    ):
        self.work, self.brushes, self.notices = work, brushes, list(notices)
        self.studio, self.session = work.studio, work.studio.session
        self.strip_samples = list(strip)
        self.selections = list(selections)
        self._writers = Writers()
        self._lock = Lock()  # one question at a time: they share what was computed
        self._closed = False
        self._kept: tuple[str, int] | None = None  # donor of the stroke that is being drawn
        changing: dict[str, Callable[[Value], dict[str, Any] | bytes]] = {
            "/stroke": self.stroke,
            "/stamp": self.stamp,
            "/axis": self.axis,
            "/walk": self.walk,
            "/gain": self.gain,
            "/sample": self.sample,
            "/undo": self.undo,
            "/redo": self.redo,
            "/clear": self.clear,
            "/warm": self.warm,
            "/write": self.write,
            "/picture": self.picture,
            "/film": self.film,
        }
        reading: dict[str, Callable[[Value], dict[str, Any] | bytes]] = {
            "/join": self.join,
            "/take": self.take,
            "/image": self.image,
            "/before": self.before,
            "/strip": self.strip,
            "/pick": self.pick,
        }
        self.answers: dict[str, Answer] = {
            "/alive": self._writers.alive,
            "/leave": self._writers.leave,
            **{path: self._alone(answer) for path, answer in reading.items()},
            **{path: self._alone(self._writing(answer)) for path, answer in changing.items()},
        }

    def close(self) -> None:
        """Wait for the answer that is being computed, and refuse those that come after it."""
        self._closed = True
        with self._lock:
            pass

    # What the page receives -----------------------------------------------------------------------

    def join(self, request: Value) -> dict[str, Any]:
        """All that the page shows but images, and whether the tab may paint."""
        session, brushes, config = self.session, self.brushes, self.session.config
        checkpoint = session.checkpoint
        concepts = self.studio.concepts
        return {
            "writes": self._writers.may(request["tab"].text()),
            "file": str(self.work.path),
            "model": f"{checkpoint.name} ({checkpoint.sha256[:8]})",
            "seed": session.seed,
            "class": self.studio.drawn_class,
            "size": config.size,
            "inForce": [str(edit) for edit in session.edits],
            "notices": self.notices,
            "layers": {name: list(grid) for name, grid in brushes.layers.items()},
            "layer": brushes.default,
            "whole": [n for n in brushes.layers if not Tail(session.generator, n).cut],
            "labels": list(brushes.labels),
            "palette": [
                {
                    "label": item.box.label,
                    "sample": f"{item.donors.seed}:{item.box.image}",
                    "box": list(item.box.edges),
                    "png": _png(item.thumbnail),
                }
                for item in brushes.palette
            ],
            "boxes": len(brushes.boxes.boxes) if brushes.boxes is not None else 0,
            "concepts": list(concepts.named) if concepts is not None else [],
            "named": list(self.studio.named),
            "strip": self.strip_samples,
            "selections": [_slider(each) for each in self.selections],
            "reach": MAX_REACH,
            **self._said(self.work.history.now),
        }

    def take(self, request: Value) -> dict[str, Any]:
        """Let this tab paint from here on."""
        self._writers.take(request)
        return self.join(request)

    def image(self, request: Value) -> bytes:
        """What is shown now."""
        return self._shown(self.work.history.now)

    def before(self, request: Value) -> bytes:
        """The sample without anything done to it."""
        return self._shown(State(self.work.history.now.sample))

    def strip(self, request: Value) -> bytes:
        """Other samples, with the same edits where `edited`; from another one on where `from`."""
        if "from" in request:
            seed, index = self.studio.place(request["from"].text())
            count = len(self.strip_samples)
            self.strip_samples = [f"{seed}:{index + i}" for i in range(count)]
        edited = request["edited"].found is True
        images = self.studio.strip(self.work.history.now, self.strip_samples, edited)
        return _packed(images, {"strip": self.strip_samples})

    def pick(self, request: Value) -> dict[str, Any]:
        """The filters that stand out most at a place."""
        layer = self.brushes.layer(request["layer"].text())
        now = self.work.history.now
        self.studio.image(now)
        maps = self.studio.chain(now).maps(layer)
        found = self.brushes.strongest(maps, layer, request["x"].number(), request["y"].number())
        return {"layer": layer, "filters": [{"filter": f, "score": s} for f, s in found]}

    # What changes it -----------------------------------------------------------------------------

    def stroke(self, request: Value) -> bytes:
        """Draw a stroke as far as it goes; it counts once it is `done`."""
        now, done = self.work.history.now, self._done(request)
        stroke = Stroke.read(request)
        brush = request["brush"].text()
        if brush == "restore" and not done and now.edits:
            self.studio.image(now)
            images = self.studio.chain(now).images_restored(stroke)
            return _packed(pixels(images), self._said(now))
        if brush == "restore":
            return self._next(
                now.restored(replace(stroke, restores=True), self.session.config), done
            )
        layer = self.brushes.layer(request["layer"].text())
        if brush == "object":
            label = request["label"].text()
            edit = self.brushes.erase_object((stroke,), label, layer)
            if not done:
                # While it is drawn, the donor that fits around all that could be erased.
                edit = replace(edit, donors=self._donor_of(request, edit))
            return self._next(now.with_edit(edit), done)
        if brush != "here":
            raise unknown("brush", brush, ("here", "object", "restore"))
        # While it is drawn the donor stays the one that fitted its beginning; at the end the one
        # that fits on the rim of the whole.
        name = f"here {request['id'].text()}"
        if done or self._kept is None or self._kept[0] != name:
            self.studio.image(now)
            number = self.brushes.donor(self.studio.chain(now).maps(layer), (stroke,), layer)
            self._kept = name, number
        edit = self.brushes.erase_here((stroke,), layer, self._kept[1])
        return self._next(now.with_edit(edit), done)

    def _donor_of(self, request: Value, edit: PlaceEdit) -> Donors:
        assert edit.donors is not None
        name = f"object {request['id'].text()}"
        if self._kept is None or self._kept[0] != name:
            now = self.work.history.now
            self.studio.image(now)
            everywhere = replace(edit, strokes=())
            self._kept = name, self.studio.chain(now).donor(everywhere)
        return Donors(edit.donors.seed, (edit.donors.indices[self._kept[1]],))

    def stamp(self, request: Value) -> bytes:
        """Put an object of the palette at a place."""
        number = request["item"].whole(0, max(0, len(self.brushes.palette) - 1))
        layer = self.brushes.layer(request["layer"].text())
        edit = self.brushes.stamp(number, request["x"].number(), request["y"].number(), layer)
        return self._next(self.work.history.now.with_edit(edit), self._done(request))

    def axis(self, request: Value) -> bytes:
        """Move along an axis between two concepts."""
        axis = axis_of(request)
        self.studio.axis(axis.start, axis.end)
        return self._next(self.work.history.now.with_axis(axis), self._done(request))

    def walk(self, request: Value) -> bytes:
        """Go towards a second sample."""
        at = request["at"].number()
        if not 0 <= at <= 1:
            raise request["at"].error("a number from 0 to 1")
        target = request["to"].text()
        self.studio.latent(target)
        state = replace(self.work.history.now, walk=(target, at))
        return self._next(state, self._done(request))

    def gain(self, request: Value) -> bytes:
        """Amplify or drop filters of a layer."""
        gain = request["at"].number()
        if not 0 <= gain <= MAX_REACH:
            raise request["at"].error(f"a number from 0 to {MAX_REACH:g}")
        layer = request["layer"].text()
        filters = tuple(each.whole(0, MAX_FEATURE_MAPS) for each in request["filters"].items())
        now = self.work.history.now
        # That of a file keeps its region, and the values that its gains are around.
        known = [*now.selections, *self.selections]
        same = [each for each in known if (each.layer, each.filters) == (layer, filters)]
        new = Selection(layer, filters, self.session.checkpoint.sha256, {"made_by": "paint"})
        selection = replace((*same, new)[0], gains=(gain,) * len(filters))
        if all(each.filters != filters for each in now.selections):
            selection.on(self.session.generator, self.session.config)  # InputError for what is not
        return self._next(now.with_selection(selection), self._done(request))

    def sample(self, request: Value) -> bytes:
        """Show another sample, with the same edits."""
        sample = request["sample"].text()
        self.studio.latent(sample)
        return self._next(replace(self.work.history.now, sample=sample, walk=("", 0.0)), True)

    def undo(self, request: Value) -> bytes:
        self.work.history.undo()
        return self._shown(self.work.history.now)

    def redo(self, request: Value) -> bytes:
        self.work.history.redo()
        return self._shown(self.work.history.now)

    def clear(self, request: Value) -> bytes:
        """The sample as it is; undo restores what was done."""
        return self._next(State(self.work.history.now.sample), True)

    def warm(self, request: Value) -> dict[str, Any]:
        """Get ready for a brush: the first time an object must be learnt, and donors drawn.

        A stroke is tried that does not count, so that the first one that does is as quick as the
        others.
        """
        layer = self.brushes.layer(request["layer"].text())
        now, middle = self.work.history.now, self.session.config.size / 2
        stroke = Stroke(((middle, middle),), middle / 8)
        if request["brush"].text() == "object":
            edit = self.brushes.erase_object((stroke,), request["label"].text(), layer)
        else:
            self.studio.image(now)
            donor = self.brushes.donor(self.studio.chain(now).maps(layer), (stroke,), layer)
            edit = self.brushes.erase_here((stroke,), layer, donor)
        self.studio.image(now.with_edit(edit))
        return {"layer": edit.layers[0]}

    def write(self, request: Value) -> dict[str, Any]:
        """Write the file of edits."""
        self.work.write()
        return {"file": str(self.work.path)}

    def picture(self, request: Value) -> dict[str, Any]:
        path, differ = self.work.write_picture()
        return {"file": str(path), "differ": differ}

    def film(self, request: Value) -> dict[str, Any]:
        path, frames = self.work.write_film()
        return {"file": str(path), "frames": frames}

    # How -----------------------------------------------------------------------------------------

    def _alone(self, answer: Callable[[Value], Any]) -> Answer:
        def one(request: Value) -> dict[str, Any] | bytes:
            with self._lock:
                if self._closed:
                    raise NotSaved("dcgan-probe paint has ended")
                reply: dict[str, Any] | bytes = answer(request)
                return reply

        return one

    def _writing(self, answer: Callable[[Value], Any]) -> Callable[[Value], Any]:
        def mine(request: Value) -> Any:
            if not self._writers.may(request["tab"].text()):
                return {"writes": False}
            return answer(request)

        return mine

    def _next(self, state: State, done: bool) -> bytes:
        reply = self._shown(state)  # before it counts: what cannot be drawn is refused
        if done:
            self.work.history.push(state)
            self._kept = None
            reply = self._shown(state)  # with one more step to undo
        return reply

    def _shown(self, state: State) -> bytes:
        return _packed(self.studio.image(state)[None], self._said(state))

    def _said(self, state: State) -> dict[str, Any]:
        """A state in words and numbers, for the sliders."""
        undo, redo = self.work.history.depth
        return {
            **state.about(),
            "gains": [_slider(each) for each in state.selections],
            "edits": len(state.edits),
            "undo": undo,
            "redo": redo,
        }

    def _done(self, request: Value) -> bool:
        return "done" in request and request["done"].found is True


def _slider(selection: Selection) -> dict[str, Any]:
    gain = selection.gains[0] if selection.gains else 0.0
    return {"layer": selection.layer, "filters": list(selection.filters), "at": gain}


def _packed(images: np.ndarray, said: dict[str, Any]) -> bytes:
    head = json.dumps({**said, "images": len(images)}).encode()
    alpha = np.full((*images.shape[:3], 1), 255, np.uint8)
    rgba = np.concatenate([images, alpha], axis=3)
    return struct.pack("<I", len(head)) + head + rgba.tobytes()


def _png(image: np.ndarray) -> str:
    return base64.b64encode(png(image)).decode()
