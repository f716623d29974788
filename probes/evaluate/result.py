"""The result of evaluate: distances, their floor, and a picture of both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dcgan_probe.figures.panels import Block, chart_width, draw, tile, zoom_for
from dcgan_probe.probes.evaluate.comparison import ScaleComparison, describe
from dcgan_probe.probes.evaluate.figures import chart_comparisons
from dcgan_probe.results.result import Result

SPLITS = 4
COLUMNS = 4
USUAL = 10_000  # images on each side of published FIDs, at the least; many are of 50,000


@dataclass(frozen=True, kw_only=True)
class FeatureDistance:
    """Distances in the features of an extractor, named after its file.

    inception: it is the network that FID and KID are defined by. distance: Fréchet; kernel: of
    polynomial kernels; images: on each side of a comparison.
    """

    extractor: str
    sha256: str
    inception: bool
    features: int
    distance: ScaleComparison
    kernel: ScaleComparison
    precision: ScaleComparison
    recall: ScaleComparison
    images: int
    warning: str

    def values(self) -> dict[str, Any]:
        return {
            "extractor": self.extractor,
            "sha256": self.sha256,
            "inception_of_fid": self.inception,
            "features": self.features,
            "warning": self.warning,
            **self.distance.values(),
            "kernel_distance": self.kernel.values(),
            "precision": self.precision.values(),
            "recall": self.recall.values(),
        }

    @property
    def names(self) -> tuple[str, str]:
        """What the Fréchet and the kernel distance are called."""
        return ("FID", "KID") if self.inception else ("Fréchet distance", "kernel distance")

    def doubts(self) -> list[str]:
        """Why not to believe or compare the numbers; empty if nothing is known."""
        lines = []
        if self.warning:
            lines.append(f"DO NOT BELIEVE THE {self.names[0].upper()}: {self.warning}")
        if self.inception and self.images < USUAL:
            lines.append(
                f"{self.images} IMAGES ON EACH SIDE: FID, precision and recall are published for "
                f"{USUAL:,} or 50,000, and are not to be compared with these"
            )
        return lines


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluation(Result):
    """What `run` returns. wasserstein: by scale, times 1000. similarity: mean MS-SSIM of pairs.

    count: images on each side of every comparison. samples, held_out: the first of either, at most
    16, N x H x W x 3 uint8.
    """

    images: str
    count: int
    wasserstein: dict[str, ScaleComparison]
    similarity: ScaleComparison
    frechet: FeatureDistance | None
    samples: np.ndarray
    held_out: np.ndarray
    caption: str

    def values(self) -> dict[str, Any]:
        scales = {scale: each.values() for scale, each in self.wasserstein.items()}
        return {
            "images": self.images,
            "images_on_each_side": self.count,
            "sliced_wasserstein_x1000": scales,
            "ms_ssim_of_pairs": self.similarity.values(),
            "frechet": None if self.frechet is None else self.frechet.values(),
            "doubts": self.doubts(),
        }

    def draw(self, folder: Path) -> None:
        zoom = zoom_for(self.samples.shape[1])
        sheets = [tile(images, COLUMNS, zoom) for images in (self.samples, self.held_out)]
        panels = self._panels()
        rows = sum(len(numbers) for _, numbers in panels)
        chart = chart_comparisons(
            panels, chart_width(2 * sheets[0].shape[1]), 64 * len(panels) + 46 * rows
        )
        headings = ("samples", "held-out images")
        draw(
            folder / "evaluate.png",
            "Samples beside images that were held out",
            [
                Block(heading, sheet[None, None])
                for heading, sheet in zip(headings, sheets, strict=True)
            ],
            [""],
            f"The first samples, the first held-out images, and distances between {self.count} of "
            f"either. Grey is the floor: {self.count} held-out images against as many others. "
            f"Bars are means of {SPLITS} splits of {self.images}, whiskers the least and the most. "
            f"{self.caption}.",
            zoom=1,
            below=chart,
            warnings=self.doubts(),
        )

    def doubts(self) -> list[str]:
        """Why not to believe the result; empty if nothing is known."""
        return [] if self.frechet is None else self.frechet.doubts()

    def _panels(self) -> list[tuple[str, dict[str, ScaleComparison]]]:
        scales = {f"{k} × {k}": each for k, each in self.wasserstein.items() if k != "mean"}
        panels = [
            ("sliced Wasserstein distance × 1000, by scale", scales),
            ("MS-SSIM of pairs: high is little diversity", {"": self.similarity}),
        ]
        if self.frechet is not None:
            frechet, kernel = self.frechet.names
            of = "Inception" if self.frechet.inception else f"{self.frechet.features} features"
            panels += [
                (f"{frechet} in {of}", {"": self.frechet.distance}),
                (f"{kernel} in {of}", {"": self.frechet.kernel}),
                (
                    f"Precision and recall in {of}: 1 is best",
                    {"precision": self.frechet.precision, "recall": self.frechet.recall},
                ),
            ]
        return panels

    def __str__(self) -> str:
        lines = [
            f"{self.count} samples against {self.count} held-out images; floor: these against "
            f"{self.count} others. Mean of {SPLITS} splits of {self.images} (least to most)",
            "sliced Wasserstein distance x 1000:",
        ]
        scales = describe(self.wasserstein.values())
        for scale, (samples, floor) in zip(self.wasserstein, scales, strict=True):
            name = scale if scale == "mean" else f"{scale}x{scale}"
            lines.append(f"  {name}: {samples}, floor {floor}")
        [(samples, held_out)] = describe([self.similarity])
        lines.append(
            f"MS-SSIM of pairs, high is little diversity: samples {samples}, held-out images "
            f"{held_out}"
        )
        if self.frechet is not None:
            seen, (frechet, kernel) = self.frechet, self.frechet.names
            lines.append(
                f"in {seen.features} features of {seen.extractor} ({seen.sha256[:8]}), "
                f"{seen.images} images on each side:"
            )
            distances = [*describe([seen.distance]), *describe([seen.kernel])]
            names = (frechet, kernel, "precision", "recall")
            words = [*distances, *describe([seen.precision, seen.recall])]
            for name, (samples, floor) in zip(names, words, strict=True):
                lines.append(f"  {name}: {samples}, floor {floor}")
        return "\n".join([*self.doubts(), *lines])
