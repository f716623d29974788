"""What each process of a training holds after some steps; started by torchrun in test_ranks.py."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import dcgan_probe as dp
from dcgan_probe.distributed import Ranks, joined
from dcgan_probe.training.recipe import Recipe
from dcgan_probe.training.trainer import Trainer

CONFIG = dp.Config(size=16, g_width=2, d_width=2, z_size=4)
STEPS = 4
R1 = 0.5  # of the shared recipe


def images() -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (40, 3, 16, 16), dtype=torch.uint8, generator=random)


def trainer(recipe: str, ranks: Ranks) -> Trainer:
    r1 = R1 if recipe == "shared" else 0.0
    return Trainer(CONFIG, Recipe(recipe, batch=8, ema=0.9, seed=3, r1=r1), images(), ranks)


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    with joined("cpu") as ranks:
        found = {}
        for recipe in ("paper", "shared"):
            own = trainer(recipe, ranks)
            seen = [own._real() for own.steps in range(STEPS)]
            own.steps = 0
            losses = [own.step() for _ in range(STEPS)]
            own.average_statistics()
            parts = {
                name: part.state_dict() for name, part in own._parts().items() if "adam" not in name
            }
            found[recipe] = {"seen": torch.stack(seen), "losses": torch.stack(losses), **parts}
        torch.save(found, folder / f"rank{ranks.rank}.pt")


if __name__ == "__main__":
    main()
