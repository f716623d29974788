"""What drawing boxes costs with `label`, counted by replaying the boxes that ship.

    python benchmarks/labelling.py

A proposal that overlaps a shipped box by 0.7 or more is accepted; any other is rejected, and the
box is drawn. Every sample also needs a key to go on. These are counts of actions, not times.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

import dcgan_probe as dp
from dcgan_probe.fixtures.cells.propose import overlap
from dcgan_probe.label.learning import Learner

GOAL, FIRST, ACCEPTED, FOUND = 52, 5, 0.7, 0.5
# Where the keyboard's first box begins, and how far an arrow moves it, alone and with shift.
START, FAR = (24.0, 24.0, 40.0, 40.0), 8

Edges = tuple[float, float, float, float]


def main() -> None:
    print("| | samples | drags | keys | 5 minutes allow |\n|---|---|---|---|---|")
    notes = []
    for model, label in (("rooms", "window"), ("cells", "white cell")):
        session = dp.Session.open(model)
        path = dp.checkpoints.shipped_boxes(model)
        assert path is not None
        boxes = dp.Boxes.read(path).only(label)
        of: dict[int, list[Edges]] = {image: [] for image in boxes.images}
        for box in boxes.boxes:
            of[box.image].append(box.edges)
        seen = _until(of, FIRST)
        few = dataclasses.replace(
            boxes,
            images=tuple(range(seen)),
            boxes=tuple(box for box in boxes.boxes if box.image < seen),
        )
        proposed = Learner(session, boxes.n).propose(few, label)
        _row(f"{model}, by hand", *_actions(of, {}, boxes.n))
        _row(f"{model}, with proposals after {FIRST}", *_actions(of, proposed, seen))
        rest = {image: some for image, some in of.items() if image >= seen}
        found = [
            _best(box, proposed.get(i, [])) >= FOUND for i, some in rest.items() for box in some
        ]
        right = [
            _best(box, rest.get(i, [])) >= FOUND for i, some in proposed.items() for box in some
        ]
        notes.append(
            f"{model}: from {seen} samples, proposals overlap {np.mean(found):.1%} of the other "
            f"boxes by half, and {np.mean(right):.1%} of them overlap such a box; "
            f"without a mouse {_keys(of):.1f} keys a box"
        )
    print("\n" + "\n".join(notes))


def _row(name: str, samples: int, drags: int, keys: int) -> None:
    print(f"| {name} | {samples} | {drags} | {keys} | {300 / (drags + keys):.1f} s an action |")


def _until(of: dict[int, list[Edges]], goal: int) -> int:
    """Number of samples that hold `goal` boxes."""
    return int(np.searchsorted(np.cumsum([len(some) for some in of.values()]), goal)) + 1


def _actions(
    of: dict[int, list[Edges]], proposed: Mapping[int, Sequence[Edges]], by_hand: int
) -> tuple[int, int, int]:
    """Samples, drags and keys until `GOAL` boxes are there; the first `by_hand` without help."""
    samples = _until(of, GOAL)
    drags = keys = 0
    for image in range(samples):
        left = list(of[image])
        if image < by_hand:
            drags, keys = drags + len(left), keys + 1
            continue
        offers = proposed.get(image, [])
        for offer in offers:
            keys += 1
            if _best(offer, left) >= ACCEPTED:
                left.remove(max(left, key=lambda box: overlap(box, offer)))
        drags += len(left)
        keys += bool(left or not of[image])
    return samples, drags, keys + (by_hand < len(of))


def _best(box: Edges, others: Sequence[Edges]) -> float:
    return max((overlap(box, other) for other in others), default=0.0)


def _keys(of: dict[int, list[Edges]]) -> float:
    """Keys a box without a mouse: one to begin where the last one was, and its edges moved."""

    def presses(distance: float) -> float:
        far, near = divmod(abs(distance), FAR)
        return min(far + near, far + 1 + FAR - near)

    last, keys = START, []
    for box in (box for some in of.values() for box in some):
        moves = (box[0] - last[0], box[1] - last[1])
        grows = (box[2] - box[0] - last[2] + last[0], box[3] - box[1] - last[3] + last[1])
        keys.append(1 + sum(map(presses, (*moves, *grows))))
        last = box
    return float(np.mean(keys))


if __name__ == "__main__":
    main()
