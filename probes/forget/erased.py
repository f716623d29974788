"""The result of `forget --by places`: the edit, what is left of the object, all trials."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from dcgan_probe import figures
from dcgan_probe.edits.places import PlaceEdit
from dcgan_probe.figures import charts, strips
from dcgan_probe.probes.forget.damage import Damage
from dcgan_probe.probes.forget.figures import blank_panels, draw_traces, name_panel
from dcgan_probe.probes.forget.judgement import EditOutcome
from dcgan_probe.probes.forget.traces import Traces
from dcgan_probe.recognition.erasing import Erasing
from dcgan_probe.recognition.judges import doubt_judge
from dcgan_probe.recognition.trials import Tried
from dcgan_probe.results.result import Result
from dcgan_probe.session import Session


@dataclass(frozen=True, eq=False)
class ErasureOutcome:
    """What an edit leaves by one judge. about: what is known of the judge. random: the same edit
    at the places of other samples, None where there are no such."""

    about: dict[str, Any]
    erased: EditOutcome
    random: EditOutcome | None

    @property
    def better_than_random(self) -> bool:
        """Whether the interval of what is left lies below that of the random controls."""
        return self.random is None or self.erased.area_left.high < self.random.area_left.low

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "about": self.about,
            "erased": self.erased.values(),
            "random": None if self.random is None else self.random.values(),
            "better_than_random": self.better_than_random,
        }


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
    judge, what the edit leaves on fresh samples, and random controls. traces: what a probe
    trained again finds on those, for the first judge. damage: what is left of the image away from
    the object. target: share of the object that was to be left at most, None where only a region
    was to be erased.
    """

    label: str
    erasing: Erasing
    outcomes: Mapping[str, ErasureOutcome]
    traces: tuple[Traces, ...]
    damage: Damage
    target: float | None
    samples: int
    pictures: ErasurePictures

    @property
    def edits(self) -> tuple[PlaceEdit, ...]:
        """The edit, as `Session.editing` takes it; empty if nothing was erased."""
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
            "held_out_auc": None if auc is None else auc.values(),
            "fresh_samples": [
                {"judge": name, "samples": self.samples, **outcome.values()}
                for name, outcome in self.outcomes.items()
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
            f"Forgetting “{self.label}” by place",
            [figures.Block("", np.stack([shown.before, shown.after]))],
            ["as they are", f"without\n“{self.label}”"],
            f"The same {len(shown.before)} latents in both rows, {shown.fresh}: the first with a "
            f"{self.label}. Second row: {said}. {self._chart_words()}{shown.caption}.",
            zoom=figures.zoom_for(shown.before.shape[1]),
            warnings=self.doubts(),
            below=self._chart(),
        )
        strips.write(folder, shown.before, shown.after)

    def _chart_words(self) -> str:
        words = ""
        if self.traces and self.edits:
            words = (
                "Left: how well a probe that is trained on the edited images finds where the "
                f"{self.label} was, beyond position; 0.5 is not at all. At other places: the same "
                "edit where other samples have it. Inpainted: pixels filled by OpenCV instead. "
            )
        if self.erasing.tried:
            words += (
                "Right: all that was tried on held-out boxed samples, pale on fewer of them; found "
                "by such a probe, by a patch of another colour, or less real to the discriminator. "
            )
        return words + "Bars are 95% intervals. " if words else ""

    def _chart(self) -> Figure | None:
        """What a probe trained again finds, and every trial."""
        traces = self.traces[0] if self.traces and self.edits else None
        tried = self.erasing.tried
        if traces is None and not tried:
            return None
        figure, panels = blank_panels((traces is not None) + bool(tried))
        if traces is not None:
            draw_traces(panels.pop(0), traces)
        if tried:
            _draw_trials(panels.pop(0), tried, self.erasing.chosen)
        figure.tight_layout(w_pad=3)
        return figure

    def doubts(self) -> list[str]:
        """Why not to believe the result; empty if nothing is known."""
        lines = [*self.damage.doubts(self.label), *self.erasing.doubts]
        if self.erasing.edit is None:
            lines.append("NOTHING IS ERASED: nothing says where the object is")
            return lines
        for traces in self.traces:
            left = self.outcomes[traces.judge].erased.area_left.value
            lines += traces.doubts("erased", left)
        for judge, outcome in self.outcomes.items():
            lines += doubt_judge(judge, outcome.about)
            lines += outcome.erased.doubts(judge, self.label, self.target)
            if not outcome.better_than_random:
                assert outcome.random is not None
                lines.append(
                    f"NO BETTER THAN THE SAME EDIT AT OTHER SAMPLES' PLACES, says judge {judge}: "
                    f"the {self.label}'s area left is {outcome.erased.area_left}, by those "
                    f"{outcome.random.area_left}"
                )
        return lines

    def __str__(self) -> str:
        lines = self.doubts()
        auc = self.erasing.places.auc
        measured = auc is not None and np.isfinite(auc.value)
        held_out = f"AUC {auc}, chance 0.5" if measured else "not measured"
        lines.append(f"where the {self.label} is, on held-out boxed samples: {held_out}")
        for edit in self.edits:
            lines.append(f"{edit}; best of {len(self.erasing.tried)} trials: {self.erasing.chosen}")
            for judge, outcome in self.outcomes.items():
                lines.append(f"judge {judge}, {self.samples} fresh samples: {outcome.erased}")
                if outcome.random is not None:
                    lines.append(f"  at other samples' places: {outcome.random}")
        for traces in self.traces:
            lines += traces.lines()
        if self.edits:
            lines.append(str(self.damage))
        return "\n".join(lines)


