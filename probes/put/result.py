"""The result of put: the edit, where the object lands, and whether it is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan_probe.edits.places import PlaceEdit
from dcgan_probe.edits.regions import listed
from dcgan_probe.probes.put.choice import TriedDonor, TriedWay
from dcgan_probe.probes.put.effect import OUTSIDE
from dcgan_probe.probes.put.evaluation import PUT, Judged
from dcgan_probe.probes.put.figures import PutPictures
from dcgan_probe.probes.put.options import Edges
from dcgan_probe.probes.put.placing import Placements
from dcgan_probe.probes.put.ways import Way
from dcgan_probe.recognition.judges import doubt_judge
from dcgan_probe.results.result import Result

SMALL = 0.6  # of overlap with the box that is asked for: less is another size


@dataclass(frozen=True, kw_only=True, eq=False)
class Put(Result):
    """What `run` returns.

    at: the box that was asked for. way, tried: how it is put, and all that was tried on held-out
    objects. donor, donors: the object that is put, and those that were tried. placements: all that
    fit, and how many do not. judged: by judge, on fresh samples. drift: sliced Wasserstein distance
    x 1000 from other samples, by edit. cut: whether the generator could be cut behind the layer.
    notes: what to know of the choice.
    """

    label: str
    at: Edges
    edit: PlaceEdit
    way: Way
    tried: tuple[TriedWay, ...]
    donor: TriedDonor
    donors: tuple[TriedDonor, ...]
    placements: Placements
    judged: Mapping[str, Judged]
    drift: Mapping[str, float]
    cut: bool
    notes: tuple[str, ...]
    pictures: PutPictures

    @property
    def edits(self) -> tuple[PlaceEdit, ...]:
        """The edit, as `Session.editing` takes it."""
        return (self.edit,)

    def values(self) -> dict[str, Any]:
        placed, found = self.donor.placed, self.placements
        return {
            "label": self.label,
            "at": list(self.at),
            "landed": list(placed.landed),
            "rounded": list(placed.rounded),
            "edit": self.edit.change(),
            "donor": self.donor.values(),
            "donors": [each.values() for each in self.donors],
            "donors_that_fit": len(found.fitting),
            "donors_that_would_leave_the_image": found.leaving,
            "donors_cut_by_a_side": found.cut,
            "way": self.way.values(),
            "tried": [each.values() for each in self.tried],
            "fresh_samples": [{"judge": k, **each.values()} for k, each in self.judged.items()],
            "sliced_wasserstein_x1000": dict(self.drift),
            "generator_is_cut": self.cut,
            "doubts": self.doubts(),
        }

    def draw(self, folder: Path) -> None:
        self.edit.write(folder / "edit.json")
        self.pictures.draw(folder, self.label, self.edit, self.way, self.tried, self.doubts())

    def doubts(self) -> list[str]:
        """Why not to believe the result; empty if nothing is known."""
        lines = list(self.notes)
        if self.donor.placed.overlap < SMALL:
            lines.append(
                f"NO BOXED {self.label.upper()} IS OF THIS SIZE: the box that lands there overlaps "
                f"with the one that is asked for by {self.donor.placed.overlap:.2f}"
            )
        for name, judged in self.judged.items():
            lines += doubt_judge(name, judged.about)
            if not len(judged.free):
                lines.append(
                    f"EVERY SAMPLE SHOWS A {self.label.upper()} THERE ALREADY, says judge {name}: "
                    "what is put cannot be measured"
                )
                continue
            outcome = judged.outcomes[PUT]
            if outcome.there.low < 0.5:
                lines.append(f"IT IS OFTEN NOT THERE, says judge {name}: {outcome.there}")
            if outcome.outside.low > OUTSIDE:
                lines.append(
                    f"MUCH CHANGES OUTSIDE of the box: {outcome.outside}, {OUTSIDE} is little"
                )
        return lines

    def __str__(self) -> str:
        placed = self.donor.placed
        right, down = placed.rounded
        seed = self.edit.donors.seed if self.edit.donors else 0
        found = self.placements
        lines = [
            *self.doubts(),
            f"{self.label} of sample {seed}:{placed.box.image}, put by {self.way}; asked at "
            f"{listed(self.at)}, lands at {listed(placed.landed)}: {right:+g} to the right and "
            f"{down:+g} down by whole locations",
            f"of the boxed objects {len(found.fitting)} fit, {found.leaving} would leave the image "
            f"and {found.cut} are cut by its side; the best {len(self.donors)} were tried",
        ]
        if not self.cut:
            lines.append(f"the generator cannot be cut behind {self.edit.layers[0]}: slower")
        for name, judged in self.judged.items():
            lines.append(
                f"judge {name}: {len(judged.free)} of {judged.samples} fresh samples show none "
                f"there; its marks of unedited objects overlap with their boxes by "
                f"{judged.known:.3f}"
            )
            lines += [f"  {edit}: {outcome}" for edit, outcome in judged.outcomes.items()]
        drift = ", ".join(f"{name} {value:.1f}" for name, value in self.drift.items())
        lines.append(f"sliced Wasserstein distance x 1000 from other samples: {drift}")
        return "\n".join(lines)
