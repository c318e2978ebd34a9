"""One process or several (torchrun): who am I, and what the ranks tell each other of a batch."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mfr_kit.losses._batch import Batch, alone
from mfr_kit.models import memory, placement


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
        """Wait for all ranks, on the CPU: no device spins while one of them works."""
        if self.world > 1:
            dist.all_reduce(torch.zeros(1))

    def share_of(self, count: int) -> list[int]:
        """Return this rank's part of 0 .. count-1, as long as every other rank's, so that `gather`
        gives them in order; where they do not divide, the last number fills up.
        """
        each = -(-count // self.world)
        return [min(self.rank * each + i, count - 1) for i in range(each)]

    def share_buffers(self, module: nn.Module, state: Mapping[str, Tensor]) -> None:
        """Give all ranks the first one's values of what is a module's buffer, in place: parameters
        move alike on all ranks, but each rank's batch norms have seen its own faces.
        """
        if self.world > 1:
            for name, _ in module.named_buffers():
                dist.broadcast(state[name], 0)

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean over the ranks of a floating tensor, without its gradient."""
        if self.world == 1:
            return value
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.world

    def mean_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Average the gradients of parameters that no DistributedDataParallel holds, in place."""
        if self.world == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        waiting = [dist.all_reduce(gradient, async_op=True) for gradient in gradients]
        for gradient, work in zip(gradients, waiting, strict=True):
            work.wait()
            gradient.div_(self.world)

    def join_batch(self, batch: Batch) -> Batch:
        """Join the batches of all ranks into one of world * B samples.

        Every rank then computes the loss of the whole batch, whose gradient goes to its own rows,
        `world` times: DistributedDataParallel divides the sum over the ranks by `world`. So a
        method that compares samples gives what one rank with the joined batch gives.
        """
        if self.world == 1:
            return batch
        own = batch.student.view_as(batch.student)
        own.register_hook(lambda gradient: gradient * self.world)
        parts = list(self.gather(own).split(len(own)))
        parts[self.rank] = own
        return replace(
            batch,
            student=torch.cat(parts),
            teacher=self.gather(batch.teacher),
            labels=self.gather(batch.labels),
            partners=None if batch.partners is None else self.gather(batch.partners),
            mean_over_ranks=alone,
        )

    def gather(self, rows: Tensor) -> Tensor:
        """Join (B, ...) rows of all ranks into (world * B, ...), without a gradient."""
        if self.world == 1:
            return rows
        rows = rows.detach().contiguous()
        parts = [torch.empty_like(rows) for _ in range(self.world)]
        dist.all_gather(parts, rows)
        return torch.cat(parts)


ALONE = Ranks()


def start(
    name: str, timeout_min: float, precision: str, threads: int = 0
) -> tuple[torch.device, Ranks]:
    """Take this process's device and CPU threads, say how exact its products are, keep freed memory
    for the next step, and join the other ranks.

    Args:
        name: `--device`.
        timeout_min: see `join`.
        precision: "tf32" lets CUDA round the inputs of float32 products.
        threads: of torch on the CPU, 0 for all.
    Raises:
        KitError: the device is not there.
    """
    if threads:
        torch.set_num_threads(threads)
    memory.keep_freed()
    device = placement.resolve(name)
    placement.set_tf32(precision == "tf32")
    return device, join(device, timeout_min)


def were_restarted() -> bool:
    """Whether torchrun has started the ranks again (`--max-restarts`), since one of them ended."""
    return _restarts() > 0


def _restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def join(device: torch.device, timeout_min: float = 30.0) -> Ranks:
    """Join the process group that torchrun announces in the environment, or stay alone.

    Args:
        device: of this rank, from `placement.resolve`; a CUDA device becomes the current one, and
            NCCL carries what lies on it. What lies on the CPU goes by gloo.
        timeout_min: minutes after which a collective that not all ranks have reached is an error.
    """
    if device.type == "cuda":
        torch.cuda.set_device(device)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Ranks()
    if not dist.is_initialized():
        on_cuda, timeout = device.type == "cuda", timedelta(minutes=timeout_min)
        store, rank, world = next(dist.rendezvous("env://", timeout=timeout))
        # torchrun keeps its store over restarts, and in it where ranks that are gone could be met
        store = dist.PrefixStore(f"attempt {_restarts()}", store)
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_cuda else "gloo",
            timeout=timeout,
            device_id=device if on_cuda else None,
            store=store,
            rank=rank,
            world_size=world,
        )
    return Ranks(dist.get_rank(), world)
