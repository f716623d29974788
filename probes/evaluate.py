"""How far samples are from held-out images, beside how far held-out images are from each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

import dcgan_probe as dp
from dcgan_probe.errors import InputError
from dcgan_probe.images import sources
from dcgan_probe.plugins.contract import pass_session
from dcgan_probe.results.result import Result

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from dcgan_probe.recognition.exported import Network

# Directions and pairs of one split; all splits together take the published 512, and 1000 pairs.
SPLITS, PROJECTIONS, PAIRS = 4, 128, 250
SIMILARITY, FRECHET = "similarity", "frechet"
COLUMNS = 4
CHART_WIDTH = 440
FLOOR_COLOUR = "#BBBBBB"


@dataclass(frozen=True)
class Spread:
    """One number, measured on every split."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        return cls(tuple(values))

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)

    def __str__(self) -> str:
        return f"{self.mean:.3g} ({min(self.values):.3g} to {max(self.values):.3g})"


@dataclass(frozen=True)
class Beside:
    """A number for samples, and the same for as many held-out images: the floor of a distance."""

    samples: Spread
    held_out: Spread

    def values(self) -> dict[str, list[float]]:
        return {"samples": list(self.samples.values), "held_out": list(self.held_out.values)}


@dataclass(frozen=True)
class FeatureDistance:
    """Fréchet distances in the features of an extractor, named after its file; no FID."""

    extractor: str
    sha256: str
    features: int
    distance: Beside
    warning: str


@dataclass(frozen=True, eq=False)
class Evaluation(Result):
    """What `run` returns. wasserstein: by scale, times 1000. similarity: mean MS-SSIM of pairs.

    count: images on each side of every comparison. samples, held_out: the first of either, at most
    16, N x H x W x 3 uint8.
    """

    images: str
    count: int
    wasserstein: dict[str, Beside]
    similarity: Beside
    frechet: FeatureDistance | None
    samples: np.ndarray
    held_out: np.ndarray
    caption: str

    def values(self) -> dict[str, Any]:
        found = self.frechet
        return {
            "images": self.images,
            "images_on_each_side": self.count,
            "sliced_wasserstein_x1000": {k: v.values() for k, v in self.wasserstein.items()},
            "ms_ssim_of_pairs": self.similarity.values(),
            "frechet": None
            if found is None
            else {
                "extractor": found.extractor,
                "sha256": found.sha256,
                "features": found.features,
                "warning": found.warning,
                **found.distance.values(),
            },
        }

    def draw(self, folder: Path) -> None:
        zoom = dp.figures.zoom_for(self.samples.shape[1])
        sheets = [dp.figures.tile(of, COLUMNS, zoom) for of in (self.samples, self.held_out)]
        chart = _chart(self._panels(), height=max(len(sheets[0]), 360))
        headings = ("samples", "held-out images", "")
        dp.figures.draw(
            folder / "evaluate.png",
            "Samples beside images that were held out",
            [
                dp.figures.Block(heading, _padded(sheet, len(chart))[None, None])
                for heading, sheet in zip(headings, (*sheets, chart), strict=True)
            ],
            [""],
            f"The first samples, the first held-out images, and distances between {self.count} of "
            f"either. Grey is the floor: {self.count} held-out images against as many others. "
            f"Bars are means of {SPLITS} splits of {self.images}, whiskers the least and the most. "
            f"{self._doubt()}{self.caption}.",
            zoom=1,
        )

    def _doubt(self) -> str:
        if self.frechet is None or not self.frechet.warning:
            return ""
        return f"DO NOT BELIEVE THE FRÉCHET DISTANCE: {self.frechet.warning}. "

    def _panels(self) -> list[tuple[str, dict[str, Beside]]]:
        scales = {f"{k} × {k}": of for k, of in self.wasserstein.items() if k != "mean"}
        panels = [
            ("sliced Wasserstein distance × 1000, by scale", scales),
            ("MS-SSIM of pairs: high is little diversity", {"": self.similarity}),
        ]
        if self.frechet is not None:
            title = f"Fréchet distance in {self.frechet.features} features"
            panels.append((title, {"": self.frechet.distance}))
        return panels

    def __str__(self) -> str:
        lines = [
            f"{self.count} samples against {self.count} held-out images; floor: these against "
            f"{self.count} others. Mean of {SPLITS} splits of {self.images} (least to most)",
            "sliced Wasserstein distance x 1000:",
        ]
        for scale, of in self.wasserstein.items():
            name = scale if scale == "mean" else f"{scale}x{scale}"
            lines.append(f"  {name}: {of.samples}, floor {of.held_out}")
        lines.append(
            f"MS-SSIM of pairs, high is little diversity: samples {self.similarity.samples}, "
            f"held-out images {self.similarity.held_out}"
        )
        if self.frechet is not None:
            distance = self.frechet.distance
            lines.append(
                f"Fréchet distance in {self.frechet.features} features of {self.frechet.extractor} "
                f"({self.frechet.sha256[:8]}): {distance.samples}, floor {distance.held_out}"
            )
            if self._doubt():
                lines.insert(0, self._doubt().rstrip(". "))
        return "\n".join(lines)


