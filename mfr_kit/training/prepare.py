"""Everything a run stands on before its first step: the folder, the networks, the teacher's
bank, the partners.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mfr_kit import __version__, assets, files, registry
from mfr_kit import options as flags
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.errors import KitError
from mfr_kit.masks import library
from mfr_kit.models import weights, weights_fit
from mfr_kit.models.embedders import Embedder
from mfr_kit.models.lineage import UNKNOWN, ancestor
from mfr_kit.models.run_files import is_of_run
from mfr_kit.models.spec import ASSET_NORMALISATION, parse_spec
from mfr_kit.models.weights_file import read_states
from mfr_kit.option_names import under_current_names
from mfr_kit.seeding import rng_for
from mfr_kit.training import preflight
from mfr_kit.training.options import METHODS, RunOptions
from mfr_kit.training.ranks import Ranks
from mfr_kit.training.teacher import bank, mining

INIT_STREAM = 3
MASKS_DIGEST = "sha256"  # in a lineage: of masks that are not the kit's own
States = dict[str, dict[str, Tensor]]  # of a file, by entry


@dataclass(frozen=True)
class Relations:
    """What the losses know of the training set; `labels` number the identities in alphabetical
    order.
    """

    bank: bank.Bank | None  # None where no loss looks at the teacher
    labels: np.ndarray  # (N,) int64
    prototypes: Tensor  # (C, D) unit rows, on the device; (C, 0) without a bank
    partners: mining.Partners | None  # for methods that mine


def count_steps(options: RunOptions, faces: int, world: int) -> tuple[float, int]:
    """Return the steps of a pass over all faces (not a whole number with `accumulate`), and the
    steps of the run.
    """
    per_epoch = faces // (options.batch_size * world) / options.accumulate
    return per_epoch, options.steps or max(1, round(options.epochs * per_epoch))


def open_folder(options: RunOptions, size: int, lineage: dict) -> None:
    """Make the run folder, or check that a resumed run is the one that lies there.

    Args:
        options: of the run.
        size: the student's embedding size, written into the config in place of a default.
        lineage: written beside it.
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
        files.write_text(path, weights.to_toml(config))
        return
    # options that came after the run was begun had their defaults
    since = {entry.name: entry.default for entry in fields(options)}
    began_with = weights.read_config(options.out)
    before = {**since, **under_current_names(type(options), began_with, str(path))}
    # Where things lie may change (lineage and lists beside it say whether they are the same), and
    # what the machine offers.
    fixed = flags.names_affecting(type(options), "result")
    changed = [
        name for name, value in config.items() if name in fixed and before.get(name) != value
    ]
    if changed:
        told = "; ".join(
            f"--{name.replace('_', '-')} was {before.get(name)}, is {config[name]}"
            for name in changed
        )
        raise KitError(
            f"--resume cannot continue {options.out} with other options: {told}. Give the former "
            "ones, or begin anew in another --out"
        )
    began = weights.read_lineage(options.out)
    if _without_places(began, lineage) != _without_places(lineage, began):
        raise KitError(
            f"--resume cannot continue {options.out}: the face set, the teacher, the initial "
            "weights or the masks are not those it began with"
        )


