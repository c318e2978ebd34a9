"""Where a bank's rows are looked up while training: on the device, in memory, or from the file."""

import numpy as np
import torch
from torch import Tensor

from mfr_kit.errors import KitError

SHARE = 0.5  # of a device's free memory that a bank may take; the student needs the rest
CHUNK_ROWS = 1 << 16  # sent at a time
PLACES = ("auto", "device", "host", "disk")


def place(embeddings: np.ndarray, device: torch.device, where: str) -> Tensor | None:
    """Copy a bank to where it is looked up.

    Args:
        embeddings: (N, 2, D) as they lie on disk.
        device: that trains.
        where: "device", "host" (this process's memory), "disk" (a memory map, shared by all ranks)
            or "auto": on a CUDA device if it takes no more than `SHARE` of the free memory, else
            "disk".
    Returns:
        (2 N, D) in the type on disk, unmirrored and mirrored in turn; None for "disk".
    Raises:
        KitError: "device" where it does not fit.
    """
    if where == "auto":
        where = "device" if device.type == "cuda" and _fits(embeddings, device, SHARE) else "disk"
    if where == "disk":
        return None
    if where == "device" and device.type == "cuda" and not _fits(embeddings, device, 1.0):
        raise KitError(
            f"--bank-on device: the bank takes {embeddings.nbytes / 2**30:.1f} GiB, more than is "
            "free on the device; give --bank-on disk, or --bank-dtype float16"
        )
    rows = embeddings.reshape(-1, embeddings.shape[2])
    there = torch.empty(
        rows.shape,
        dtype=getattr(torch, embeddings.dtype.name),
        device=device if where == "device" else "cpu",
    )
    for start in range(0, len(rows), CHUNK_ROWS):
        chunk = np.array(rows[start : start + CHUNK_ROWS])
        there[start : start + len(chunk)].copy_(torch.from_numpy(chunk))
    return there


def _fits(embeddings: np.ndarray, device: torch.device, share: float) -> bool:
    free, _ = torch.cuda.mem_get_info(device)
    return embeddings.nbytes <= share * free
