"""The files of a painting: saved continuously, resumed by the same command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from dcgan_probe.edits import painting as paintings
from dcgan_probe.edits.filters import Selection
from dcgan_probe.edits.painting import Painting
from dcgan_probe.edits.places import PlaceEdit
from dcgan_probe.errors import InputError
from dcgan_probe.figures import film
from dcgan_probe.figures.panels import zoom_for
from dcgan_probe.figures.rasters import write_image
from dcgan_probe.pages.work_file import resume, saving
from dcgan_probe.paint.brushes import describe
from dcgan_probe.paint.state import History, State, axis_of
from dcgan_probe.paint.studio import Studio
from dcgan_probe.storage import files
from dcgan_probe.storage.json_values import Value

FPS = 1  # frames a second
FRAMES = 120  # of a film, at most
HOLD = 1  # frames for which its end stands still


class PaintWork:
    """States of a painting, and the files that it is saved to.

        >>> work = PaintWork(Path("painting.json"), studio, State("0:0"))
        >>> work.history.push(work.history.now.with_edit(edit))
        >>> work.write()

    A file that is there is resumed; one that is damaged is renamed, and `notice` says so. Raises
    InputError, and leaves the file as it is, where it is of another checkpoint or was not painted.
    """

    def __init__(self, path: Path, studio: Studio, first: State):
        self.path, self.studio = path, studio
        saved, self.notice = resume(path, paintings.FORMAT, Painting.read)
        self.history = History(first if saved is None else self._state(saved))
        self._written = self.history.now

    def write(self) -> None:
        """Write what is shown as a file of edits; NotSaved where that cannot be done."""
        now = self.history.now
        with saving(self.path):
            self.studio.painting(now).write(self.path)
        self._written = now

    @property
    def unsaved(self) -> bool:
        """Whether the file does not hold what is shown, such as of a tab that was closed before."""
        return self.history.now != self._written

    def write_picture(self) -> tuple[Path, int]:
        """Write the image as the command line draws it, beside the edits.

        Returns its path, and how many of its values differ from what the page shows: none, unless
        the network's last bit depends on what else is in its batch.
        """
        path = files.next_free(self.path.with_suffix(".png"))
        now = self.history.now
        exact = self.studio.exact(now)
        differ = int((exact != self.studio.image(now)).sum())
        with saving(path):
            write_image(path, exact)
        return path, differ

    def write_film(self) -> tuple[Path, int]:
        """Write a film: the sample as it is, then edit by edit; returns its path and its length."""
        path = files.next_free(self.path.with_suffix(".gif"))
        frames, said = self.frames(), [words for words, _ in self._states()]
        zoom = 2 * zoom_for(frames.shape[1])
        large = film.label(frames.repeat(zoom, 1).repeat(zoom, 2), said)
        with saving(path):
            film.write(path, large, FPS)
        return path, len(frames)

    def frames(self) -> np.ndarray:
        """T x H x W x 3 uint8: first the sample, then its sliders, then one edit more each."""
        return np.stack([self.studio.image(state) for _, state in self._states()])

    def _states(self) -> list[tuple[str, State]]:
        """What each frame of a film shows, in words and as a state."""
        now = self.history.now
        begin = State(now.sample)
        sliders = State(now.sample, now.walk, now.axes, now.selections)
        states = [(f"sample {now.sample}", begin)]
        if sliders != begin:
            states.append(("sliders", sliders))
        count = len(now.edits)
        step = -(-count // FRAMES) or 1
        for end in sorted({*range(step, count + 1, step), *([count] if count else [])}):
            said = f"edit {end}: {describe(now.edits[end - 1])}"
            states.append((said, replace(sliders, edits=now.edits[:end])))
        return [states[0], *states, *states[-1:] * HOLD]

    def _state(self, saved: Painting) -> State:
        session, source = self.studio.session, str(self.path)
        if saved.checkpoint != session.checkpoint.sha256:
            raise InputError(
                f"{source}: checkpoint: found a painting on {saved.checkpoint[:8]}, expected one "
                f"on {session.checkpoint.name} ({session.checkpoint.sha256[:8]}), or --to another "
                "file"
            )
        about = Value(saved.about, source, "about")
        walk = about["walk"]
        target = walk["to"].found
        at = walk["at"].number()
        if not isinstance(target, str) or not 0 <= at <= 1:
            raise walk.error("a sample, and a number from 0 to 1")
        state = State(
            about["sample"].text(),
            (target, at),
            tuple(axis_of(each) for each in about["axes"].items()),
            tuple(edit for edit in saved.edits if isinstance(edit, Selection)),
            tuple(edit for edit in saved.edits if isinstance(edit, PlaceEdit)),
        )
        self.studio.shift(state)  # InputError for a sample or a concept that is not known here
        if self.studio.painting(state).edits != saved.edits:
            raise InputError(
                f"{source}: edits: found others than its sliders and brushes make, expected a "
                "file that was painted"
            )
        return state

    def __str__(self) -> str:
        now = self.history.now
        count = len(self.studio.painting(now).edits)
        return f"{count} edit{'s'[: count != 1]} on sample {now.sample}"
