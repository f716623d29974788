"""The numbers of results as charts: those of the probes that ship, and any long list of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from dcgan_probe.report.charts import BLUE, GREY, MOST, ORANGE, Chart, Mark
from dcgan_probe.report.tables import IN_A_LINE, Listing, cut, interval, number, words


def at(value: Any, place: str) -> Any:
    """What is at a place of a result, as "objects.0.label"; None if nothing is."""
    for part in place.split("."):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def listing(of: Listing) -> Chart | None:
    """A long list of numbers as bars; None if it is short, or of anything else."""
    if len(of.numbers) <= IN_A_LINE or not all(map(drawable, of.numbers)):
        return None
    marks = tuple(Mark(i, v, f"{i}: {number(v)}") for i, v in enumerate(of.numbers))
    return Chart(of.title, "place in the list", "", marks, bars=True)


def drawable(value: Any) -> bool:
    """Whether it is a number that fits on an axis."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and math.isfinite(value) and abs(value) < 1e15


def as_list(value: Any) -> list[Any]:
    """The value, if it is a list; results of other versions may hold anything."""
    return value if isinstance(value, list) else []


def rows_with(value: Any, *names: str) -> list[dict[str, Any]]:
    """The objects of a list that have numbers under all these names."""
    return [
        r for r in as_list(value) if isinstance(r, dict) and all(drawable(r.get(n)) for n in names)
    ]


_list, _rows = as_list, rows_with


def _weights(values: dict[str, Any], selections: Sequence[dict[str, Any]]) -> Iterable[Chart]:
    for selection in selections:
        weights, chosen = _list(at(selection, "about.weights")), _list(selection.get("filters"))
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


def forget(values: dict[str, Any], selections: Sequence[dict[str, Any]]) -> Iterable[Chart]:
    yield from _weights(values, selections)
    for proof in _list(values.get("fresh_samples")):
        if not isinstance(proof, dict):
            continue
        marks = []
        for colour, name, what in (
            (BLUE, "curve", "chosen"),
            (ORANGE, "random_curve", "random"),
            (GREY, "each_random", "random set"),
        ):
            for i, row in enumerate(_rows(proof.get(name), "area_left", "outside")[:MOST]):
                who = (
                    f"{number(row['filters'])} {what} filters"
                    if "filters" in row
                    else (f"{what} {i}")
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


def dissect(values: dict[str, Any], _: Sequence[dict[str, Any]]) -> Iterable[Chart]:
    layer = cut(str(values.get("layer")), 40)
    for one in _list(values.get("objects")):
        rows = _rows(at(one, "filters"), "filter", "held_out_iou", "effect")
        marks = []
        for row in rows[:MOST]:
            x, y, ends = row["held_out_iou"], row["effect"], row.get("effect_95")
            effect, clear = f"{y:.3f}", False
            if isinstance(ends, list) and len(ends) == 2 and all(map(drawable, ends)):
                effect, clear = interval(y, *ends), ends[0] > 0 or ends[1] < 0
            text = f"filter {number(row['filter'])} of layer {layer}: IoU {x:.3f}, effect {effect}"
            marks.append(Mark(x, y, text, BLUE if clear else GREY))
        if marks:
            yield Chart(
                f"Looks like “{cut(str(at(one, 'label')), 60)}”, and causes it? A dot is a filter",
                "held-out IoU with the boxes",
                "effect",
                tuple(marks),
                ((BLUE, "interval without zero"), (GREY, "interval with zero")),
            )


def visualize_d(values: dict[str, Any], _: Sequence[dict[str, Any]]) -> Iterable[Chart]:
    layer = cut(str(values.get("layer")), 40)
    marks = []
    for colour, name in ((BLUE, "trained"), (ORANGE, "random")):
        for row in _rows(values.get(name), "filter")[: MOST // 10]:
            for one in _rows(row.get("responses"), "value")[:5]:
                text = (
                    f"filter {number(row['filter'])} of layer {layer}, {name} weights: response "
                    f"{number(one['value'])} on image {cut(str(one.get('image')), 40)}, "
                    f"row {cut(str(one.get('row')), 10)}, column {cut(str(one.get('column')), 10)}"
                )
                marks.append(Mark(row["filter"] + colour * 0.25, one["value"], text, colour))
    if marks:
        yield Chart(
            "The strongest responses of every filter",
            "filter",
            "response",
            tuple(marks),
            ((BLUE, "trained"), (ORANGE, "random weights")),
        )


def walk(values: dict[str, Any], _: Sequence[dict[str, Any]]) -> Iterable[Chart]:
    ways = values.get("ways")
    points = _list(values.get("points"))
    marks: list[Mark] = []
    legend = []
    for i, (way, track) in enumerate(ways.items() if isinstance(ways, dict) else ()):
        colour = i % GREY
        legend.append((colour, cut(way, 40)))
        along = 0
        for k, part in enumerate(_list(at(track, "step_lengths"))):
            for j, length in enumerate(_list(part)):
                along += 1
                if drawable(length) and len(marks) < MOST:
                    ends = " to ".join(cut(str(p), 30) for p in points[k : k + 2])
                    text = f"{cut(way, 40)}, {ends}, step {j + 1}: {length:.3f}"
                    marks.append(Mark(along, length, text, colour))
    if marks:
        title = "How much each step changes the image"
        yield Chart(title, "step of the walk", "distance", tuple(marks), tuple(legend))


def turn(values: dict[str, Any], _: Sequence[dict[str, Any]]) -> Iterable[Chart]:
    places, mean = values.get("at"), at(values, "response.mean")
    if not isinstance(places, list) or not isinstance(mean, dict):
        return
    curves = {
        label: curve
        for label, curve in mean.items()
        if isinstance(curve, list) and len(curve) == len(places) and all(map(drawable, curve))
    }
    if not curves or not all(map(drawable, places)):
        return
    most = sorted(curves, key=lambda label: -abs(curves[label][-1] - curves[label][0]))[:3]
    marks = [
        Mark(x, y, f"{words(label)} at {x:+.2g}: {y:.2f}", most.index(label))
        for label in most
        for x, y in zip(places, curves[label], strict=True)
    ]
    title = "What the classifier sees along the axis: the three labels that change most"
    legend = tuple(enumerate(map(words, most)))
    yield Chart(title, "lengths of the axis", "mean probability", tuple(marks), legend)
