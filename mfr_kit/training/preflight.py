"""What can be refused before a run takes its folder and the teacher embeds a single face."""

import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mfr_kit import registry
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.losses._batch import Batch, unit
from mfr_kit.models import weights
from mfr_kit.paths import check_output
from mfr_kit.training.options import METHODS, RunOptions

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


def check(options: RunOptions, faces: FaceSet, world: int) -> None:
    """Hold the options against the set and the machine.

    Args:
        options: of the run.
        faces: to train on.
        world: number of ranks.
    Raises:
        KitError: a batch larger than a pass, one too small for the method, a missing package, or a
            bank that cannot be made.
    """
    _check_packages(options)
    if options.bank is not None and not options.bank.is_dir():
        check_output(options.bank, "folder", "--bank")
    by_person = options.sampling == "identities"
    shown = len(set(faces.identities)) if by_person else len(faces)
    check_batch(options.batch_size, shown, "people" if by_person else "faces", world)
    if options.batch_size * world <= FEW:
        _try_method(options, options.batch_size * world)


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


def check_student(options: RunOptions, student: nn.Module) -> None:
    """Refuse a batch of one where batch norms are to learn from the batch.

    Raises:
        KitError: names what would do.
    """
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d)
    if options.batch_size > 1 or options.frozen_norms:
        return
    if any(isinstance(module, kinds) for module in student.modules()):
        raise KitError(
            f"--batch-size 1: the batch norms of {options.student} need two faces or more: "
            "give --batch-size 2 (with --accumulate for a larger step), or --freeze-bn with "
            "weights to start from (--init)"
        )


def _check_packages(options: RunOptions) -> None:
    wanted = {"tensorboard": "--tensorboard"} if options.tensorboard else {}
    if getattr(options.of_method(), "search", "") == "faiss":
        wanted["faiss"] = "--search faiss"
    for module, flag in wanted.items():
        if importlib.util.find_spec(module) is None:
            raise KitError(
                f"{flag} needs the package: pip install {_PACKAGES[module]}, or leave the flag out"
            )


def _try_method(options: RunOptions, count: int) -> None:
    """Compute the method's loss on made-up embeddings, as many as a step has."""
    method, own = registry.get(METHODS, options.method), options.of_method()
    draw = np.random.default_rng(0).normal

    def rows(*shape: int) -> torch.Tensor:
        return unit(torch.from_numpy(draw(size=(*shape, FEW)).astype(np.float32)))

    batch = Batch(rows(count), rows(count), torch.arange(count), rows(count + 1), rows(count, 1))
    with torch.random.fork_rng(devices=[]):
        head = method.head(own, count + 1, FEW) if hasattr(method, "head") else None
        try:
            loss = sum(method.terms(batch, own, head)[0].values())
        except KitError as error:
            raise KitError(
                f"--batch-size {options.batch_size} with --method {options.method}: {error}"
            ) from None
    if not torch.isfinite(torch.as_tensor(loss)):
        raise KitError(
            f"--batch-size {options.batch_size}: --method {options.method} gives no finite loss "
            "for so few faces; give more"
        )
