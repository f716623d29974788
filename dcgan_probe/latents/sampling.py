"""Latents: the z that a generator turns into images, each named by a seed and an index."""

from __future__ import annotations

import json
import math
import os

import numpy as np
import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

from dcgan_probe.errors import InputError
from dcgan_probe.networks.config import AnyConfig, Draw
from dcgan_probe.storage import files

BLOCK = 1024
MAX_SEED = 2**32 - 1  # numpy takes larger seeds for several numbers, and draws would repeat
FORMAT = "dcgan-probe/latents/1"


def sample(config: AnyConfig, n: int, seed: int, start: int = 0) -> Tensor:
    """Draw latents `start` to `start + n` of a seed.

        >>> from dcgan_probe.networks.config import PRESETS
        >>> sample(PRESETS["paper"], n=4, seed=3).shape
        torch.Size([4, 100])

    Returns n x z_size float32, uniform on [-1, 1], standard normal or as a function draws them,
    as the config says. Latent number i of a seed is the same whatever n and start are, so a sample
    is named by seed and index. Raises InputError if n or start is negative, and for a function that
    draws something else. Source: section 4.
    """
    if n < 0 or start < 0 or seed < 0:
        raise InputError(f"latents: found n={n}, start={start}, seed={seed}, expected none below 0")
    if seed > MAX_SEED:
        raise InputError(f"latents: found seed {seed}, expected at most {MAX_SEED}")
    parts = []
    # Blocks with their own generator make any latent reachable without drawing all before it.
    for block in range(start // BLOCK, -(-(start + n) // BLOCK)):
        rng = np.random.default_rng([seed, block])
        shape = (BLOCK, config.z_size)
        if callable(config.z_distribution):
            z = drawn(config.z_distribution, BLOCK, rng)
            if z.shape != shape:
                dimensions = " x ".join(map(str, z.shape))
                raise InputError(f"latents: found {dimensions}, expected {BLOCK} x {config.z_size}")
        elif config.z_distribution == "uniform":
            z = torch.from_numpy(rng.random(shape, dtype=np.float32) * 2 - 1)
        else:
            z = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
        first = block * BLOCK
        parts.append(z[max(start - first, 0) : start + n - first])
    return torch.cat(parts) if parts else torch.empty(0, config.z_size)


def drawn(draw: Draw, n: int, rng: np.random.Generator) -> Tensor:
    """n x z_size float32 of a function; InputError if it draws no finite matrix of n rows.

    >>> drawn(lambda n, rng: torch.from_numpy(rng.standard_exponential((n, 8))), 2, rng).shape
    torch.Size([2, 8])
    """
    z = torch.as_tensor(draw(n, rng)).detach().cpu().float()
    if z.dim() != 2 or len(z) != n or not z.shape[1] or not z.isfinite().all():
        dimensions = " x ".join(map(str, z.shape)) or "one number"
        raise InputError(
            f"latent: drew {dimensions} for n = {n}, expected n x z_size finite numbers"
        )
    return z


def between(a: Tensor, b: Tensor, at: Tensor, how: str = "linear") -> Tensor:
    """Interpolate between two latents, linearly or spherically (slerp).

        >>> between(torch.zeros(100), torch.ones(100), torch.linspace(0, 1, 5)).shape
        torch.Size([5, 100])

    a, b: z_size float32; at: m float32. "linear" is the straight line. "spherical" turns the
    direction at an even pace while the length changes evenly, and so stays as far from the origin
    as its ends; a and b that are parallel have a straight line, opposite ones no way.
    Raises InputError for opposite latents. Source: section 6.1; Shoemake (1985).
    """
    at = at.view(-1, 1)
    straight = torch.lerp(a, b, at)
    if how == "linear":
        return straight
    # In double precision: single loses the angle of nearly parallel latents, and between nearly
    # opposite ones its rounding is divided by a small sine.
    a, b, at = a.double(), b.double(), at.double()
    lengths = a.norm(), b.norm()
    if min(lengths) == 0:
        return straight
    u, v = a / lengths[0], b / lengths[1]
    angle = 2 * torch.atan2((u - v).norm(), (u + v).norm())
    if math.pi - angle < 1e-6:
        raise InputError("path: found opposite latents, expected ones with a way between them")
    if angle < 1e-6:
        return straight
    turned = (torch.sin((1 - at) * angle) * u + torch.sin(at * angle) * v) / torch.sin(angle)
    return (turned * torch.lerp(lengths[0], lengths[1], at)).float()


def check(z: Tensor | np.ndarray, config: AnyConfig, where: str) -> Tensor:
    """Latents, if a network of this config can take them, n x z_size and finite; or InputError."""
    z = torch.as_tensor(z)
    if z.ndim != 2 or z.shape[1] != config.z_size:
        dimensions = " x ".join(map(str, z.shape))
        raise InputError(f"{where}: found latents {dimensions}, expected n x {config.z_size}")
    if not z.isfinite().all():
        raise InputError(f"{where}: found NaN or infinite numbers, expected finite ones")
    return z.float()


def write(path: str | os.PathLike[str], z: Tensor, sha256: str) -> None:
    """Write latents of a checkpoint as safetensors, whole or not at all.

    >>> write("/tmp/z.safetensors", torch.zeros(1, 100), "ab" * 32)
    """
    about = json.dumps({"format": FORMAT, "checkpoint": sha256}, sort_keys=True)
    # One metadata key: safetensors does not keep the order of several.
    tensors = {"z": z.detach().cpu().float().contiguous()}
    files.write_bytes(path, save(tensors, {"dcgan_probe": about}))


def read(path: str | os.PathLike[str], config: AnyConfig, sha256: str) -> Tensor:
    """The latents of a file of `write`, n x z_size float32.

    Raises InputError for another file, for latents of another checkpoint, and for some that are
    not finite or of another size. Sums of latents may lie where no sample does.
    """
    try:
        with (
            files.open_regular(path, "latents"),
            files.utf8_name(path) as name,
            safetensors.safe_open(name, "pt") as file,
        ):
            about = json.loads((file.metadata() or {}).get("dcgan_probe", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except InputError:
        raise
    except (OSError, ValueError, RecursionError, safetensors.SafetensorError) as error:
        raise InputError(f"{path}: found no latents that can be read: {error}") from error
    file_format = about.get("format") if isinstance(about, dict) else None
    if file_format != FORMAT or set(tensors) != {"z"}:
        raise InputError(f"{path}: format: found {file_format!r}, expected {FORMAT!r}")
    if about.get("checkpoint") != sha256:
        raise InputError(
            f"{path}: found latents of checkpoint {str(about.get('checkpoint'))[:8]}, expected "
            f"those of {sha256[:8]}"
        )
    z = tensors["z"]
    if z.ndim != 2 or z.shape[1] != config.z_size or not z.isfinite().all():
        shape = " x ".join(map(str, z.shape))
        raise InputError(f"{path}: found {shape} numbers, expected finite n x {config.z_size}")
    return z.float()
