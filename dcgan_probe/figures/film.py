"""Films of images: mp4, or an animated PNG or GIF, by the file's extension."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from dcgan_probe.errors import InputError, unknown
from dcgan_probe.figures.canvas import DPI, FONT, INK, blank, look
from dcgan_probe.figures.lettering import wrap
from dcgan_probe.figures.output import drawable
from dcgan_probe.figures.panels import tile, zoom_for
from dcgan_probe.storage import files

ENDINGS = (".mp4", ".png", ".gif")
# A film is looked at alone, where a picture stands in a page.
LEAST = 256
_TEXT, _LEADING, _BESIDE = 13, 1.45, 8  # of labels, in pixels; leading: from a line to the next
_COLOURED = 1 << 18  # pixels that the colours of a GIF are chosen from, about
# VP9 is what browsers play of what OpenCV's wheels can write; MPEG-4 for a build without it.
_CODECS = ("vp09", "mp4v")


def write(path: str | os.PathLike[str], frames: np.ndarray, fps: int = 20) -> None:
    """Write frames as a film, whole or not at all.

        >>> write("/tmp/grey.gif", np.full((10, 64, 64, 3), 128, np.uint8))

    frames: N x H x W x 3 uint8 RGB. A mp4 plays once and has even sides: an odd one loses its last
    pixel; an animation starts again at its end. A GIF has 256 colours for all its frames, without
    dither, so what does not change stays still; equal frames become one that is shown longer.
    Raises InputError for another ending, and where the temporary folder has no room for a mp4.
    Source: the films of latent walks that the paper's authors published beside figure 4.
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise unknown("kind of film", ending, ENDINGS, where=str(path))
    if ending == ".gif":
        film = _gif(frames, fps)
    else:
        bgr = np.ascontiguousarray(frames[..., ::-1])
        film = _png(bgr, fps) if ending == ".png" else _mp4(bgr, fps)
    files.write_bytes(path, film)


def write_tiled(path: str | os.PathLike[str], frames: np.ndarray, columns: int = 1) -> None:
    """Write a film of several images side by side, its shorter side at least `LEAST` pixels.

        >>> write_tiled("/tmp/grey.gif", np.full((10, 4, 64, 64, 3), 128, np.uint8), columns=2)

    frames: T x N x H x W x 3 uint8, N images in rows of `columns`. Raises as `write` does.
    """
    _, count, height, width, _ = frames.shape
    across = min(columns, count)
    short = min(across * width, -(-count // columns) * height)
    zoom = max(zoom_for(height), -(-LEAST // short))
    write(path, np.stack([tile(images, across, zoom) for images in frames]))


@look()
def label(frames: np.ndarray, texts: Sequence[str]) -> np.ndarray:
    """Frames with a text below each, on white: N x (H + height of the text) x W x 3 uint8.

        >>> label(np.zeros((2, 256, 256, 3), np.uint8), ["before", "after"]).shape
        (2, 283, 256, 3)

    A text that is wider than the frames is broken into lines.
    """
    width = frames.shape[2]
    lines = {text: wrap(text, _TEXT, width - 2 * _BESIDE) for text in texts}
    height = round(_TEXT * _LEADING * max(map(len, lines.values()), default=1)) + _BESIDE
    bands = {text: _band("\n".join(each), width, height) for text, each in lines.items()}
    return np.concatenate([frames, np.stack([bands[text] for text in texts])], axis=1)


def _band(text: str, width: int, height: int) -> np.ndarray:
    """A text on white, height x width x 3 uint8."""
    figure = blank(width, height)
    style: dict[str, Any] = {
        "fontsize": _TEXT * 72 / DPI,
        "linespacing": _LEADING / 1.2,
        "fontfamily": FONT,
    }
    x, y = _BESIDE / width, (_BESIDE + 1) / height  # where the last line stands
    figure.text(x, y, drawable(text), color=INK, va="baseline", parse_math=False, **style)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _gif(frames: np.ndarray, fps: int) -> bytes:
    # Colours are chosen from some pixels of every part of the film: time stays that of one image.
    flat = frames.reshape(1, -1, 3)
    some = np.ascontiguousarray(flat[:, :: len(flat[0]) // _COLOURED | 1])
    method, dither = Image.Quantize.FASTOCTREE, Image.Dither.NONE
    palette = Image.fromarray(some).quantize(256, method=method, dither=dither)
    drawn = [Image.fromarray(frame).quantize(palette=palette, dither=dither) for frame in frames]
    stream = io.BytesIO()
    rest = {"save_all": True, "append_images": drawn[1:], "duration": round(1000 / fps), "loop": 0}
    drawn[0].save(stream, "GIF", optimize=False, **rest)
    return stream.getvalue()


def _png(bgr: np.ndarray, fps: int) -> bytes:
    animation = cv2.Animation()
    animation.frames = list(bgr)
    animation.durations = [round(1000 / fps)] * len(bgr)
    done, data = cv2.imencodeanimation(".png", animation)
    assert done, "OpenCV encodes every uint8 array as an animation"
    return data.tobytes()


def _mp4(bgr: np.ndarray, fps: int) -> bytes:
    height, width = (side // 2 * 2 for side in bgr.shape[1:3])
    # OpenCV tells the kind by the name, so the part cannot have the name of `files.new_file`.
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "film.mp4"
        film = _opened(part, fps, (width, height))
        for frame in bgr:
            film.write(np.ascontiguousarray(frame[:height, :width]))
        film.release()
        # OpenCV does not report a full disk, and the file may then still play to its middle.
        if (held := _count_frames(part)) != len(bgr):
            raise InputError(
                f"{folder}: found {held} of {len(bgr)} frames after writing, expected room for a "
                "whole film (TMPDIR names another folder)"
            )
        return part.read_bytes()


def _count_frames(path: Path) -> int:
    if not path.exists() or b"moov" not in path.read_bytes():
        return 0  # FFmpeg would complain of it on stderr
    film = cv2.VideoCapture(str(path))
    count = 0
    while film.grab():
        count += 1
    film.release()
    return count


def _opened(path: Path, fps: int, size: tuple[int, int]) -> cv2.VideoWriter:
    for codec in _CODECS:
        film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, size)
        if film.isOpened():
            return film
    raise RuntimeError(f"OpenCV {cv2.__version__} writes no mp4, expected a build with FFmpeg")
