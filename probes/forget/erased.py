"""What `forget --by places` returns: the edit, what is left of the object, all that was tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dcgan_probe import figures
from dcgan_probe.edits.places import PlaceEdit
from dcgan_probe.figures import charts, strips
from dcgan_probe.probes.forget.damage import Damage
from dcgan_probe.probes.forget.judgement import EditOutcome
from dcgan_probe.probes.forget.traces import Traces
from dcgan_probe.recognition.erasing import Erasing
from dcgan_probe.recognition.judges import doubt_judge
from dcgan_probe.recognition.trials import Tried
from dcgan_probe.results.result import Result
from dcgan_probe.session import Session

PANEL = (640, 360)


@dataclass(frozen=True, eq=False)
class ErasurePictures:
    """New samples before and after, N x H x W x 3 uint8; caption, and which samples they are."""

    before: np.ndarray
    after: np.ndarray
    caption: str
    fresh: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Erased(Result):
    """What `forget.run(..., by="places")` returns.

    erasing: the edit, and all that was tried to choose it, on held-out boxed samples. outcomes: by
    judge, what is known of it, and what the edit leaves on fresh samples. traces: what a probe
    trained again finds on those, for the first judge. damage: what is left of the image away from
    the object.
    """

    label: str
    erasing: Erasing
    outcomes: Mapping[str, tuple[dict[str, Any], EditOutcome]]
    traces: tuple[Traces, ...]
    damage: Damage
    samples: int
    pictures: ErasurePictures

    @property
    def edits(self) -> tuple[PlaceEdit, ...]:
        """The edit, as `Session.editing` takes it; none where nothing was erased."""
        return () if self.erasing.edit is None else (self.erasing.edit,)

    def values(self) -> dict[str, Any]:
        edit, chosen = self.erasing.edit, self.erasing.chosen
        auc = self.erasing.places.auc
        return {
            "label": self.label,
            "by": "places",
            "edit": None if edit is None else edit.change(),
            "chosen": None if chosen is None else chosen.values(),
            "tried": [each.values() for each in self.erasing.tried],
            "held_out_auc": None if auc is None else vars(auc),
            "fresh_samples": [
                {"judge": name, "about": about, "samples": self.samples, "erased": outcome.values()}
                for name, (about, outcome) in self.outcomes.items()
            ],
            "traces": [each.values() for each in self.traces],
            "damage": self.damage.values(),
            "doubts": self.doubts(),
        }

    def draw(self, folder: Path) -> None:
        for edit in self.edits:
            edit.write(folder / "edit.json")
        shown = self.pictures
        said = "; ".join(map(str, self.edits)) or "nothing was erased"
        figures.draw(
            folder / "forget.png",
            f"Forgetting “{self.label}” by place: new samples before and after",
            [figures.Block("", np.stack([shown.before, shown.after]))],
            ["as they are", f"without “{self.label}”"],
            f"The same {len(shown.before)} latents in both rows, {shown.fresh}. {said}. Below: all "
            "that was tried on held-out boxed samples; bars are 95% intervals, and 0.5 is not "
            f"found. {shown.caption}.",
            zoom=figures.zoom_for(shown.before.shape[1]),
            warnings=self.doubts(),
            below=_chart(self.erasing.tried, self.erasing.chosen) if self.erasing.tried else None,
        )
        strips.write(folder, shown.before, shown.after)

    def doubts(self) -> list[str]:
        """Why not to believe the result; empty if nothing is known."""
        lines = [*self.damage.doubts(self.label), *self.erasing.doubts]
        if self.erasing.edit is None:
            lines.append("NOTHING IS ERASED: nothing says where the object is")
            return lines
        for traces in self.traces:
            _, outcome = self.outcomes[traces.judge]
            lines += traces.doubts("erased", self.label, outcome.area_left.value)
        for judge, (about, _) in self.outcomes.items():
            lines += doubt_judge(judge, about)
        return lines

    def __str__(self) -> str:
        lines = self.doubts()
        auc = self.erasing.places.auc
        held_out = "not measured" if auc is None else f"AUC {auc}, chance 0.5"
        lines.append(f"where the {self.label} is, on held-out boxed samples: {held_out}")
        for edit in self.edits:
            lines.append(f"{edit}; best of {len(self.erasing.tried)} trials: {self.erasing.chosen}")
            for judge, (_, outcome) in self.outcomes.items():
                lines.append(f"judge {judge}, {self.samples} fresh samples: {outcome}")
        for traces in self.traces:
            lines += traces.lines()
        if self.edits:
            lines.append(str(self.damage))
        return "\n".join(lines)


def pictures(session: Session, before: Tensor, after: Tensor, fresh: str) -> ErasurePictures:
    """Draw new samples before and after; fresh: which those are."""
    return ErasurePictures(figures.pixels(before), figures.pixels(after), session.caption(), fresh)


def _chart(tried: tuple[Tried, ...], chosen: Tried | None) -> np.ndarray:
    """Every trial: how well its place is found again, against the change outside."""
    figure = figures.blank(*PANEL)
    axes = figure.subplots()
    colours = {"mix": figures.BLUE, "clone": figures.ORANGE, "smooth": figures.GREEN}
    named: set[str] = set()
    for each in tried:
        value = each.found
        if not np.isfinite(value.value):
            continue
        axes.errorbar(
            each.outside,
            value.value,
            yerr=[[value.value - value.low], [value.high - value.value]],
            fmt="s" if each is chosen else "o",
            color=colours[each.fill],
            markersize=9 if each is chosen else 4,
            label=None if each.fill in named else each.fill,
            alpha=1 if each.samples == max(t.samples for t in tried) else 0.5,
        )
        named.add(each.fill)
        short = "+".join(name.split("x")[0] for name in each.layers)
        axes.annotate(f" {short} {each.widen:g}", (each.outside, value.value), fontsize=7)
    axes.axhline(0.5, color=figures.INK, linewidth=0.8)
    charts.style(
        axes, "mean absolute change outside the boxes", "found again, by probe or patch", 8
    )
    axes.set_xlim(left=0)
    charts.legend(axes)
    figure.tight_layout()
    return figures.rendered(figure)