def pictures(session: Session, before: Tensor, after: Tensor, fresh: str) -> ErasurePictures:
    """Draw new samples before and after; fresh: which those are."""
    return ErasurePictures(figures.pixels(before), figures.pixels(after), session.caption(), fresh)


RING: dict[str, Any] = {
    "marker": "o",
    "linestyle": "",
    "color": figures.INK,
    "markerfacecolor": "none",
}


def _draw_trials(axes: Axes, tried: tuple[Tried, ...], chosen: Tried | None) -> None:
    """Every trial: how well its place is found again, against the change outside."""
    colours = {"mix": figures.BLUE, "recolour": figures.ORANGE, "smooth": figures.GREEN}
    chains = list(dict.fromkeys(each.layers for each in tried))
    marks = dict(zip(chains, itertools.cycle("o^sDvP"), strict=False))
    most = max(each.samples for each in tried)
    for each in tried:
        value = each.found
        if not np.isfinite(value.value):
            continue
        axes.errorbar(
            each.outside,
            value.value,
            yerr=[[value.value - value.low], [value.high - value.value]],
            fmt=marks[each.layers],
            color=colours[each.fill],
            markersize=5,
            elinewidth=0.8,
            alpha=1 if each.samples == most else 0.35,
        )
        if each is chosen:
            around = Line2D([each.outside], [value.value], **RING, markersize=14)
            axes.add_line(around)
    names = [
        *(("o", colour, fill) for fill, colour in colours.items()),
        *((mark, figures.INK, " and ".join(chain)) for chain, mark in marks.items()),
    ]
    handles = [Line2D([], [], marker=m, color=c, linestyle="", label=text) for m, c, text in names]
    ring = Line2D([], [], **RING, markersize=11, label="chosen")
    axes.axhline(0.5, color=figures.INK, linewidth=0.8)
    name_panel(axes, "All that was tried")
    charts.style(axes, "mean absolute change outside the boxes", "found again (AUC)", 8)
    axes.set_xlim(left=0)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.5 * (high - low))  # room for the legend
    axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= 1.001])
    charts.legend(axes, handles=[*handles, ring], ncols=2, loc="upper right", size=8)
