"""What `evaluate.run` returns: distances beside their floor, and a picture of both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dcgan_probe.figures.panels import Block, draw, tile, zoom_for
from dcgan_probe.probes.evaluate.comparison import ScaleComparison
from dcgan_probe.probes.evaluate.figures import chart_comparisons
from dcgan_probe.results.result import Result

SPLITS = 4
COLUMNS = 4


@dataclass(frozen=True, kw_only=True)
class FeatureDistance:
    """Fréchet distances in the features of an extractor, named after its file; not the FID."""

    extractor: str
    sha256: str
    features: int
    distance: ScaleComparison
    warning: str

    def values(self) -> dict[str, Any]:
        return {
            "extractor": self.extractor,
            "sha256": self.sha256,
            "features": self.features,
            "warning": self.warning,
            **self.distance.values(),
        }


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
        }

    def draw(self, folder: Path) -> None:
        zoom = zoom_for(self.samples.shape[1])
        sheets = [tile(images, COLUMNS, zoom) for images in (self.samples, self.held_out)]
        chart = chart_comparisons(self._panels(), height=max(len(sheets[0]), 360))
        headings = ("samples", "held-out images", "")
        draw(
            folder / "evaluate.png",
            "Samples beside images that were held out",
            [
                Block(heading, _pad(sheet, len(chart))[None, None])
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

    def _panels(self) -> list[tuple[str, dict[str, ScaleComparison]]]:
        scales = {f"{k} × {k}": each for k, each in self.wasserstein.items() if k != "mean"}
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
        for scale, each in self.wasserstein.items():
            name = scale if scale == "mean" else f"{scale}x{scale}"
            lines.append(f"  {name}: {each.samples}, floor {each.held_out}")
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


def _pad(sheet: np.ndarray, height: int) -> np.ndarray:
    below = height - len(sheet)
    return np.pad(sheet, ((0, below), (0, 0), (0, 0)), constant_values=255)
