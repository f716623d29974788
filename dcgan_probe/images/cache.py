"""Decode images once, into a memory-mapped file."""

from __future__ import annotations

import hashlib
import json
import math
import os
import zlib
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from dcgan_probe.errors import InputError, parsing
from dcgan_probe.images import decoding
from dcgan_probe.images.containers import Unreadable, shown
from dcgan_probe.images.decoding import DecodedImage
from dcgan_probe.storage.fingerprints import Fingerprint, digest, read_json, write_json

if TYPE_CHECKING:
    from dcgan_probe.images.sources import ImageSource

_LAYOUT = 2  # of the files of one key; the key itself is that of the images
CHUNK = 1024  # images between two points from which a build resumes
CHUNK_BYTES = 64 << 20
MIN_BAD = 5  # images that may fail to decode, however small the set
_TASK = 64  # images that a thread decodes at a time, or fewer if their files are as large as this:
_TASK_BYTES = 8 << 20

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class CachedImages:
    """What `cached` returns.

    pixels: N x channels x size x size uint8, mapped read-only. names: of the rows of `pixels`.
    skipped: name and reason of each image that did not decode. transparent: names of the rows that
    are white because the image was completely transparent. key: 64 hexadecimal digits that
    stand for the content of the images and for how they were brought to size.
    """

    pixels: np.memmap
    names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    transparent: tuple[str, ...]
    key: str


def cached(
    source: ImageSource,
    *,
    folder: Path | None = None,
    keep: Collection[str] | None = None,
    max_bad: float = 0.01,
    progress: Progress = lambda stage, done, total: None,
) -> CachedImages:
    """Decode the images of a source into a file, or find the file that holds them already.

        >>> images = cached(ImageSource("photographs.zip", size=64, channels=3))
        >>> images.pixels[[7, 3]].shape, images.names[7]
        ((2, 3, 64, 64), 'b/0007.jpg')

    The file is found by the content of the images and their size, wherever they lie and whatever
    their dates. A killed build resumes; of two simultaneous builds, one waits for the
    other. Memory holds some hundreds of images, never all.

    folder: of the cache, see `default_folder`; it may be deleted while nothing runs. keep: names of
    the only images to take. max_bad: the share of images that may fail to decode (`MIN_BAD` always
    may, unless it is 0). progress: called with what is being done ("hashing", in bytes; "waiting",
    for another process; "decoding", in images), how much is done, and of how much. Raises
    InputError for more bad images than that, with the first of them; for a name in `keep` that the
    source lacks; for a folder that cannot be written.
    """
    folder = default_folder() if folder is None else Path(folder)
    chosen = _chosen(source, keep)
    allowed = max(MIN_BAD, int(max_bad * len(chosen))) if max_bad else 0
    content = Fingerprint(source.path, source.container.files(chosen), folder, progress)
    settings = {
        "version": decoding.VERSION,
        "size": source.size,
        "channels": source.channels,
        "names": digest(source.names[i] for i in chosen),
        "content": content.sha256,
    }
    key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()
    build = _Build(source, chosen, folder / f"{key[:32]}-{_LAYOUT}", allowed, progress)
    if not build.is_whole():
        with _alone(build.home, progress):
            if not build.is_whole():
                build.run()
                build.finish(content, settings)
    return build.result(key)


