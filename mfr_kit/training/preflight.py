"""What can be refused before a run takes its folder and the teacher embeds a single face."""

import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.losses._batch import Batch, unit
from mfr_kit.models import weights
from mfr_kit.paths import check_output
from mfr_kit.training.method import Method

FEW = 8  # faces a step up to which the method is tried on made-up embeddings
_RESULTS = (weights.LAST, weights.BEST, weights.STUDENT, weights.ADAPTED)
_PACKAGES = {"faiss": "faiss-cpu", "tensorboard": "tensorboard"}


def holds_run(folder: Path) -> bool:
    """Whether weights lie in a folder: one that a refused or killed start left has none, and is
    no run.
    """
    return any((folder / name).is_file() for name in _RESULTS)


def refuse_taken(folder: Path, resume: bool | None = None) -> None:
    """Refuse an --out where a run lies that is not to be continued, before anything is opened.

    Args:
        folder: of the run.
        resume: --resume, None for a command without it.
    Raises:
        KitError: a run, or a config.toml that no run has left.
    """
    if not holds_run(folder):
        strange = (folder / weights.CONFIG).exists() and not (folder / weights.LINEAGE).exists()
        if strange:
            raise KitError(
                f"{folder / weights.CONFIG} is there already and was left by no run: choose "
                "another --out, or move it"
            )
        return
    if resume:
        return
    finished = (folder / weights.STUDENT).is_file() or (folder / weights.ADAPTED).is_file()
    state = "finished" if finished else "stopped before its end"
    other = (
        "choose another --out"
        if resume is None
        else "continue it with --resume, or choose another --out"
    )
    raise KitError(f"{folder} holds a run already ({state}): {other}")


def check_run(bank: Path | None, method: Method, *, tensorboard: bool = False) -> None:
    """Refuse a run for which something is missing on this machine.

    Args:
        bank: folder of the teacher's embeddings; None for the run's own.
        method: what the student is trained by.
        tensorboard: whether event files are asked for.
    Raises:
        KitError: a package that is not installed, or a bank that cannot be made.
    """
    wanted = {"tensorboard": "--tensorboard"} if tensorboard else {}
    if getattr(method.own, "search", "") == "faiss":
        wanted["faiss"] = "--search faiss"
    for module, flag in wanted.items():
        if importlib.util.find_spec(module) is None:
            raise KitError(
                f"{flag} needs the package: pip install {_PACKAGES[module]}, or leave the flag out"
            )
    if bank is not None and not bank.is_dir():
        check_output(bank, "folder", "--bank")


def check_pass(batch: int, faces: FaceSet, sampling: str, world: int, method: Method) -> None:
    """Refuse a batch that no pass over the set fills, or that is too small for the method.

    Args:
        batch: faces a batch and rank.
        faces: to train on.
        sampling: "faces" or "identities", of which a pass shows one face each.
        world: number of ranks.
        method: what the student is trained by.
    Raises:
        KitError: names what would do.
    """
    by_person = sampling == "identities"
    shown = faces.identity_count if by_person else len(faces)
    check_batch(batch, shown, "people" if by_person else "faces", world)
    compared = batch * world if method.gathers else batch
    if compared <= FEW:
        _try_method(method, batch, compared)


def check_batch(batch: int, shown: int, what: str, world: int = 1) -> None:
    """Refuse a batch that no pass fills.

    Raises:
        KitError: names both numbers.
    """
    if batch * world <= shown:
        return
    ranks = f" x {world} ranks" if world > 1 else ""
    most = shown // world
    remedy = (
        f"give --batch-size {most} or less" if most else f"start {shown} ranks or fewer (torchrun)"
    )
    raise KitError(
        f"--batch-size {batch}{ranks} is more than the {shown} training {what} of a pass: {remedy}"
    )


def check_student(name: str, student: nn.Module, batch: int, frozen_norms: bool) -> None:
    """Refuse a batch of one where batch norms are to learn from the batch.

    Args:
        name: of the backbone.
        student: the network.
        batch: faces a batch and rank.
        frozen_norms: whether batch-norm statistics stay as they are.
    Raises:
        KitError: names what would do.
    """
    if batch > 1 or frozen_norms:
        return
    if any(isinstance(module, _BatchNorm) for module in student.modules()):
        raise KitError(
            f"--batch-size 1: the batch norms of {name} need two faces or more: "
            "give --batch-size 2 (with --accumulate for a larger step), or --freeze-bn with "
            "weights to start from (--init)"
        )


def _try_method(method: Method, batch_size: int, count: int) -> None:
    """Compute the method's loss on made-up embeddings, as many as it sees of a batch."""
    draw = np.random.default_rng(0).normal

    def rows(*shape: int) -> torch.Tensor:
        return unit(torch.from_numpy(draw(size=(*shape, FEW)).astype(np.float32)))

    batch = Batch(rows(count), rows(count), torch.arange(count), rows(count + 1), rows(count, 1))
    with torch.random.fork_rng(devices=[]):
        head = method.make_head(count + 1, FEW)
        try:
            loss = sum(method.terms(batch, head)[0].values())
        except KitError as error:
            raise KitError(
                f"--batch-size {batch_size} with --method {method.name}: {error}"
            ) from None
    if not torch.isfinite(torch.as_tensor(loss)):
        raise KitError(
            f"--batch-size {batch_size}: --method {method.name} gives no finite loss "
            "for so few faces; give more"
        )
