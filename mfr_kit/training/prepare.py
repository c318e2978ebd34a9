"""Everything a run stands on before its first step, beside its networks: the folder, the
teacher's bank, the partners.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mfr_kit import __version__, cluster, files
from mfr_kit import options as flags
from mfr_kit.claims import CLAIMS, sole
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.losses._shards import ClassShard
from mfr_kit.masks import library
from mfr_kit.models import weights
from mfr_kit.models.embedders import Embedder
from mfr_kit.models.embedding_pool import release
from mfr_kit.option_names import under_current_names
from mfr_kit.training import preflight
from mfr_kit.training.method import Method
from mfr_kit.training.options import RunOptions
from mfr_kit.training.ranks import Ranks
from mfr_kit.training.settings import BankSettings
from mfr_kit.training.teacher import bank, mining

MASKS_DIGEST = "sha256"  # in a lineage: of masks that are not the kit's own


@dataclass(frozen=True)
class Relations:
    """What the losses know of the training set; `labels` number the identities in alphabetical
    order.
    """

    bank: bank.Bank | None  # None where no loss looks at the teacher
    labels: np.ndarray  # (N,) whole numbers; int32, read-only, of a face set
    prototypes: Tensor  # (C, D) unit rows, on the device; (C, 0) without a bank
    partners: mining.Partners | None  # for methods that mine
    shard: ClassShard | None = None  # of which classes the prototypes are, where not of all


def open_folder(options: RunOptions, size: int, lineage: dict, graph: bytes | None = None) -> None:
    """Make the run folder, or check that a resumed run is the one that lies there.

    Args:
        options: of the run.
        size: the student's embedding size, written into the config in place of a default.
        lineage: written beside it.
        graph: of a student that is no backbone of the kit, without weights.
    Raises:
        KitError: a run lies there already, or one with other options or data.
    """
    config = {**flags.as_dict(options), "embedding_size": size}
    del config["resume"], config["dry_run"]
    path = options.out / weights.CONFIG
    preflight.refuse_taken(options.out, options.resume)
    if not preflight.holds_run(options.out):  # nothing, or what a refused or killed start left
        if options.resume:
            print(f"{options.out} holds no checkpoint: the run begins from its start")
        files.write_json(options.out / weights.LINEAGE, lineage)
        if graph is not None:
            files.write_bytes(options.out / weights.GRAPH, graph)
        files.write_text(path, weights.to_toml(config))
        return
    # options that came after the run was begun had their defaults
    since = {entry.name: entry.default for entry in fields(options)}
    began_with = weights.read_config(options.out)
    before = {**since, **under_current_names(type(options), began_with, str(path))}
    # Where things lie may change (lineage and lists beside it say whether they are the same), and
    # what the machine offers.
    fixed = flags.names_affecting(type(options), "result")
    if (options.out / weights.LAST).is_file():  # which says of how many faces its batches are
        fixed -= {"batch_size"}
    changed = [
        name for name, value in config.items() if name in fixed and before.get(name) != value
    ]
    if changed:
        differences = "; ".join(
            f"--{name.replace('_', '-')} was {before.get(name)}, is {config[name]}"
            for name in changed
        )
        raise KitError(
            f"--resume cannot continue {options.out} with other options: {differences}. "
            "Give the former ones, or begin anew in another --out"
        )
    began = weights.read_lineage(options.out)
    if _without_places(began, lineage) != _without_places(lineage, began):
        raise KitError(
            f"--resume cannot continue {options.out}: the face set, the teacher, the initial "
            "weights or the masks are not those it began with"
        )


def _without_places(lineage: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Leave out where the masks lay if both lineages say what they were, else what they were."""
    both = all(MASKS_DIGEST in entry.get("masks", {}) for entry in (lineage, other))
    left_out = ("folder", "mix") if both else (MASKS_DIGEST,)
    masks = lineage.get("masks", {})
    return {**lineage, "masks": {key: masks[key] for key in masks if key not in left_out}}


