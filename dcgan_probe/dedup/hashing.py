"""Binary codes of images: equal codes, near codes, and how much each bit tells.

Semantic hashing (section 4.1 of the paper): with equal codes for duplicates, finding them is one
sort.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BITS = 128
BATCH = 2048  # codes unpacked at once


def groups(codes: np.ndarray, within: int = 0) -> list[np.ndarray]:
    """Indices of images that are duplicates of one another, for each image that has some.

        >>> groups(np.array([[7] * 16, [9] * 16, [7] * 16], np.uint8))
        [array([0, 2])]

    codes: N x 16 uint8. Duplicates have equal codes, as in the paper, or codes that differ in at
    most `within` bits from that of the first, which is the one that is kept: so no chain of small
    differences drops what is far from it. Indices of a group ascend; groups are in the order of
    their first.
    """
    equal = _equal(np.ascontiguousarray(codes).view(np.uint64))
    if within:
        # Equal codes behave as one: only the first of each has to be compared.
        repeats = np.concatenate([np.empty(0, int), *(group[1:] for group in equal)])
        firsts = np.setdiff1d(np.arange(len(codes)), repeats)
        near = [firsts[group] for group in _near(codes[firsts], within)]
        members = {int(group[0]): group for group in equal}
        for group in near:
            whole = [members.pop(int(i), np.array([i])) for i in group]
            members[int(group[0])] = np.sort(np.concatenate(whole))
        equal = list(members.values())
    return sorted(equal, key=lambda group: int(group[0]))


def _equal(words: np.ndarray) -> list[np.ndarray]:
    """Indices of equal rows, where there are two or more; words: N x W uint64."""
    order = np.lexsort(words.T)  # stable: equal rows stay in their order
    new = np.ones(len(order) + 1, bool)
    new[1:-1] = (words[order[1:]] != words[order[:-1]]).any(1)
    edges = np.flatnonzero(new)
    shared = np.flatnonzero(np.diff(edges) > 1)
    return [order[edges[i] : edges[i + 1]] for i in shared]


def _near(codes: np.ndarray, within: int) -> list[np.ndarray]:
    """Groups of different codes that differ in at most `within` bits from the first of the group.

    Codes that differ in r bits are equal in one of any r + 1 parts: only those are compared. Bits
    are dealt out by how evenly they are on, so that each part tells as much as another.
    """
    words = np.ascontiguousarray(codes).view(np.uint64)
    evenly = np.argsort(np.abs(shares(codes) - 0.5), kind="stable")
    pairs = [np.empty((0, 2), int)]
    for part in range(within + 1):
        for bucket in _equal(_words(codes, evenly[part :: within + 1])):
            for place, i in enumerate(bucket[:-1]):
                later = bucket[place + 1 :]
                apart = np.bitwise_count(words[later] ^ words[i]).sum(1)
                close = later[apart <= within]
                pairs.append(np.stack([np.full(len(close), i), close], 1))
    group_of: dict[int, list[int]] = {}
    dropped: set[int] = set()
    for i, j in np.unique(np.concatenate(pairs), axis=0).tolist():
        # In the order of i: whether it is kept is known before anything is dropped for it.
        if i not in dropped and j not in dropped:
            group_of.setdefault(i, [i]).append(j)
            dropped.add(j)
    return [np.array(group) for group in group_of.values()]


def _words(codes: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Some bits of each code, as N x 1 or N x 2 uint64."""
    words = np.zeros((len(codes), 8 * -(-len(which) // 64)), np.uint8)
    for start in range(0, len(codes), BATCH):
        bits = np.unpackbits(codes[start : start + BATCH], axis=1)
        packed = np.packbits(bits[:, which], axis=1)
        words[start : start + BATCH, : packed.shape[1]] = packed
    return words.view(np.uint64)


def shares(codes: np.ndarray) -> np.ndarray:
    """The share of the codes that each of the 128 bits is on in; codes: N x 16 uint8."""
    on = np.zeros(BITS)
    for start in range(0, len(codes), BATCH):
        on += np.unpackbits(codes[start : start + BATCH], axis=1).sum(0)
    return on / len(codes)


@dataclass(frozen=True)
class Usage:
    """How much the bits of the codes say.

    never, always: how many of the 128 units are on for no image, and for every image.
    entropy: of the bits, in bits, each taken alone: the codes hold at most as much.
    """

    never: int
    always: int
    entropy: float


def usage(codes: np.ndarray) -> Usage:
    """Units that are dead, and the entropy of those that are not; codes: N x 16 uint8."""
    on = shares(codes)
    used = on[(on > 0) & (on < 1)]
    entropy = (-used * np.log2(used) - (1 - used) * np.log2(1 - used)).sum()
    return Usage(int((on == 0).sum()), int((on == 1).sum()), float(entropy))
