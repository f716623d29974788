"""The processes of one run: a single process, or those that torchrun started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dcgan_probe.errors import InputError
from dcgan_probe.session import choose_device


@dataclass(frozen=True)
class Ranks:
    """This process among those of the training: its rank, their number, its device.

    >>> Ranks().first
    True
    """

    rank: int = 0
    world: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """The part of a minibatch that is this process's: every world-th, from its rank on."""
        return slice(self.rank, batch, self.world)

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network to call where gradients of its weights must be averaged over processes.

        Batch norm uses the statistics of each process's own part of the minibatch: the paper's
        networks, on fewer images. Its running statistics are not broadcast from rank 0 at every
        forward, as DistributedDataParallel would do on its own: that writes into buffers which an
        earlier forward (of the real images) still needs for its backward. `average` makes them
        equal before they are saved.
        """
        if self.world == 1:
            return network
        own = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(
            network, device_ids=own, broadcast_buffers=False, gradient_as_bucket_view=True
        )

    def average(self, tensors: list[Tensor]) -> None:
        """Replace float tensors by their means over all processes."""
        if self.world > 1:
            for tensor in tensors:
                there = tensor.to(self.device)  # NCCL takes those of the GPU alone
                dist.all_reduce(there)
                tensor.copy_(there.div_(self.world))

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all processes, in each of them."""
        if self.world == 1:
            return tensor
        total = tensor.to(self.device, copy=True)
        dist.all_reduce(total)
        return total.to(tensor.device)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; every process must ask at the same step."""
        if self.world == 1:
            return flag
        any_set = torch.tensor(float(flag), device=self.device)
        dist.all_reduce(any_set, dist.ReduceOp.MAX)
        return bool(any_set.item())

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """The processes that torchrun started, or this one alone.

        >>> with joined("auto") as ranks:
        ...     ranks.world
        1

    device: as `choose_device` takes it; of several processes each takes the GPU of its local rank.
    Raises InputError for more local processes than GPUs, and for one GPU that several would share:
    "cuda:1" and "mps".
    """
    chosen = choose_device(device)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks(device=chosen)
        return
    if chosen.index is not None or chosen.type == "mps":
        raise InputError(
            f"device {device}: found one GPU for {world} processes of torchrun, expected cuda, of "
            "which each process takes the GPU of its local rank, or cpu"
        )
    if chosen.type == "cuda":
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise InputError(
                f"torchrun: found local rank {local} and {torch.cuda.device_count()} GPUs, "
                "expected a GPU for every process"
            )
        chosen = torch.device("cuda", local)
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), world, chosen)
    finally:
        dist.destroy_process_group()