@contextlib.contextmanager
def sole_run(folder: Path, first: bool) -> Iterator[Callable[[], None]]:
    """Keep a second run away from a folder for as long as this one works in it, by whatever end.

    Args:
        folder: of the run; it is made.
        first: whether this is the rank that writes; the others hold nothing.
    Yields:
        what raises a KitError where another run has taken the folder over since.
    Raises:
        KitError: another process works in it.
    """
    if not first:
        yield lambda: None
        return
    busy = f"{folder}: another run is working there: wait for it, or choose another --out"
    overtaken = (
        f"{folder}: this process stood still for so long that another run has taken the folder "
        "over, and goes on there"
    )
    with sole(folder / CLAIMS, "run", f"trains {folder}", busy, overtaken) as expect_held:
        yield expect_held


@dataclass(frozen=True)
class MaskChoice:
    """Which masks a run draws and how often: `names` None for all, `folder` None for the kit's own,
    `mix` None for the folder's.
    """

    ratio: float
    names: list[str] | None
    folder: Path | None
    mix: Path | None


def describe(
    faces: FaceSet,
    masks: MaskChoice,
    drift: str,
    teacher: dict | None,
    parent: dict | None,
) -> dict[str, Any]:
    """Compose the run's lineage (models/lineage.py).

    Args:
        faces: trained on.
        masks: drawn on them.
        drift: where the masked faces' alignment drift comes from.
        teacher: lineage entry of what taught it, None if nothing did.
        parent: lineage entry of the initial weights, None for random ones.
    """
    own_masks = {}
    if masks.folder or masks.mix:
        own_masks[MASKS_DIGEST] = library.fingerprint(masks.folder, masks.mix)
    return {
        "training_sets": [
            {
                "name": faces.name,
                "fingerprint": faces.fingerprint,
                "faces": len(faces),
                "people": faces.identity_count,
            }
        ],
        "teacher": teacher,
        "initial_weights": parent,
        "masks": {
            "ratio": masks.ratio,
            "names": masks.names or "all",
            "folder": str(masks.folder or "the kit's own"),
            "mix": str(masks.mix or "the folder's"),
            "drift": drift,
            **own_masks,
        },
        "kit_version": __version__,
    }


def relate(
    method: Method,
    settings: BankSettings,
    faces: FaceSet,
    teacher: Embedder,
    device: torch.device,
    ranks: Ranks,
    *,
    seed: int,
    shard: ClassShard | None = None,
) -> Relations:
    """Fill the bank (all ranks do, together), average it into prototypes and, for a method that
    mines, find the partners.

    A student that learns from labels alone needs no bank and gets none.

    Args:
        method: what the student is trained by.
        settings: of the bank.
        faces: to train on.
        teacher: whose embeddings the bank holds.
        device: where prototypes lie.
        ranks: of which the first one shows how far the bank is.
        seed: of the draw of partners.
        shard: of the classes whose prototypes this rank holds; None for all.
    """
    labels = faces.codes
    if not method.uses_teacher:
        unused = torch.empty(faces.identity_count, 0, device=device)
        return Relations(None, labels, unused, None)

    with cluster.connected(settings.engine if ranks.first else "local", settings.address):
        stored = bank.fill(
            settings.root,
            faces,
            teacher,
            batch=settings.batch,
            dtype=settings.dtype,
            progress=ranks.first,
        ).placed(device, settings.lookup)
        release(teacher)
    prototypes, partners = mining.stored_prototypes(stored, labels), None
    if method.mines:
        prototypes, own = prototypes.to(device), method.own
        draw = mining.Draw(own.partners, own.mining, own.neighbours, seed, own.search)
        partners = mining.Partners(stored, labels, prototypes, draw, shard)
        prototypes = partners.prototypes
    elif shard is not None:
        prototypes = prototypes[shard.start : shard.stop].clone()
    return Relations(stored, labels, prototypes.to(device), partners, shard)
