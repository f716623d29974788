"""How to read a result of forget, and its numbers as charts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dcgan_probe.report.charts import BLUE, GREY, MOST, ORANGE, Chart, Mark
from dcgan_probe.report.plots import as_list, at, drawable, rows_with
from dcgan_probe.report.reading import Reading
from dcgan_probe.report.tables import cut, number


def charts(values: dict[str, Any], selections: Sequence[dict[str, Any]]) -> Iterable[Chart]:
    """The weights of the regression, and what is left of the object by each judge."""
    yield from _weights(values, selections)
    for proof in as_list(values.get("fresh_samples")):
        if not isinstance(proof, dict):
            continue
        marks = []
        for colour, name, noun in (
            (BLUE, "curve", "chosen"),
            (ORANGE, "random_curve", "random"),
            (GREY, "each_random", "random set"),
        ):
            for i, row in enumerate(rows_with(proof.get(name), "area_left", "outside")[:MOST]):
                who = (
                    f"{number(row['filters'])} {noun} filters"
                    if "filters" in row
                    else (f"{noun} {i}")
                )
                marks.append(
                    Mark(
                        row["outside"],
                        row["area_left"],
                        f"{cut(who, 60)}: area left {row['area_left']:.3f}, "
                        f"change outside {row['outside']:.3f}",
                        colour,
                    )
                )
        if marks:
            yield Chart(
                f"What is left of the object, as judge {cut(str(proof.get('judge')), 60)} sees it",
                "mean absolute change outside of the object",
                "area left",
                tuple(marks),
                (
                    (BLUE, "more and more of the chosen filters"),
                    (ORANGE, "of random filters"),
                    (GREY, "random sets of equal size"),
                ),
            )


def _weights(values: dict[str, Any], selections: Sequence[dict[str, Any]]) -> Iterable[Chart]:
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


READING = Reading(
    "The rows hold the same latents. A good edit takes the object and spares the rest, and "
    "does it better than as many random filters. Area left is judged on fresh samples by a "
    "detector that did not choose: 0 is gone, 1 is untouched. A probe that is trained again on the "
    "edited images says whether the place can still be found: 0.5 is not.",
    "If random filters leave as little, nothing was shown. A weight above zero is correlation "
    "on this layer, not cause, and half of all filters is much to drop: the rest of the "
    "picture changes too. A detector can be fooled where a person is not: look.",
    {
        "area of the object left": _area_left,
        "found again, beyond position": _found_again,
        "by random filters": "fresh_samples.0.random.area_left",
        "filters changed": "filters_changed",
    },
    {
        "forget": "New samples as they are, without the chosen filters, and without as many "
        "random ones",
        "where": "Boxed samples, where the layer sees the object, and what the edit changes",
    },
    charts,
)