def run(
    session: dp.Session,
    images: str | Path,
    n: int = 2000,
    features: str | Path | None = None,
) -> Evaluation:
    """Measure samples against images that the generator was not trained on.

        >>> result = run(dp.Session.open("rooms"), "held_out.zip", n=1000)
        >>> result.wasserstein["64"].samples.mean > result.wasserstein["64"].held_out.mean
        True

    images: what `sources.ImageSource` opens. n: at most so many of them, the first by name.
    features: a file of torch.export.save with a network from N x C x S x S float32 images in
    [-1, 1] to N x D features, for a Fréchet distance; its batch must be dynamic.

    The held-out images are split at random into halves, four times. Each time new samples, as many
    as one half, are compared with that half, and for the floor the other half is too. The splits
    share the held-out images, so four new sets of images would lie further apart than the range.

    Raises InputError for fewer than 4 images, and for an extractor that cannot be read safely or
    does not put out finite N x D features.
    Source: see `metrics.sliced_wasserstein`, `metrics.diversity`, `metrics.frechet_distance`.
    """
    import numpy as np
    import torch

    from dcgan_probe import metrics
    from dcgan_probe.recognition import exported

    extractor = None
    if features is not None:
        extractor = exported.read(Path(features)).to(session.device)
    source = session.images(images, n)
    count = len(source) // 2
    if count < 2:
        raise InputError(
            f"{images}: found {len(source)} images to use, expected at least 4: two halves of two"
        )
    pixels = torch.cat(list(sources.batches(source, dp.session.BATCH)))[: 2 * count]
    held = _Set.of(pixels, extractor)
    if extractor is not None and held.features is not None:
        first = pixels[: dp.session.BATCH]
        again = _features(extractor, first)
        if not torch.allclose(again, held.features[: len(first)], rtol=1e-3, atol=1e-5):
            raise InputError(
                f"{extractor.path}: found other features when the same images were shown again, "
                "expected the same; export the network in eval mode"
            )

    rng = np.random.default_rng(session.seed)
    ours, theirs = [], []
    for split in session.progress(range(SPLITS), "measuring"):
        one, other = torch.from_numpy(rng.permutation(2 * count)).split(count)
        seed = int(rng.integers(2**32))
        new = sources.eight_bit(session.generate(session.latents(count, start=split * count)))
        if split == 0:
            shown = dp.figures.pixels(new[: COLUMNS**2])
        samples = _Set.of(new, extractor)
        ours.append(_measured(samples, held.only(one), seed))
        theirs.append(_measured(held.only(other), held.only(one), seed))

    beside = {
        name: Beside(
            Spread.of(numbers[name] for numbers in ours),
            Spread.of(numbers[name] for numbers in theirs),
        )
        for name in ours[0]
    }
    similarity, distance = beside.pop(SIMILARITY), beside.pop(FRECHET, None)
    frechet = None
    if extractor is not None and distance is not None and held.features is not None:
        size = held.features.shape[1]
        warning = metrics.rank_warning(count, size)
        frechet = FeatureDistance(extractor.path.name, extractor.sha256, size, distance, warning)
    words = f"{2 * count} images of {Path(images).name}"
    used = None if extractor is None else {"name": extractor.path.name, "sha256": extractor.sha256}
    return Evaluation(
        session.made_with(images=words, n=n, features=used),
        words,
        count,
        beside,
        similarity,
        frechet,
        shown,
        dp.figures.pixels(held.images[: len(shown)]),
        session.caption(),
    )


