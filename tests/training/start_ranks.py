"""Ranks without torchrun, as srun starts them; forked from a server that has imported torch and
the kit, which each would else do for itself.
"""

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing import start_processes

from tests.torture.launch import USED

LIMIT_S = 120  # a collective that is never reached would hold ranks for half an hour


def start_ranks(script: str, world: int) -> list[tuple[int | None, str]]:
    """Start ranks that meet at rank 0; what each returned and wrote on stderr."""
    port = dist.TCPStore("127.0.0.1", 0, None, True).port  # a free one
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    environment |= {"WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1"}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(USED.split())
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder) / str(rank) for rank in range(world)]
        own = [{**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world)]
        ranks = [
            context.Process(target=serve, args=(script, *given))
            for given in zip(own, said, strict=True)
        ]
        try:
            for rank in ranks:
                rank.start()
            for rank in ranks:
                rank.join(LIMIT_S)
            codes = [rank.exitcode for rank in ranks]  # None of one that still waits
        finally:
            for rank in ranks:
                if rank.pid:
                    rank.kill()
                    rank.join()
        return list(zip(codes, [path.read_text() for path in said], strict=True))


def serve(script: str, environment: dict[str, str], said: Path) -> None:
    """Be `python -c SCRIPT` in an environment."""
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)  # OMP_NUM_THREADS comes too late
    for number, path in ((1, os.devnull), (2, str(said))):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644), number)
    exec(compile(script, "<string>", "exec"), {"__name__": "__main__"})


def spawn_ranks(function: Callable[..., None], arguments: tuple[Any, ...], world: int) -> None:
    """Call a function as each rank, with its number before the arguments.

    Raises:
        torch.multiprocessing.ProcessRaisedException: it raises.
    """
    multiprocessing.set_forkserver_preload(USED.split())
    start_processes(function, arguments, world, start_method="forkserver")