def _without_places(lineage: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Leave out where the masks lay if both lineages say what they were, else what they were."""
    both = all(MASKS_DIGEST in one.get("masks", {}) for one in (lineage, other))
    left_out = ("folder", "mix") if both else (MASKS_DIGEST,)
    masks = lineage.get("masks", {})
    return {**lineage, "masks": {key: masks[key] for key in masks if key not in left_out}}


@contextlib.contextmanager
def sole_run(folder: Path, first: bool) -> Iterator[None]:
    """Keep a second run away from a folder for as long as this one works in it, by whatever end.

    Args:
        folder: of the run; it is made.
        first: whether this is the rank that writes; the others hold nothing.
    Raises:
        KitError: another process works in it.
    """
    try:
        import fcntl
    except ImportError:  # Windows keeps no advisory locks
        fcntl = None
    if not first or fcntl is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise KitError(
            f"{folder}: another run is working there: wait for it, or choose another --out"
        ) from None
    except OSError:  # a filesystem without locks
        pass
    try:
        yield
    finally:
        os.close(handle)


def make_student(options: RunOptions, teacher: Embedder) -> tuple[nn.Module, int, dict | None]:
    """Build the student with its initial weights.

    Returns:
        the network on the CPU, its embedding size, and the lineage entry of its initial weights
        (None for random ones).
    Raises:
        KitError: weights that do not exist or do not fit; never replaced by random ones.
    """
    size = options.embedding_size or teacher.embedding_size
    torch.manual_seed(int(rng_for(options.seed, INIT_STREAM).integers(1 << 62)))
    student = weights.build_backbone(options.student, size, options.width)
    if options.init == "random":
        return student, size, None
    states, parent = (
        _teachers_weights(options, teacher)
        if options.init == "teacher"
        else _weights_of(Path(_place(options.init, "--init")))
    )
    where, kind = f"--init {options.init}", type(student).__name__
    student.load_state_dict(weights_fit.match(states, student.state_dict(), where, kind))
    return student, size, parent


def _place(text: str, flag: str) -> str:
    spec = parse_spec(text)
    if spec is None:
        raise KitError(
            f"{flag}: an ensemble has no weights of its own; name one of its models with --init"
        )
    return spec.place


def _teachers_weights(options: RunOptions, teacher: Embedder) -> tuple[States, dict]:
    place = _place(options.teacher, "--init teacher")
    path = Path(place)
    if place not in ASSET_NORMALISATION and path.suffix.lower() != ".onnx":
        return _weights_of(path)
    module = registry.get(weights.BACKBONES, options.student)
    if not hasattr(module, "state_from_onnx"):
        raise KitError(
            f"--init teacher: a {options.student} cannot take the weights of the ONNX file "
            f"{options.teacher}; "
            "use --init random, or `kit.py adapt` to put an adapter behind it"
        )
    file = assets.path(place) if place in ASSET_NORMALISATION else path
    parent = ancestor(teacher.name, teacher.fingerprint, teacher.lineage)
    return {"": module.state_from_onnx(file)}, parent


def _weights_of(path: Path) -> tuple[States, dict]:
    if is_of_run(path):
        run = weights.load_run(path)
        return {"": run.model.state_dict()}, ancestor(run.name, run.fingerprint, run.lineage)
    if not path.exists():
        guess = registry.near_path(path, ["random", "teacher"])
        raise KitError(f"--init {path}: no such weights file or run folder{guess}")
    return read_states(path), {
        "name": path.name,
        "sha256": weights.sha256_of(path),
        "trained_on": [UNKNOWN],
    }


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
    people = len(set(faces.identities))
    own_masks = {}
    if masks.folder or masks.mix:
        own_masks[MASKS_DIGEST] = library.fingerprint(masks.folder, masks.mix)
    return {
        "training_sets": [
            {
                "name": faces.name,
                "fingerprint": faces.fingerprint,
                "faces": len(faces),
                "people": people,
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


def uses_teacher(options: RunOptions) -> bool:
    """Whether the teacher leaves a trace in the student: not where a method that goes by labels
    stands by itself (--fcd-weight 0).
    """
    return (
        not getattr(registry.get(METHODS, options.method), "BY_LABELS", False)
        or options.of_method().fcd_weight != 0
    )


def relations(
    options: RunOptions, faces: FaceSet, teacher: Embedder, device: torch.device, ranks: Ranks
) -> Relations:
    """Fill the bank (the first rank does), average it into prototypes and, for a method that mines,
    find the partners.

    A student that learns from labels alone needs no bank and gets none.
    """
    root = mining.cache_root(options.out, options.bank)
    names, labels = np.unique(faces.identities.astype(str), return_inverse=True)
    labels = labels.astype(np.int64)
    if not uses_teacher(options):
        return Relations(None, labels, torch.empty(len(names), 0, device=device), None)

    def build() -> Relations:
        stored = bank.fill(
            root,
            faces,
            teacher,
            batch=options.bank_batch,
            dtype=options.bank_dtype,
            progress=ranks.first,
        ).placed(device, options.bank_on)
        prototypes = mining.prototypes(stored, labels).to(device)
        if not getattr(registry.get(METHODS, options.method), "MINES", False):
            return Relations(stored, labels, prototypes, None)
        own = options.of_method()
        draw = mining.Draw(own.partners, own.mining, own.neighbours, options.seed, own.search)
        return Relations(
            stored, labels, prototypes, mining.Partners(stored, labels, prototypes, draw)
        )

    if ranks.first:
        made = build()
        ranks.wait()
        return made
    ranks.wait()
    return build()
