"""Ranks without torchrun, as srun starts them."""

import os
import subprocess
import sys
from pathlib import Path

import torch.distributed as dist

ROOT = Path(__file__).parents[2]


def start_ranks(script: str, world: int) -> list[tuple[int, str]]:
    """Start ranks that meet at rank 0; what each returned and wrote on stderr."""
    port = dist.TCPStore("127.0.0.1", 0, None, True).port  # a free one
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    environment |= {"WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    try:
        # a collective that is never reached would hold them for half an hour
        return [
            (rank.returncode, error)
            for rank in ranks
            for _, error in [rank.communicate(timeout=120)]
        ]
    finally:
        for rank in ranks:
            rank.kill()
