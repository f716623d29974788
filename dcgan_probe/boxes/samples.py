"""Sample names: parse and write the checkpoint, seed and index of a sample."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

# Tools put folders, addresses or an upload's prefix before the name, and queries after it.
_SAMPLE = re.compile(r"(?:\A|[/\\=-])([0-9a-f]{8})_seed([0-9]{1,19})_([0-9]{4,6})\.png(?=\Z|[?&#])")
# Roboflow renames "a.png" to "a_png.rf.<hash>.jpg", one hash for each copy that it makes.
_ROBOFLOW = re.compile(r"_(png|PNG)\.rf\.([0-9A-Za-z]{16,64})\.(?:jpe?g|png)\Z")


class Sample(NamedTuple):
    """What the name of a sample says: first 8 digits of the checkpoint, seed, number of the latent.

    copy: what tells copies of one sample apart, where a tool makes several; else empty.
    """

    checkpoint: str
    seed: int
    image: int
    copy: str = ""


def sample_name(sha256: str, seed: int, index: int) -> str:
    """File name of a sample: from it, boxes drawn with another tool find their latent again.

        >>> sample_name("1a2b3c4d" + 56 * "0", seed=3, index=17)
        '1a2b3c4d_seed3_0017.png'

    `sha256` is that of the checkpoint, in 64 hexadecimal digits.
    """
    return f"{sha256[:8]}_seed{seed}_{index:04d}.png"


def find_samples(name: str) -> set[Sample]:
    """The samples that a file name, path or address names: none, one, or, ambiguous, several.

    >>> find_samples("https://example.org/1a2b3c4d_seed3_0017.png?download=1")
    {Sample(checkpoint='1a2b3c4d', seed=3, image=17, copy='')}
    """
    renamed = _ROBOFLOW.search(name)
    copy = renamed[2] if renamed else ""
    plain = _ROBOFLOW.sub(".png", name)
    return {
        Sample(checkpoint, int(seed), int(image), copy)
        for spelling in (plain, unquote(plain))
        for checkpoint, seed, image in _SAMPLE.findall(spelling)
    }
