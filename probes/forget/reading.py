"""How to read a result of forget, and the weights as a chart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dcgan_probe.report.charts import BLUE, GREY, MOST, Chart, Mark
from dcgan_probe.report.plots import as_list, at, drawable, say
from dcgan_probe.report.reading import Reading
from dcgan_probe.report.tables import cut


def charts(_: dict[str, Any], selections: Sequence[dict[str, Any]]) -> Iterable[Chart]:
    """The weights of the regression."""
    for selection in selections:
        weights, chosen = as_list(at(selection, "about.weights")), as_list(selection.get("filters"))
        layer = cut(str(selection.get("layer")), 40)
        if not weights or not all(map(drawable, weights)):
            continue
        order = sorted(range(len(weights)), key=lambda f: -weights[f])[:MOST]
        marks = [
            Mark(
                place,
                weights[f],
                f"filter {f} of layer {layer}: weight {weights[f]:.3f}, "
                f"{'changed' if f in chosen else 'kept'}",
                BLUE if f in chosen else GREY,
            )
            for place, f in enumerate(order)
        ]
        yield Chart(
            f"Weight of every filter of layer {layer} in the regression, largest first",
            "rank",
            "weight",
            tuple(marks),
            ((BLUE, "changed by the edit"), (GREY, "kept")),
            bars=True,
        )


def _area_left(values: dict[str, Any]) -> Any:
    """By the first judge, of either way to forget."""
    first = "fresh_samples.0"
    left = at(values, f"{first}.erased.area_left")
    return at(values, f"{first}.chosen.area_left") if left is None else left


def _found_again(values: dict[str, Any]) -> Any:
    """AUC beyond position of the probe trained again, of either way to forget."""
    first = "traces.0.trained_again"
    auc = at(values, f"{first}.erased.beyond")
    return at(values, f"{first}.chosen.beyond") if auc is None else auc


def _finding(values: dict[str, Any]) -> str | None:
    """What is left, by either way to forget; for an erased object also whether it is found."""
    left, found = _area_left(values), _found_again(values)
    known = {"label": values.get("label"), "left": left, "found": found}
    return say(
        known,
        "{label}: area left {left}; place found again with AUC {found.value}, chance 0.5",
        "{label}: area left {left}",
    )


BY_PLACES = Reading(
    "Before and after are the same latents. A good edit removes the object and keeps the rest. "
    "Area left is measured on new samples by a detector that had no part in the choice: 0 is gone, "
    "1 is unchanged. At other samples' places is what the same edit leaves where another sample "
    "has the object: it should leave more. Found again is the AUC of a probe that is trained on "
    "the edited images to find the place: 0.5 means that it cannot.",
    "If the edit leaves as little at other samples' places, it does not find the object. A patch "
    "of another colour, lines or another object may show where the object was. What replaces it "
    "comes from another sample, or is smooth: it is not what was behind the object. A detector can "
    "be fooled where a person is not: look.",
    {
        "area of the object left": _area_left,
        "found again, beyond position": _found_again,
        "area left at other samples' places": "fresh_samples.0.random.area_left",
        "change outside": "fresh_samples.0.erased.outside",
    },
    {
        "forget": "New samples as they are, and with the object erased by place; what a new probe "
        "finds, and all trials"
    },
    finding=_finding,
)


def _by_places(values: dict[str, Any]) -> Reading | None:
    return BY_PLACES if values.get("by") == "places" else None


READING = Reading(
    "The rows show the same latents. A good edit removes the object, keeps the rest, and does "
    "so better than as many random filters. Area left is measured on new samples by a detector "
    "that had no part in the choice: 0 is gone, 1 is unchanged. Found again is the AUC of a "
    "probe that is trained on the edited images to find the place: 0.5 means that it cannot.",
    "If random filters leave as little, the choice shows nothing. A weight above zero is "
    "correlation on this layer, not causation. Dropping half of all filters also changes the "
    "rest of the picture. A detector can be fooled where a person is not: look.",
    {
        "area of the object left": _area_left,
        "found again, beyond position": _found_again,
        "area left by random filters": "fresh_samples.0.random.area_left",
        "filters changed": "filters_changed",
    },
    {
        "forget": "New samples as they are, without the chosen filters, and without as many "
        "random ones",
        "where": "Boxed samples, where the layer sees the object, and what the edit changes",
    },
    charts,
    _finding,
    _by_places,
)
