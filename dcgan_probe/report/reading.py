"""How to read a probe's result, and where each probe brings that along.

A probe has a `Reading` under the name READING: in a module ``reading`` beside the module that its
entry point names, or in that module itself. The report knows no probe by name.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dcgan_probe import plugins, terminal
from dcgan_probe.errors import InputError, brief, guarded
from dcgan_probe.report import plots
from dcgan_probe.report.charts import Chart
from dcgan_probe.report.tables import cell

NAME = "READING"
Values = dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """What the report says of a probe beside its result.

        >>> READING = Reading(
        ...     how="Samples in the order of their index.",
        ...     doubt="A sheet shows what is common; rare failures need more samples.",
        ...     key={"samples": "count", "brightest": lambda values: max(values["brightness"])},
        ...     pictures={"sheet": "Samples in the order of their index"},
        ... )

    how: how to read the result; doubt: when not to believe it. key: the numbers to name first, by
    heading: a place in the values of the result, as "objects.0.label", or a function of the values;
    one that gives None is left out. pictures: what is on them, by the name of the file without its
    ending. charts: makes charts of the values and the selections beside them.
    """

    how: str
    doubt: str
    key: Mapping[str, str | Callable[[Values], Any]] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)
    charts: Callable[[Values, Sequence[Values]], Iterable[Chart]] | None = None


@dataclass(frozen=True)
class Interpretation:
    """A result as its probe's reading has it. fault: why a reading that is there was not used."""

    reading: Reading | None = None
    key: tuple[tuple[str, str], ...] = ()
    charts: tuple[Chart, ...] = ()
    fault: str = ""


def interpret(command: str, values: Values, selections: Sequence[Values]) -> Interpretation:
    """Apply the reading of a command's probe to its result.

    A probe that is not installed, or brings no reading, has none. What goes wrong in another
    package's reading is told as the fault, so that the report is written all the same; what goes
    wrong in one that ships is a bug, and raised.
    """
    try:
        points = plugins.find(only_ours=terminal.current().only_ours).get(command, [])
        point = plugins.entry_point(points) if points else None
    except InputError as error:  # two packages have the name
        return Interpretation(fault=str(error))
    if point is None:
        return Interpretation()
    try:
        reading = discover(point.module)
        if reading is None and plugins.is_ours(point):
            reading = READINGS.get(command)
        if reading is None:
            return Interpretation()
        charts = tuple(reading.charts(values, selections)) if reading.charts else ()
        for chart in charts:
            chart.drawn()  # one that cannot be drawn is a fault of its reading, not of the page
        return Interpretation(reading, tuple(key_numbers(reading, values)), charts)
    except Exception as error:
        if plugins.is_ours(point):
            raise
        return Interpretation(fault=f"reading of {plugins.owner(point)}: {brief(error)}")


def discover(module: str) -> Reading | None:
    """The reading beside a command's module, or in it; None where there is neither.

        >>> discover("dcgan_probe.probes.sample").pictures["sheet"]
        'Samples in the order of their index'

    module: as an entry point names it. Raises InputError for a module that cannot be imported, and
    for a READING that is not a `Reading`.
    """
    package, _, _ = module.rpartition(".")
    beside = f"{package}.reading"
    for name in (beside, module):
        with guarded(f"{name}: cannot be imported"):
            if name == beside and (not package or importlib.util.find_spec(beside) is None):
                continue
            reading = getattr(importlib.import_module(name), NAME, None)
        if reading is not None:
            if not isinstance(reading, Reading):
                kind = type(reading).__name__
                raise InputError(f"{name}.{NAME}: found {kind}, expected a Reading")
            return reading
    return None


def key_numbers(reading: Reading, values: Values) -> list[tuple[str, str]]:
    """The key numbers that a result has, by heading, in words."""
    numbers = {
        heading: plots.at(values, place) if isinstance(place, str) else place(values)
        for heading, place in reading.key.items()
    }
    cells = {heading: cell(number) for heading, number in numbers.items() if number is not None}
    return [(heading, c.text) for heading, c in cells.items() if c is not None and c.text != "none"]


