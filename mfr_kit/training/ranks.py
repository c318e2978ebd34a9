"""One process or several (torchrun): who am I, and one batch out of everybody's, with gradients."""

import os
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """This process's place among `world`; everything is the identity for a world of one."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait for all ranks."""
        if self.world > 1:
            dist.barrier()

    def gather(self, embeddings: Tensor) -> Tensor:
        """Join (B, D) embeddings of all ranks into (world * B, D).

        Every rank then computes the loss of the whole batch. The backward pass adds up what all
        ranks want of a rank's rows, which is `world` times the gradient of that one loss;
        DistributedDataParallel divides by `world` again. So a method that compares samples, or
        divides by the number of active relations, gives what one rank with the joined batch gives.
        """
        if self.world == 1:
            return embeddings
        from torch.distributed.nn.functional import all_gather

        return torch.cat(all_gather(embeddings.contiguous()))

    def gather_numbers(self, numbers: np.ndarray) -> np.ndarray:
        """Join (B, n) int64 of all ranks into (world * B, n)."""
        if self.world == 1:
            return numbers
        parts = [torch.empty(numbers.shape, dtype=torch.int64) for _ in range(self.world)]
        dist.all_gather(parts, torch.from_numpy(numbers))
        return torch.cat(parts).numpy()


def join(device: str) -> Ranks:
    """Join the process group that torchrun announces in the environment, or stay alone."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Ranks()
    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
    return Ranks(dist.get_rank(), world)
