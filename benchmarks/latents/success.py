"""How often sums of concepts meet their target, by number of exemplars, compared with controls.

    python benchmarks/latents/success.py                              # the faces that ship
    python benchmarks/latents/success.py --model m.safetensors --concepts c.json \\
        --classifier labelled/ --name people "smiling_woman - neutral_woman + neutral_man"

Writes NAME.md and NAME.json beside this file.
"""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path

import click
import torch

import dcgan_probe as dp
from dcgan_probe.latents.expressions import parse
from dcgan_probe.probes.arithmetic import trials
from dcgan_probe.recognition import classifiers
from dcgan_probe.storage import files

HERE = Path(__file__).parent
EXPRESSIONS = (
    "smiling_long - neutral_long + neutral_short",
    "glasses_short - plain_short + plain_long",
    "smiling - neutral + hat",
)
EXEMPLARS = (1, 3, 10)


@click.command()
@click.option("--model", default="faces")
@click.option("--concepts", "path", type=click.Path(path_type=Path))
@click.option("--classifier", default="faces")
@click.option("--name", default="faces", help="Of the files to write.")
@click.option("--draws", default=200)
@click.option("--seed", default=0)
@click.argument("expressions", nargs=-1)
def main(
    model: str,
    path: Path | None,
    classifier: str,
    name: str,
    draws: int,
    seed: int,
    expressions: tuple[str, ...],
) -> None:
    session = dp.Session.open(model, seed, "cpu")
    concepts = session.read_concepts(path)
    judge = classifiers.find(classifier, session)
    found = []
    for expression in expressions or EXPRESSIONS:
        factors = parse(expression)
        for exemplars in EXEMPLARS:
            start = time.perf_counter()
            success = trials.measure(session, factors, concepts, judge, exemplars, draws)
            seconds = time.perf_counter() - start
            found.append(
                {
                    "expression": expression,
                    "exemplars": exemplars,
                    "draws": draws,
                    "seconds": seconds,
                    **success.values(),
                }
            )
            click.echo(f"{expression}, {exemplars}: {seconds:.1f} s\n{success}")
    made_with = {**session.made_with(), "threads": torch.get_num_threads()}
    made_with |= {"processor": platform.processor() or platform.machine()}
    files.write_json(HERE / f"{name}.json", {"made_with": made_with, "results": found})
    files.write_text(HERE / f"{name}.md", table(json.loads((HERE / f"{name}.json").read_text())))


def table(results: dict) -> str:
    """The markdown that `main` writes, from its JSON."""
    about = results["made_with"]
    checkpoint = about["checkpoint"]
    first = results["results"][0]
    lines = [
        f"# Arithmetic on {checkpoint['name']}",
        "",
        f"Checkpoint {checkpoint['sha256'][:8]}, seed {about['seed']}, {first['draws']} draws of "
        f"exemplars; classifier {first['classifier']['name']}. Share of draws that meet the "
        "target (Wilson's 95%); mean share of the other labels that are as in the base; and the "
        "sliced Wasserstein distance (x1000) from as many samples, which are "
        f"{first['sliced_wasserstein_x1000_of_samples']:.0f} from each other. "
        f"torch {about['torch']}, {about['threads']} threads.",
        "",
    ]
    for expression in dict.fromkeys(r["expression"] for r in results["results"]):
        rows = [r for r in results["results"] if r["expression"] == expression]
        asked = ", ".join(rows[0]["asked"])
        lines += [
            f"## `{expression}`",
            "",
            f"Target: {asked}. Base: {rows[0]['base']}. Clear candidates among {trials.POOL} "
            "samples: "
            + ", ".join(f"{name} {n}" for name, n in rows[0]["candidates"].items())
            + ".",
            "",
            "| exemplars | | meets the target | other labels unchanged | from samples | seconds |",
            "|---|---|---|---|---|---|",
        ]
        for row in rows:
            for i, (method, values) in enumerate(row["methods"].items()):
                if method == "single exemplars":
                    continue
                has = values["has_what_was_asked"]
                kept_mean = "" if values["kept_mean"] is None else f"{values['kept_mean']:.2f}"
                count, seconds = (row["exemplars"], f"{row['seconds']:.1f}") if i == 0 else ("", "")
                lines.append(
                    f"| {count} | {'sum in z' if i == 0 else method} | {has['share']:.2f} "
                    f"({has['low']:.2f} to {has['high']:.2f}) | {kept_mean} | "
                    f"{values['sliced_wasserstein_x1000']:.0f} | "
                    f"{seconds} |"
                )
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