READINGS = {
    "visualize-d": Reading(
        "A row is a filter of the discriminator: its strongest images and what in them raised it, "
        "beside the same for random weights. A filter that learned something shows strokes of one "
        "kind of thing over several images. Each picture is scaled to its own largest values, so "
        "strengths do not compare between pictures.",
        "Guided backpropagation partly redraws the edges of an image whatever the weights are: "
        "what trained and random weights both show says nothing of the training. A strongest "
        "response is an extreme, not what the filter does on most images.",
        {
            "share of the signal in its strongest tenth, trained": (
                "share_of_signal_in_top_tenth.trained"
            ),
            "random weights": "share_of_signal_in_top_tenth.random",
        },
        {
            "filters": "Strongest images of each filter and what in them raised it, trained "
            "weights beside random ones",
            "receptive_fields": "The same images with the receptive field that each response sees",
        },
        plots.visualize_d,
    ),
    "forget": Reading(
        "The rows hold the same latents. A good edit takes the object and spares the rest, and "
        "does it better than as many random filters. Area left is judged on fresh samples by a "
        "detector that did not choose: 0 is gone, 1 is untouched.",
        "If random filters leave as little, nothing was shown. A weight above zero is correlation "
        "on this layer, not cause, and half of all filters is much to drop: the rest of the "
        "picture changes too. A detector can be fooled where a person is not: look.",
        {
            "area of the object left": "fresh_samples.0.chosen.area_left",
            "by random filters": "fresh_samples.0.random.area_left",
            "filters changed": "filters_changed",
        },
        {
            "forget": "New samples as they are, without the chosen filters, and without as many "
            "random ones",
            "where": "Boxed samples, where the layer sees the object, and what the edit changes",
        },
        plots.forget,
    ),
    "ablate": Reading(
        "The columns are the same latents before and after the edit; the last row is the mean "
        "absolute change of their pixels, in [-1, 1].",
        "A change in pixels says that something changed, not what. Maps of zeros, or turned up "
        "together, are something the layers after never saw: what also shows when filters are "
        "replaced by their mean is more likely to be of the filters.",
        {
            "mean change": "change.everywhere",
            "inside": "change.inside",
            "outside": "change.outside",
            "lifted": "lifted",
        },
        {"ablate": "Samples before, after, and where they changed"},
    ),
    "dissect": Reading(
        "IoU says whether a filter's map looks like the object; effect, the share of the "
        "object's area that goes without it, says whether the object needs it. Below zero the "
        "object grows. A filter high on the object that changes it without effect paints what "
        "others would draw anyway.",
        "Effects are of one filter at a time and do not add up. Each interval is of one filter: "
        "of many that do nothing, 1 in 20 is off zero by chance. The effect is what a detector "
        "sees, and a filter that draws by being low agrees with nothing.",
        {
            "object": "objects.0.label",
            "correlation of looking like it with effect": (
                "objects.0.rank_correlation_of_iou.effect"
            ),
            "IoU of a mask of all places": "objects.0.chance_iou",
        },
        {"dissect": "Filters of most effect: where each is high, and what dropping it changes"},
        plots.dissect,
    ),
    "sample": Reading(
        "Samples in the order of their index, with the edits in force.",
        "A sheet shows what is common; rare failures, and whether samples copy images of the "
        "training, need evaluate and neighbours.",
        {},
        {"sheet": "Samples in the order of their index"},
    ),
    "walk": Reading(
        "Between two samples the images should change a little at every step. Distances are of "
        "the discriminator's features (of pixels where there is none), beside that of unrelated "
        "samples. Of the largest step, walked again in 8 parts, an even change has a largest part "
        "near 0.12; a jump has 1.",
        "Smoothness shows that the generator did not store single images; it does not show that "
        "what lies between is good. The discriminator that measures was trained against this "
        "very generator.",
        {
            "mean step, linear": "ways.linear.mean",
            "mean step, spherical": plots.spherical_alone,
            "largest": plots.largest_step,
            "unrelated samples": "distance_of_unrelated_samples",
        },
        {"walk": "Images along the walk, from point to point"},
        plots.walk,
    ),
    "arithmetic": Reading(
        "The mean latents of each concept are added and subtracted; around the sum lie eight "
        "neighbours of it. The last row is the same sum of the pixels: what is gained is what the "
        "row above does better.",
        "A single sum that works was perhaps picked. How often it works, beside an image of the "
        "concept alone, is what a classifier counts over many draws; where it was not asked, "
        "there is one picture and no number.",
        {"sum": "expression", "has what was asked": plots.share_of_sums},
        {
            "arithmetic": "Exemplars of each concept, images of their mean latents, and the sum",
            "success": "The first draws of every method, and how often each has what was asked",
        },
    ),
    "turn": Reading(
        "Every row is one sample, with the axis between two concepts subtracted to one side and "
        "added to the other. A good axis moves what it is named after, and alone.",
        "An axis of few exemplars also carries whatever else they had in common. Far along it, "
        "latents leave what the generator was trained on.",
        {"from": "from", "to": "to", "length of the axis": "length_of_axis"},
        {"turn": "Samples along the axis between two concepts"},
        plots.turn,
    ),
    "invert": Reading(
        "The photograph beside the nearest images that the generator was found to make, and a "
        "sample of its own searched for in the same way: how well that is found again is what the "
        "search can do at best.",
        "An image that is not found may still be there: the search has few starts. A photograph "
        "that is found well shows that the generator can draw it, not that it often does.",
        {"verdict": "verdict"},
        {"invert": "The photograph, the nearest images found, and their difference"},
    ),
    "concepts": Reading(
        "Samples that meet the conditions best, as the classifier sees them.",
        "Samples at the top of a classifier's list are its surest, not the most typical. Look "
        "before you name a concept after them.",
        {"name": "name", "share of samples that show it": "frequency"},
        {"suggestions": "Suggested samples with their scores"},
    ),
    "evaluate": Reading(
        "A distance at the floor, that of held-out images to each other, cannot tell samples from "
        "real images. Far above it at the finest scale only: the layout is right, the detail is "
        "not. MS-SSIM above that of held-out images: samples are too alike.",
        "Compare numbers only of equally many images. Images the generator was trained on are not "
        "held out, and nothing here looks for copies. A flat cast or contrast does not show in "
        "the sliced distance, and low MS-SSIM is also what noise has.",
        {"images on each side": "images_on_each_side"},
        {"evaluate": "Samples beside held-out images, and their distances beside the floor"},
    ),
    "features": Reading(
        "Accuracy of a linear classifier on the discriminator's features, by labels a class, "
        "beside other features of the same images. What training did is the difference to random "
        "weights.",
        "An interval of a single draw is over test images only. With few images held out the "
        "choice of C is a guess. A layer with little weight is not one that knows little: layers "
        "repeat each other.",
        {"images": "images", "testing": "testing"},
        {
            "accuracy": "Accuracy by labels a class",
            "confusion": "True classes down, told ones across",
            "layers": "What every layer carries",
        },
    ),
    "neighbours": Reading(
        "Samples beside their nearest training images, compared with how near held-out images "
        "come. Samples much nearer than these are copies; as near, there is no sign of copying.",
        "Without held-out images there is no verdict. Distances see what their space sees: a "
        "shifted or mirrored copy is far in pixels. Blurred samples are near to everything.",
        {
            "verdict in pixels": "samples.pixels.verdict",
            "in features": "samples.features.verdict",
        },
        {
            "pixels": "Samples with their nearest training images, in pixels",
            "features": "Samples with their nearest training images, in the discriminator's "
            "features",
            "before_after": "The same latents in the earlier checkpoint and in this one",
        },
    ),
}
