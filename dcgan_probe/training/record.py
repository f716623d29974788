"""What a training writes to look at: measurements, losses, samples."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from dcgan_probe import figures
from dcgan_probe.errors import InputError, parsing
from dcgan_probe.storage import files
from dcgan_probe.training import figures as charts

METRICS, SAMPLES = "metrics.jsonl", "samples"
LOSSES, SIDE_BY_SIDE = "losses.png", "epochs.png"
# The epochs after which the paper shows its bedrooms (figures 2 and 3).
EPOCHS = (1, 5)
COLUMNS = 8
MAX_LOG = 1_000_000_000  # bytes
_EVENTS = ".dcgan-probe"  # how the names of our own files of events end


class Record:
    """The measurements and pictures in the folder of a training.

        >>> record = Record(Path("run"), steps=0)
        >>> record.note(step=10, discriminator=1.2, generator=0.8)
        >>> record.save()

    steps: how far the state goes that training starts from; what was noted after it is dropped,
    since it will happen again. caption: of the pictures.
    """

    def __init__(self, folder: Path, steps: int, caption: str = "", tensorboard: bool = False):
        self.folder = folder
        self.caption = caption
        self.lines: list[dict[str, Any]] = []
        log = folder / METRICS
        if steps and log.exists():
            with parsing(log, "measurements, a JSON object on each line; remove it to go without"):
                text = files.read_bytes(log, "measurements", MAX_LOG).decode()
                lines = [json.loads(line) for line in text.splitlines()]
                if not all(map(_is_measurement, lines)):
                    raise ValueError("a line of another kind")
                self.lines = [line for line in lines if line["step"] <= steps]
        self._board = _board(folder, self.lines, steps) if tensorboard else None

    def note(self, step: int, **values: Any) -> None:
        """Keep what was measured at a step, for the next `save`."""
        self.lines.append({"step": step, **values})
        if self._board is not None:
            _add(self._board, self.lines[-1])

    def samples(self, name: str, images: Tensor, step: int) -> None:
        """Draw samples N x C x S x S in [-1, 1] as ``samples/<name>.png``, one pixel a pixel.

        With those of the last of `EPOCHS`, all of these are drawn side by side as ``epochs.png``.
        """
        sheet = figures.tile(figures.pixels(images), COLUMNS, gap=0)
        figures.write_image(self.folder / SAMPLES / f"{name}.png", sheet)
        if self._board is not None and name.isdigit():
            self._board.add_image("samples", sheet, step, dataformats="HWC")
            self._board.flush()  # they are drawn after `save`, and no other may follow
        if name == f"epoch_{EPOCHS[-1]}":
            self._draw_epochs()

    def save(self) -> None:
        """Write all measurements."""
        text = "".join(json.dumps(line) + "\n" for line in self.lines)
        files.write_text(self.folder / METRICS, text)
        if self._board is not None:
            self._board.flush()

    def draw(self) -> None:
        """Draw ``losses.png``: the losses and distances noted so far."""
        charts.draw(self.lines, self.folder / LOSSES, self.caption)

    def _draw_epochs(self) -> None:
        sheets = [figures.read_image(self.folder / SAMPLES / f"epoch_{e}.png") for e in EPOCHS]
        saved = [sheet for sheet in sheets if sheet is not None]
        if len(saved) == len(EPOCHS):
            figures.draw(
                self.folder / SIDE_BY_SIDE,
                "Samples of the same latents after one and after five epochs",
                [
                    figures.Block(f"epoch {epoch}", sheet[None, None])
                    for epoch, sheet in zip(EPOCHS, saved, strict=True)
                ],
                [""],
                f"The paper's figures 2 and 3, for this training. {self.caption}.",
                zoom=1,
            )


def clear(folder: Path) -> None:
    """Remove the record of an earlier training from a folder, and nothing else.

    >>> clear(Path("run"))
    """
    names = {f"epoch_{epoch}" for epoch in EPOCHS}
    sheets = (folder / SAMPLES).glob("*.png")
    drawn = [sheet for sheet in sheets if sheet.stem in names or sheet.stem.isdecimal()]
    for path in (*(folder / name for name in (METRICS, LOSSES, SIDE_BY_SIDE)), *drawn):
        path.unlink(missing_ok=True)
    _clear_events(folder)


def _is_measurement(line: Any) -> bool:
    return (
        isinstance(line, dict)
        and type(line["step"]) is int
        and all(
            isinstance(value, str) if name == "warning" else _is_number(value)
            for name, value in line.items()
        )
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _board(folder: Path, lines: Sequence[Mapping[str, Any]], steps: int) -> Any:
    """A writer of events that begins with all that was measured and drawn before.

    Its own files of before are removed: a training that was killed had not written all of them, and
    TensorBoard reads files in the order of the clock, which may have gone back.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(
            "--tensorboard: found no package tensorboard, expected it: pip install tensorboard"
        ) from error
    board = SummaryWriter(str(_clear_events(folder)), filename_suffix=_EVENTS)
    for line in lines:
        _add(board, line)
    for path in sorted((folder / SAMPLES).glob("*.png")):
        sheet = figures.read_image(path) if path.stem.isdigit() else None
        if sheet is not None and int(path.stem) < steps:  # that of `steps` is drawn once more
            board.add_image("samples", sheet, int(path.stem), dataformats="HWC")
    return board


def _clear_events(folder: Path) -> Path:
    """Remove our files of events; returns where they are."""
    events = folder / "tensorboard"
    for old in events.glob(f"events.out.tfevents.*{_EVENTS}"):
        old.unlink()
    return events


def _add(board: Any, line: Mapping[str, Any]) -> None:
    for name, value in line.items():
        if isinstance(value, float):
            board.add_scalar(name, value, line["step"])
        elif isinstance(value, str):
            board.add_text(name, value, line["step"])
