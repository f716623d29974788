"""Films of images: mp4, or an animated PNG or GIF, by the file's extension."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import cv2
import numpy as np

from dcgan_probe.errors import InputError, unknown
from dcgan_probe.figures.panels import tile, zoom_for
from dcgan_probe.storage import files

ANIMATIONS = (".png", ".gif")
ENDINGS = (".mp4", *ANIMATIONS)
# A film is looked at alone, where a picture stands in a page.
LEAST = 256
# VP9 is what browsers play of what OpenCV's wheels can write; MPEG-4 for a build without it.
_CODECS = ("vp09", "mp4v")


def write(path: str | os.PathLike[str], frames: np.ndarray, fps: int = 20) -> None:
    """Write frames as a film, whole or not at all.

        >>> write("/tmp/grey.gif", np.full((10, 64, 64, 3), 128, np.uint8))

    frames: N x H x W x 3 uint8 RGB. A mp4 plays once and has even sides: an odd one loses its last
    pixel; an animation starts again at its end. Raises InputError for another ending, and where the
    temporary folder has no room for a mp4.
    Source: the films of latent walks that the paper's authors published beside figure 4.
    """
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise unknown("kind of film", ending, ENDINGS, where=str(path))
    bgr = np.ascontiguousarray(frames[..., ::-1])
    film = _animation(bgr, ending, fps) if ending in ANIMATIONS else _mp4(bgr, fps)
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


def _animation(bgr: np.ndarray, ending: str, fps: int) -> bytes:
    animation = cv2.Animation()
    animation.frames = list(bgr)
    animation.durations = [round(1000 / fps)] * len(bgr)
    done, data = cv2.imencodeanimation(ending, animation)
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