class _Set(NamedTuple):
    """Images, N x C x S x S float32 in [-1, 1], and what an extractor makes of them, N x D."""

    images: Tensor
    features: Tensor | None

    @classmethod
    def of(cls, images: Tensor, extractor: Network | None) -> _Set:
        import torch

        if extractor is None:
            return cls(images, None)
        batches = images.split(dp.session.BATCH)
        return cls(images, torch.cat([_features(extractor, batch) for batch in batches]))

    def only(self, rows: Tensor) -> _Set:
        return _Set(self.images[rows], None if self.features is None else self.features[rows])


def _features(extractor: Network, images: Tensor) -> Tensor:
    """Features of images, N x D float32 on the CPU; InputError unless they are that and finite."""
    from dcgan_probe.recognition import exported

    features = extractor(images)
    if features.ndim != 2 or len(features) != len(images):
        raise InputError(
            f"{extractor.path}: found an output of {exported.shape(features)} for {len(images)} "
            f"images, expected {len(images)} x D"
        )
    if not features.isfinite().all():
        raise InputError(f"{extractor.path}: found NaN or infinity in features, expected numbers")
    return features.float().cpu()


def _measured(of: _Set, against: _Set, seed: int) -> dict[str, float]:
    """Distances between two sets by scale, and how alike the images of the first are."""
    from dcgan_probe import metrics

    found = metrics.sliced_wasserstein(of.images, against.images, seed, projections=PROJECTIONS)
    found[SIMILARITY] = metrics.diversity(of.images, PAIRS, seed)
    if of.features is not None and against.features is not None:
        found[FRECHET] = metrics.frechet_distance(of.features, against.features).distance
    return found


def _padded(sheet: np.ndarray, height: int) -> np.ndarray:
    import numpy as np

    below = height - len(sheet)
    return np.pad(sheet, ((0, below), (0, 0), (0, 0)), constant_values=255)


def _chart(panels: list[tuple[str, dict[str, Beside]]], height: int) -> np.ndarray:
    """Bars of numbers beside those of the held-out images, height x CHART_WIDTH x 3 uint8."""
    import numpy as np

    figure = dp.figures.blank(CHART_WIDTH, height)
    ratios = [len(rows) + 0.4 for _, rows in panels]
    grid = figure.subplots(len(panels), 1, height_ratios=ratios)
    for axes, (title, rows) in zip(grid, panels, strict=True):
        bars = (
            ("samples", -0.2, dp.figures.BLUE, [of.samples for of in rows.values()]),
            ("held-out images", 0.2, FLOOR_COLOUR, [of.held_out for of in rows.values()]),
        )
        for label, shift, colour, spreads in bars:
            means = [spread.mean for spread in spreads]
            reach = [
                [spread.mean - min(spread.values) for spread in spreads],
                [max(spread.values) - spread.mean for spread in spreads],
            ]
            places = np.arange(len(rows)) + shift
            axes.barh(
                places, means, 0.36, xerr=reach, color=colour, ecolor=dp.figures.PALE, label=label
            )
            for place, spread in zip(places, spreads, strict=True):
                text = {"fontfamily": dp.figures.FONT, "fontsize": 8, "color": dp.figures.INK}
                axes.annotate(
                    f"{spread.mean:.3g}",
                    (max(spread.values), place),
                    (5, 0),
                    textcoords="offset points",
                    va="center",
                    **text,
                )
        axes.set_title(title, loc="left", fontsize=9, fontfamily=dp.figures.FONT)
        axes.set_yticks(range(len(rows)), list(rows), fontsize=8, fontfamily=dp.figures.FONT)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.set_xlim(left=0)
        axes.tick_params(axis="x", labelsize=8)
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
    key = {"family": dp.figures.FONT, "size": 8}
    handles = grid[0].get_legend_handles_labels()
    figure.legend(*handles, loc="upper right", ncols=2, frameon=False, prop=key)
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    return dp.figures.rendered(figure)


@click.command()
@click.option(
    "--images",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder, zip, tar, LMDB, .npz or .mat of images that the generator was not trained on.",
)
@click.option(
    "--n", default=2000, type=click.IntRange(4), help="At most so many of them; half at a time."
)
@click.option(
    "--features",
    type=click.Path(path_type=Path),
    help="Feature extractor, a file of torch.export.save, for a Fréchet distance.",
)
@pass_session
def evaluate(session: dp.Session, **options: Any) -> None:
    """Compare samples with held-out images, beside held-out images with each other.

    Sliced Wasserstein distance at every scale, MS-SSIM of pairs for diversity, and a Fréchet
    distance in the features of an extractor of yours.
    """
    session.save(run(session, **options))
