"""Principal directions of a generator's layer, and what a step along them does to images.

As GANSpace (Härkönen et al. 2020, section 2.2): the principal components of what a layer puts out
over many latents, and for each the latent direction that a linear regression from the components'
coordinates to z finds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import dcgan_probe as dp
from dcgan_probe.plugins.contract import pass_session

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

STEPS = 7  # images in a row of the picture
MAX_NUMBERS = 1 << 27  # of the activations and of their Gram matrix: 512 MiB and 1 GiB


@dataclass(frozen=True, eq=False)
class Directions(dp.Result):
    """What `run` returns, k directions in the order of the variance that they explain.

    z: k x z_size float32, the change of z that one standard deviation of a component takes.
    explained: k shares of the layer's variance. r2: share of z's variance that all k tell of it.
    pixels: k x STEPS x H x W x 3 uint8, a sample moved from -reach to reach standard deviations.
    """

    layer: str
    z: Tensor
    explained: list[float]
    r2: float
    reach: float
    pixels: np.ndarray
    caption: str

    def values(self) -> dict[str, Any]:
        return {"explained": self.explained, "r2": self.r2, "lengths": self.z.norm(dim=1).tolist()}

    def draw(self, folder: Path) -> None:
        import numpy as np

        np.save(folder / "directions.npy", self.z.numpy())
        rows = [f"{i + 1}: {share:.1%}" for i, share in enumerate(self.explained)]
        title = f"Principal directions of layer {self.layer}"
        caption = (
            f"Sample 0 moved along each direction, from -{self.reach:g} to {self.reach:g} standard "
            "deviations of its component; beside each its share of the layer's variance. "
            f"{self.caption}."
        )
        dp.figures.draw(
            folder / "directions.png", title, [dp.figures.Block("", self.pixels)], rows, caption
        )

    def __str__(self) -> str:
        shares = ", ".join(f"{share:.1%}" for share in self.explained)
        return (
            f"layer {self.layer}: {len(self.z)} directions explain {shares} of its variance\n"
            f"a linear regression on them explains {self.r2:.1%} of z's variance"
        )


def run(
    session: dp.Session, layer: str = "4x4", n: int = 1000, components: int = 6, reach: float = 2.0
) -> Directions:
    """Find the principal directions of a layer over n latents.

        >>> run(dp.Session.open("rooms"), layer="8x8", n=200).z.shape
        torch.Size([6, 100])

    reach: how far the picture goes, in standard deviations. Raises InputError for a layer that is
    not there, and for fewer latents than components + 2 or more than there is memory for.
    """
    import torch

    if not 1 <= components <= n - 2:
        raise dp.InputError(
            f"directions: found {n} latents for {components} components, expected at least "
            f"{components + 2}"
        )
    one = dp.hooks.activations(session.generator, layer, session.latents(1).to(session.device))
    most = min(MAX_NUMBERS // one.numel(), int(MAX_NUMBERS**0.5))
    if n > most:
        raise dp.InputError(f"layer {layer!r}: found n = {n}, expected at most {most}")
    z = session.latents(n)
    with torch.no_grad():
        maps = [
            dp.hooks.activations(session.generator, layer, batch.to(session.device)).flatten(1)
            for batch in session.progress(torch.split(z, 64), "activations")
        ]
    y = torch.cat(maps).cpu()
    y -= y.mean(0)
    # n is smaller than the layer: its n x n Gram matrix has the same spectrum as the covariance.
    spectrum, vectors = torch.linalg.eigh((y @ y.T).double())
    kept = vectors.flip(1)[:, :components] * (n - 1) ** 0.5  # coordinates of deviation 1
    towards = kept.T @ (z - z.mean(0)).double() / (n - 1)  # least squares: kept is orthogonal
    towards *= towards.gather(1, towards.abs().argmax(1, keepdim=True)).sign()  # else arbitrary
    total = (z - z.mean(0)).double().square().sum()
    steps = torch.linspace(-reach, reach, STEPS)
    moved = z[:1] + steps[None, :, None] * towards.float()[:, None]
    images = dp.figures.pixels(session.generate(moved.flatten(0, 1)))
    return Directions(
        session.made_with(layer=layer, n=n, components=components, reach=reach),
        layer,
        towards.float(),
        (spectrum.flip(0)[:components] / spectrum.sum()).tolist(),
        float((n - 1) * towards.square().sum() / total),
        reach,
        images.reshape(components, STEPS, *images.shape[1:]),
        session.caption(),
    )


@click.command()
@click.option("--layer", default="4x4", help="Layer of the generator.")
@click.option("--n", default=1000, type=click.IntRange(3), help="How many latents.")
@click.option("--components", default=6, type=click.IntRange(1), help="How many directions.")
@click.option("--reach", default=2.0, type=click.FloatRange(0), help="Standard deviations.")
@pass_session
def directions(session: dp.Session, layer: str, n: int, components: int, reach: float) -> None:
    """Find the principal directions of a layer, and move a sample along them."""
    session.save(run(session, layer, n, components, reach))
