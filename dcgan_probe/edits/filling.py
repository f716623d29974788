"""Replace feature maps at some locations: mix, recolour, clone or fill smoothly.

One equation has all three (Perez, Gangnet and Blake, 2003, "Poisson image editing", here on the
maps of a layer instead of an image):

    h' = argmin over h' of sum over x of t(x) |h'(x) - h(x)|^2 + lam sum |grad h' - grad d|^2

with trust t = exp(-logit), small where the object is. With d the maps of a donor it is *cloned*:
its texture, brought to the level of what is around. With d = 0 the fill is *smooth*. Without the
second term the donor is *mixed* in by p = sigmoid(logit). *Recoloured*, it is mixed in once its
colours are those of what is around: the equation is solved for the colours that a regression reads
off the maps, and maps are shifted by the difference. To clone brings each filter to the level that
it has around the place, those that draw the rim of the object, too, which then shows in the fill.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dcgan_probe.edits.colours import Colours
from dcgan_probe.errors import unknown

FILLS = ("mix", "recolour", "clone", "smooth")
# How stiff gradients are where trust is 1; trust goes from exp(-12) to exp(12).
STIFFNESS = 0.3
LIMIT = 12.0


def fill(
    maps: Tensor,
    logit: Tensor,
    donor: Tensor | None,
    how: str = "mix",
    nonnegative: bool = False,
    colours: Colours | None = None,
) -> Tensor:
    """Maps with something else where the logit is high.

        >>> fill(maps, logit, donor, "clone").shape == maps.shape
        True

    maps, donor: N x filters x h x w, of any float dtype; donor None only for "smooth". logit: N x
    h x w, of the object being there; where it is -inf the maps come back as they were, bit for bit.
    nonnegative: the layer's maps are never below 0, so what is cloned or recoloured is kept from
    going there. colours: of the layer, for "recolour".
    Differentiable. Returns the dtype of maps.
    Raises InputError for an unknown fill. Source: Perez et al. (2003), equation 3.
    """
    if how not in FILLS:
        raise unknown("fill", how, FILLS)
    if how == "mix":
        assert donor is not None
        return _mixed(maps, logit, donor)
    trust = torch.exp(-logit.clamp(-LIMIT, LIMIT))
    if how == "recolour":
        assert donor is not None and colours is not None
        apart = solve(colours.read(maps) - colours.read(donor), trust, STIFFNESS)
        donor = donor + colours.shift(apart).to(donor.dtype)
        return _mixed(maps, logit, donor.clamp_min(0) if nonnegative else donor)
    filled = solve(maps, trust, STIFFNESS, donor if how == "clone" else None)
    filled = filled.clamp_min(0) if nonnegative else filled
    return torch.where(torch.isneginf(logit)[:, None], maps, filled)


def _mixed(maps: Tensor, logit: Tensor, donor: Tensor) -> Tensor:
    p = torch.sigmoid(logit)[:, None]
    return torch.lerp(maps.to(p.dtype), donor.to(p.dtype), p).to(maps.dtype)


def solve(maps: Tensor, trust: Tensor, stiffness: float, like: Tensor | None = None) -> Tensor:
    """The minimiser of the equation above, exactly.

        >>> solve(maps, torch.ones(len(maps), 8, 8), stiffness=0.3).shape == maps.shape
        True

    maps, like: N x filters x h x w; `like` None is 0. trust: N x h x w, above 0. It is computed in
    float64 and returned in the dtype of maps; gradients flow to all.

    The unknowns of one row of the grid are a block, coupled to the next row by -stiffness times
    the identity, so h matrices of w x w are factored a sample, whatever the number of filters.
    """
    height, width = maps.shape[2:]
    base = maps.double() if like is None else maps.double() - like.double()
    t = trust.double()
    # In u = h' - like only the first term has a right-hand side: t (h - like).
    sides = (t[:, None] * base).permute(2, 0, 3, 1)  # h x N x w x filters
    line = _laplacian(width, t.device)
    one = torch.eye(width, dtype=t.dtype, device=t.device)
    inverses: list[Tensor] = []
    reduced: list[Tensor] = []
    for y in range(height):
        neighbours = (y > 0) + (y < height - 1)
        block = torch.diag_embed(t[:, y]) + stiffness * (line + neighbours * one)
        side = sides[y]
        if y:
            block = block - stiffness**2 * inverses[-1]
            side = side + stiffness * inverses[-1] @ reduced[-1]
        inverses.append(torch.cholesky_inverse(torch.linalg.cholesky(block)))
        reduced.append(side)
    rows = [inverses[-1] @ reduced[-1]]
    for y in range(height - 2, -1, -1):
        rows.append(inverses[y] @ (reduced[y] + stiffness * rows[-1]))
    u = torch.stack(rows[::-1]).permute(1, 3, 0, 2)
    return (u if like is None else u + like.double()).to(maps.dtype)


def _laplacian(width: int, device: torch.device) -> Tensor:
    """Of a path of locations: its quadratic form is the sum of squared differences."""
    line = torch.zeros(width, width, dtype=torch.float64, device=device)
    at = torch.arange(width - 1, device=device)
    line[at, at + 1] = line[at + 1, at] = -1.0
    return line - torch.diag(line.sum(1))
