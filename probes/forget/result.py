"""The result of forget: the filters, what is left without them, reasons for doubt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dcgan_probe.edits.filters import Selection
from dcgan_probe.probes.forget.damage import Damage
from dcgan_probe.probes.forget.figures import ForgettingPictures
from dcgan_probe.probes.forget.judgement import Change, Drift, Proof
from dcgan_probe.probes.forget.traces import Traces
from dcgan_probe.recognition.judges import doubt_judge
from dcgan_probe.recognition.regression import MAX_ITERATIONS
from dcgan_probe.results.result import Result


@dataclass(frozen=True, kw_only=True, eq=False)
class Forgotten(Result):
    """What `forget.run` returns.

    selections: the edit, one for each layer; selection: the first. filters: how many all these
    layers have. weights: one for each filter, of the logistic regression on the first layer.
    accuracy: held-out, one for each fold, empty where too few images have boxes. converged: of the
    regression. change: on the boxed samples; random: by random sets of equal size. proofs: what
    every judge says of fresh samples. stability: mean overlap (Jaccard) of the filters chosen from
    boxed images that were drawn again, None if not measured. traces: what probes trained again
    find, for the first judge. notes: what a rule says of its choice, such as that it stopped early.
    damage: what is left of the image away from the object. target: share of the object that the
    rule was to leave at most, None if it has none.
    """

    label: str
    rule: str
    selections: tuple[Selection, ...]
    filters: int
    weights: np.ndarray
    accuracy: tuple[float, ...]
    converged: bool
    cells: int
    boxes: int
    unresolved: int
    change: Change
    random: tuple[Change, ...]
    proofs: tuple[Proof, ...]
    drift: Drift
    stability: float | None
    pictures: ForgettingPictures
    traces: tuple[Traces, ...]
    notes: tuple[str, ...]
    damage: Damage
    target: float | None

    @property
    def edits(self) -> tuple[Selection, ...]:
        """The edit, as `Session.editing` takes it: the same as `selections`."""
        return self.selections

    @property
    def selection(self) -> Selection:
        return self.selections[0]

    def values(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "rule": self.rule,
            "layers": [edit.layer for edit in self.selections],
            "filters_changed": [len(edit.filters) for edit in self.selections],
            "filters": self.filters,
            "boxes": self.boxes,
            "boxes_without_a_cell": self.unresolved,
            "cells_in_boxes": self.cells,
            "converged": self.converged,
            "held_out_accuracy": list(self.accuracy),
            "change": vars(self.change),
            "change_by_random_filters": [vars(change) for change in self.random],
            "fresh_samples": [proof.values() for proof in self.proofs],
            "sliced_wasserstein_x1000": vars(self.drift),
            "overlap_under_resampling": self.stability,
            "traces": [each.values() for each in self.traces],
            "damage": self.damage.values(),
            "doubts": self.doubts(),
        }

    def draw(self, folder: Path) -> None:
        several = len(self.selections) > 1
        for edit in self.selections:
            name = f"selection-{edit.layer}.json" if several else "selection.json"
            edit.write(folder / name)
        self.pictures.draw(
            folder, self.label, self.selections, self.proofs, self.doubts(), self.traces
        )

    def doubts(self) -> list[str]:
        """Why not to believe the result; empty if nothing is known."""
        lines = [*self.damage.doubts(self.label), *self.notes]
        if not self.converged:
            lines.append(f"THE REGRESSION DID NOT CONVERGE in {MAX_ITERATIONS} iterations")
        if self.accuracy and min(self.accuracy) <= 0.5:
            lines.append("THE REGRESSION IS NO BETTER THAN CHANCE on some held-out images")
        for traces, proof in zip(self.traces, self.proofs, strict=False):
            lines += traces.doubts("chosen", proof.chosen.area_left.value)
        for proof in self.proofs:
            lines += doubt_judge(proof.judge, proof.about)
            lines += proof.chosen.doubts(proof.judge, self.label, self.target)
            if proof.chosen.inside <= proof.chosen.outside.high:
                lines.append(
                    f"AS MUCH CHANGES OUTSIDE of the object as inside, says judge {proof.judge}: "
                    f"{proof.chosen.inside:.3f} inside, {proof.chosen.outside} outside"
                )
            if not proof.better_than_random:
                lines.append(
                    f"NO BETTER THAN RANDOM filters, says judge {proof.judge}: the object's area "
                    f"left is {proof.chosen.area_left}, by random sets {proof.random.area_left}"
                )
        left = [proof.chosen.area_left for proof in self.proofs]
        if left and max(share.low for share in left) > min(share.high for share in left):
            said = ", ".join(f"{p.judge} {p.chosen.area_left}" for p in self.proofs)
            lines.append(f"THE JUDGES DISAGREE on the area left: {said}")
        return lines

    def __str__(self) -> str:
        lines = self.doubts()
        if self.unresolved:
            lines.append(f"{self.unresolved} of {self.boxes} boxes hold no location of this layer")
        if self.accuracy:
            mean = sum(self.accuracy) / len(self.accuracy)
            spread = f"{min(self.accuracy):.3f} to {max(self.accuracy):.3f}"
            held_out = f"held-out accuracy {mean:.3f} ({spread}), chance 0.5"
        else:
            held_out = "held-out accuracy not measured: too few images have boxes"
        chosen = ", ".join(map(str, self.selections))
        random = Change(
            sum(change.inside for change in self.random) / len(self.random),
            sum(change.outside for change in self.random) / len(self.random),
        )
        lines += [
            f"{self.label}, by {self.rule}: {chosen} (of {self.filters}); {held_out}",
            f"mean absolute change of the boxed samples: {self.change}; mean of {len(self.random)} "
            f"random sets of as many filters: {random}",
        ]
        for proof in self.proofs:
            lines.append(
                f"judge {proof.judge}: {proof.samples} fresh samples, {proof.objects} with a "
                f"{self.label}; {proof.as_good} of {len(proof.each_random)} random sets leave no "
                "more than the chosen one (95% intervals)"
            )
            rows = (
                ("chosen", proof.chosen),
                ("random", proof.random),
                ("lowest-ranked", proof.chosen_last),
            )
            lines += [f"  {name}: {outcome}" for name, outcome in rows]
        for traces in self.traces:
            lines += traces.lines()
        lines.append(str(self.damage))
        drift = self.drift
        lines.append(
            f"sliced Wasserstein distance x 1000 from {drift.reference}: unedited "
            f"{drift.before:.1f}, edited {drift.after:.1f}, random {drift.random:.1f}"
        )
        if self.stability is not None:
            lines.append(f"overlap of filter sets from resampled boxes: {self.stability:.2f}")
        return "\n".join(lines)
