"""How much else an axis or a sum moves, with and without --keep all.

    python benchmarks/latents/axes.py

On the faces that ship. Of each axis, as long as it takes for what is asked to move by `ASKED` from
end to end: the label that moves most of all others, and the one that differs between the ends in
most samples, beside random directions of the same length. Of each sum what `success.py` counts.
Writes axes.md and axes.json beside this file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

import dcgan_probe as dp
from dcgan_probe.latents.axes import Regression
from dcgan_probe.latents.concepts import Concepts
from dcgan_probe.latents.expressions import combine, parse
from dcgan_probe.metrics.intervals import mean_interval
from dcgan_probe.probes.arithmetic import trials
from dcgan_probe.probes.arithmetic.question import Question
from dcgan_probe.probes.turn.ends import count_differing, random_ways
from dcgan_probe.recognition import classifiers, keeping
from dcgan_probe.recognition.classifiers import Classifier
from dcgan_probe.recognition.keeping import Keeping
from dcgan_probe.storage import files

HERE = Path(__file__).parent
# From, to, what is asked, exemplars of each.
AXES = (
    ("left", "right", "turned right", 10),
    ("left", "right", "turned right", 3),
    ("plain_long", "glasses", "glasses", 10),
    ("light", "dark", "dark skin", 10),
    ("neutral", "smiling", "smile", 10),
)
SUMS = (
    "glasses_short - plain_short + plain_long",
    "smiling_long - neutral_long + neutral_short",
    "3*smiling_long - 3*neutral_long + neutral_short",
    "smiling - neutral + hat",
)
EXEMPLARS = (3, 10)
ASKED, MEASURED, DRAWS = 0.9, 200, 200
# An axis that has not moved what is asked by then does not.
FARTHEST, HALVINGS = 3.0, 7


def ends(session: dp.Session, way: Tensor, judge: Classifier) -> tuple[Tensor, Tensor]:
    """Probabilities at both ends of a way (z_size, or one for each sample); samples x labels."""
    z = session.latents(MEASURED, session.seed + 1)
    low, high = (classifiers.classify(judge, session.generate(z + side)) for side in (-way, way))
    return low, high


def along(session: dp.Session, axis: Tensor, asked: str, judge: Classifier) -> dict[str, Any]:
    """The shortest reach at which what is asked moves by `ASKED`, and what else moves there."""
    labels = list(judge.labels)
    column = labels.index(asked)
    low, high = 0.0, FARTHEST
    seen = ends(session, high * axis, judge)
    if (seen[1] - seen[0])[:, column].mean() >= ASKED:
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            there = ends(session, middle * axis, judge)
            if (there[1] - there[0])[:, column].mean() >= ASKED:
                high, seen = middle, there
            else:
                low = middle
    found = seen[1] - seen[0]
    mean = found.mean(0)
    ways = random_ways(session.latents(MEASURED), float(high * axis.norm()), session.seed)
    shares = count_differing(*seen)
    by_chance = count_differing(*ends(session, ways, judge))
    others = [i for i in range(len(labels)) if i != column]
    ranked = sorted(others, key=lambda i: -abs(float(mean[i])))

    def told(i: int) -> dict[str, Any]:
        low, high = mean_interval(found[:, i].tolist())
        return {
            "label": labels[i],
            "change": float(mean[i]),
            "low": low,
            "high": high,
            "differs": shares[i].values(),
            "differs_at_random": by_chance[i].values(),
        }

    return {
        "length": float(axis.norm()),
        "reach": high,
        "asked": told(column),
        "others": [told(i) for i in ranked],
    }


def of_axis(
    session: dp.Session,
    concepts: Concepts,
    judge: Classifier,
    regression: Regression,
    case: tuple[str, str, str, int],
) -> dict[str, Any]:
    start, end, asked, exemplars = case
    near, far = (concepts.latents(name, session.config, exemplars) for name in (start, end))
    axis = far.mean(0) - near.mean(0)
    kept = keeping.find(session, [keeping.ALL], [asked], axis, concepts, judge, regression)
    return {
        "from": start,
        "to": end,
        "exemplars": exemplars,
        "keep": kept.values(),
        "before": along(session, axis, asked, judge),
        "after": along(session, kept.apply(axis), asked, judge),
    }


def of_sum(
    session: dp.Session,
    concepts: Concepts,
    judge: Classifier,
    regression: Regression,
    expression: str,
    exemplars: int,
) -> dict[str, Any]:
    factors = parse(expression)
    question = Question.read(factors, concepts, judge)
    means = {n: concepts.latents(n, session.config, exemplars).mean(0) for n in factors}
    shift = combine(factors, means) - means[question.base]
    kept: Keeping = keeping.find(
        session, [keeping.ALL], question.changed, shift, concepts, judge, regression
    )
    success = trials.measure(session, factors, concepts, judge, exemplars, DRAWS, keeping=kept)
    return {"expression": expression, "exemplars": exemplars, **success.values()}


@click.command()
@click.option("--seed", default=0)
def main(seed: int) -> None:
    """Measure all axes and sums, and write the tables."""
    session = dp.Session.open("faces", seed, "cpu")
    concepts = session.read_concepts()
    assert concepts is not None, "the faces ship with concepts"
    judge = classifiers.find("faces", session)
    regression = keeping.regress(session, judge)
    axes, sums = [], []
    for case in AXES:
        axes.append(of_axis(session, concepts, judge, regression, case))
        click.echo(json.dumps({key: axes[-1][key]["others"][0] for key in ("before", "after")}))
    for expression in SUMS:
        for exemplars in EXEMPLARS:
            sums.append(of_sum(session, concepts, judge, regression, expression, exemplars))
            click.echo(f"{expression}, {exemplars}")
    results = {"made_with": session.made_with(), "axes": axes, "sums": sums}
    files.write_json(HERE / "axes.json", results)
    files.write_text(HERE / "axes.md", table(json.loads((HERE / "axes.json").read_text())))


def table(results: dict[str, Any]) -> str:
    """The Markdown that `main` writes, from its JSON."""
    about = results["made_with"]
    keep = results["axes"][0]["keep"]
    explained = ", ".join(f"{label} {value:.2f}" for label, value in keep["r2"].items())
    lines = [
        "# Axes that change one label",
        "",
        f"Checkpoint {about['checkpoint']['name']} ({about['checkpoint']['sha256'][:8]}), seed "
        f"{about['seed']}, torch {about['torch']}; classifier faces. Made by `python "
        "benchmarks/latents/axes.py`. The regression is on "
        f"{keep['samples']:,} samples; the R^2 of each label's logit by z "
        f"(leave-one-out): {explained}. Labels below {keeping.BOUND} are not kept, nor those "
        f"that correlate with the target by {keeping.ALIKE} or more or hardly ever appear with it.",
        "",
        "## Axes",
        "",
        f"Each axis is as long as it takes to change the target by {ASKED} from end to end, on "
        f"{MEASURED} samples that neither the exemplars nor the regression come from. Beside it: "
        "the other label, kept or not, with the largest change from end to end, and its 95% "
        "interval (Student's t); and how many other labels change by more than 0.1. Aim: none. "
        "Changes between the ends are not counted. Reach: how many of its lengths the axis goes to "
        f"each side; at most {FARTHEST:g}.",
        "",
        "A mean can stay while some samples gain a label and others lose it. So the last column "
        "counts the samples that have a label (probability above 0.5) at one end only: the target, "
        "and the other label that differs most often, each with its share along random directions "
        "of the same length, one for each sample.",
        "",
        "| from, to | exemplars | | reach | target | largest change of another label | others "
        "above 0.1 | samples whose ends differ (random directions) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in results["axes"]:
        for i, (side, name) in enumerate((("before", "original"), ("after", "`--keep all`"))):
            found = row[side]
            asked, most = found["asked"], found["others"][0]
            over = sum(abs(other["change"]) > 0.1 for other in found["others"])
            often = max(found["others"], key=lambda other: other["differs"]["share"])
            head = (f"{row['from']}, {row['to']}", row["exemplars"]) if not i else ("", "")
            lines.append(
                f"| {head[0]} | {head[1]} | {name} | {found['reach']:.2f} | {asked['label']} "
                f"{told(asked)} | "
                f"{most['label']} {told(most)} | {over} of {len(found['others'])} | "
                f"{asked['label']} {shares(asked)}, {often['label']} {shares(often)} |"
            )
    lines += [
        "",
        "## Sums",
        "",
        f"{DRAWS} draws of exemplars; the share that meets the target (Wilson's 95%), and the mean "
        "share of the other labels that are as in the base (bootstrap over draws, 95%). Aim: at "
        "least 0.65, and at least 0.9.",
        "",
        "| sum | exemplars | | meets the target | other labels unchanged |",
        "|---|---|---|---|---|",
    ]
    for row in results["sums"]:
        methods = [
            (name, method)
            for name, method in row["methods"].items()
            if name.startswith("mean of") or name == "random direction"
        ]
        for i, (name, method) in enumerate(methods):
            has = method["has_what_was_asked"]
            low, high = method["kept_mean_interval"]
            head = (f"`{row['expression']}`", row["exemplars"]) if not i else ("", "")
            lines.append(
                f"| {head[0]} | {head[1]} | {name} | {has['share']:.2f} ({has['low']:.2f} to "
                f"{has['high']:.2f}) | {method['kept_mean']:.3f} ({low:.3f} to {high:.3f}) |"
            )
    return "\n".join([*lines, ""])


def told(change: dict[str, Any]) -> str:
    return f"{change['change']:+.2f} ({change['low']:+.2f} to {change['high']:+.2f})"


def shares(label: dict[str, Any]) -> str:
    return f"{label['differs']['share']:.0%} ({label['differs_at_random']['share']:.0%})"


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
