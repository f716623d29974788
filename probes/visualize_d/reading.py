"""How to read a result of visualize-d, and responses as a chart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dcgan_probe.report.charts import BLUE, MOST, ORANGE, Chart, Mark
from dcgan_probe.report.plots import rows_with, say
from dcgan_probe.report.reading import Reading
from dcgan_probe.report.tables import cut, number


def charts(values: dict[str, Any], _: Sequence[dict[str, Any]]) -> Iterable[Chart]:
    """The strongest responses of every filter, one colour for each network."""
    layer = cut(str(values.get("layer")), 40)
    marks = []
    for colour, name in ((BLUE, "trained"), (ORANGE, "random")):
        for row in rows_with(values.get(name), "filter")[: MOST // 10]:
            for one in rows_with(row.get("responses"), "value")[:5]:
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


READING = Reading(
    "Each row is a filter of the discriminator: its strongest images and the pixels that caused "
    "the responses, next to the same for random weights. A filter that learned something shows "
    "one or a few parts across several images. Each picture is scaled to its own maximum, so "
    "strengths cannot be compared.",
    "Guided backpropagation partly redraws the edges of an image whatever the weights are: "
    "structure that random weights also show was not learned. A strongest response is an "
    "extreme, not what the filter does on most images.",
    {
        "share of the signal in its strongest tenth, trained": (
            "share_of_signal_in_top_tenth.trained"
        ),
        "random weights": "share_of_signal_in_top_tenth.random",
    },
    {
        "filters": "What each filter sees in its strongest images, and below it the pixels that "
        "caused the response, for trained and random weights",
    },
    charts,
    lambda values: say(
        values,
        "the strongest tenth of pixels holds {share_of_signal_in_top_tenth.trained} of the "
        "signal, with random weights {share_of_signal_in_top_tenth.random}",
    ),
)