def default_folder() -> Path:
    """$DCGAN_PROBE_CACHE, or else dcgan-probe in $XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("DCGAN_PROBE_CACHE")
    if own:
        return Path(own)
    user = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(user) if user else Path.home() / ".cache") / "dcgan-probe"
    except RuntimeError as error:  # an account that the system does not know, as in containers
        raise InputError(
            "found no home folder for the cache of decoded images, expected a folder in the "
            "variable DCGAN_PROBE_CACHE"
        ) from error


class _Build:
    """The folder of one key: `pixels`, rows of uint8, and a file that says how many are whole.

    That is `progress.json` while rows are added, and `images.json` once all are there.
    """

    def __init__(
        self,
        source: ImageSource,
        chosen: Sequence[int],
        home: Path,
        allowed: int,
        progress: Progress,
    ):
        self.source = source
        self.chosen = chosen
        self.home = home
        self.allowed = allowed
        self.progress = progress
        self.shape = (source.channels, source.size, source.size)

    def is_whole(self) -> bool:
        return (self.home / "images.json").is_file()

    def run(self) -> None:
        """Decode what is not decoded yet; rows are on the disk before the file counts them."""
        counted = self.home / "progress.json"
        state = self._resumed(counted)
        row = math.prod(self.shape)
        step = max(1, min(CHUNK, CHUNK_BYTES // row))
        try:
            with (
                open(self.home / "pixels", "ab") as file,
                closing(_decoded(self.source, self.chosen[state["seen"] :])) as decoded,
            ):
                file.truncate(state["rows"] * row)
                while state["seen"] < len(self.chosen):
                    for image in islice(decoded, step):
                        self._add(state, image, file)
                    file.flush()
                    os.fsync(file.fileno())
                    write_json(counted, state)
        except OSError as error:
            raise InputError(f"{self.home}: cannot be written: {error.strerror}") from error

    def _resumed(self, counted: Path) -> dict[str, Any]:
        """How far a build that was killed came; where that is unknown, not at all."""
        fresh: dict[str, Any] = {
            **{"seen": 0, "rows": 0, "crc32": 0},
            **{"skipped": [], "transparent": []},
        }
        if not counted.exists():
            return fresh
        try:
            state = _checked(counted, len(self.chosen))
            crc = _checksum(self.home / "pixels", state["rows"] * math.prod(self.shape))
        except (InputError, OSError):
            return fresh
        return state if crc == state["crc32"] else fresh

    def _add(
        self, state: dict[str, Any], image: DecodedImage | Unreadable, file: IO[bytes]
    ) -> None:
        name = self.source.names[self.chosen[state["seen"]]]
        state["seen"] += 1
        if isinstance(image, Unreadable):
            state["skipped"].append([name, str(image)])
            self._check_bad(state)
        else:
            file.write(image.pixels.data)
            state["crc32"] = zlib.crc32(image.pixels.data, state["crc32"])
            state["rows"] += 1
            if image.transparent:
                state["transparent"].append(name)
        self.progress("decoding", state["seen"], len(self.chosen))

    def finish(self, content: Fingerprint, settings: dict[str, Any]) -> None:
        """Declare the rows whole, if the images are still those that were hashed."""
        counted = self.home / "progress.json"
        state = read_json(counted)
        changed = content.changed()
        if changed is not None or not state["rows"]:
            counted.unlink()  # what was read is of no use
            if changed is not None:
                raise InputError(f"{changed}: changed while it was read, expected it to stay")
            raise InputError(f"{self.source.path}: found no image that decodes: {_some(state)}")
        write_json(self.home / "images.json", {**state, **settings})
        counted.unlink()

    def result(self, key: str) -> CachedImages:
        state = _checked(self.home / "images.json", len(self.chosen))
        self._check_bad(state)
        path, shape = self.home / "pixels", (state["rows"], *self.shape)
        held = path.stat().st_size if path.exists() else 0
        if held != math.prod(shape):
            raise InputError(
                f"{path}: found {held} bytes, expected {math.prod(shape)}: delete {self.home}"
            )
        if _checksum(path, held) != state["crc32"]:
            raise InputError(
                f"{path}: found other bytes than were written, expected a disk without a fault: "
                f"delete {self.home}"
            )
        skipped = tuple((name, reason) for name, reason in state["skipped"])
        bad = {name for name, _ in skipped}
        names = tuple(n for i in self.chosen if (n := self.source.names[i]) not in bad)
        pixels = np.memmap(path, np.uint8, "r", shape=shape)
        return CachedImages(pixels, names, skipped, tuple(state["transparent"]), key)

    def _check_bad(self, state: dict[str, Any]) -> None:
        bad = len(state["skipped"])
        if bad > self.allowed:
            raise InputError(
                f"{self.source.path}: found {bad} images that do not decode among the first "
                f"{state['seen']} of {len(self.chosen)}, expected at most {self.allowed}: "
                f"{_some(state)}"
            )


def _checksum(path: Path, size: int) -> int | None:
    """CRC-32 of the first bytes of a file; None if it has fewer."""
    checksum = 0
    with open(path, "rb") as file:
        while size and (block := file.read(min(size, CHUNK_BYTES))):
            checksum = zlib.crc32(block, checksum)
            size -= len(block)
    return None if size else checksum


def _checked(path: Path, images: int) -> dict[str, Any]:
    """The state of a build, if it fits the number of images; InputError if it is damaged."""
    state = read_json(path)
    with parsing(path, f"what the cache wrote: delete {path.parent}"):
        seen, rows, skipped = state["seen"], state["rows"], state["skipped"]
        names = [name for name, reason in skipped if isinstance(reason, str)]
        if type(seen) is not int or type(rows) is not int or not 0 <= seen <= images:
            raise ValueError(f"{seen} of {images} images")
        if type(state["crc32"]) is not int:
            raise ValueError("no checksum")
        if rows < 0 or rows + len(skipped) != seen or len(names) != len(skipped):
            raise ValueError(f"{rows} rows and {len(skipped)} skipped of {seen} images")
        if not all(isinstance(name, str) for name in [*names, *state["transparent"]]):
            raise ValueError("names that are not text")
    return state


def _chosen(source: ImageSource, keep: Collection[str] | None) -> Sequence[int]:
    if keep is None:
        return range(len(source.names))
    wanted = set(keep)
    chosen = [i for i, name in enumerate(source.names) if name in wanted]
    if not chosen or len(chosen) < len(wanted):
        strange = sorted(wanted.difference(source.names))
        raise InputError(
            f"{source.path}: keep: found {len(strange)} names of no image among {len(wanted)}"
            f"{': ' if strange else ''}{', '.join(map(shown, strange[:3]))}, "
            f"expected names of its {len(source.names)} images, such as {shown(source.names[0])}"
        )
    return chosen


def _some(state: dict[str, Any]) -> str:
    return "; ".join(f"{shown(name)}: {reason}" for name, reason in state["skipped"][:3])


@contextmanager
def _alone(home: Path, progress: Progress) -> Iterator[None]:
    """Hold the one lock of a folder; the system frees it when its holder dies."""
    lock = FileLock(home / "lock")
    try:
        home.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress("waiting", 0, 1)
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise InputError(
            f"{home}: cannot be written: {error} (the variable DCGAN_PROBE_CACHE names another "
            "folder for the cache)"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _decoded(
    source: ImageSource, indices: Sequence[int]
) -> Generator[DecodedImage | Unreadable, None, None]:
    """Images in order, decoded by one thread a core; at most two tasks a thread wait."""
    threads = os.cpu_count() or 1
    waiting: deque[Future[list[DecodedImage | Unreadable]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for task in _tasks(source.container.entries(indices)):
            waiting.append(pool.submit(_decode, task, source.size, source.channels))
            if len(waiting) > 2 * threads:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _tasks(
    entries: Iterable[bytes | np.ndarray | Unreadable],
) -> Iterator[list[bytes | np.ndarray | Unreadable]]:
    task: list[bytes | np.ndarray | Unreadable] = []
    held = 0
    for entry in entries:
        task.append(entry)
        if not isinstance(entry, Unreadable):
            held += len(entry) if isinstance(entry, bytes) else entry.nbytes
        if len(task) == _TASK or held >= _TASK_BYTES:
            yield task
            task, held = [], 0
    if task:
        yield task


def _decode(
    task: list[bytes | np.ndarray | Unreadable], size: int, channels: int
) -> list[DecodedImage | Unreadable]:
    done: list[DecodedImage | Unreadable] = []
    for entry in task:
        try:
            if isinstance(entry, Unreadable):
                raise entry
            done.append(decoding.decode(entry, size, channels))
        except Unreadable as reason:
            done.append(reason)
    return done
