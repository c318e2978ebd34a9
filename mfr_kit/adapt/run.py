"""`kit.py adapt`: store what a frozen recogniser sees in bare and masked faces, train an adapter
on that, put it behind the recogniser.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mfr_kit import options as flags
from mfr_kit.adapt import adapter
from mfr_kit.adapt.append import append, graph_of
from mfr_kit.adapt.masked_views import MaskedViews
from mfr_kit.adapt.options import AdaptOptions
from mfr_kit.data.face_set.faceset import FaceSet
from mfr_kit.masks import library
from mfr_kit.models import preprocess, trained_people, weights
from mfr_kit.models.embedders import ADAPTED, Embedder
from mfr_kit.models.onnx_models import student_graph
from mfr_kit.models.onnx_models.onnx_embedder import OnnxEmbedder
from mfr_kit.paths import check_output
from mfr_kit.training import networks, people, preflight, prepare
from mfr_kit.training.teacher import bank
from mfr_kit.training.teacher.mining import cache_root
from mfr_kit.training.validation import Result, Validation
from mfr_kit.training.views import drift

WEIGHTS = "adapter.pt"


@dataclass(frozen=True)
class Adapted:
    """A finished run: `epoch` is that of the weights, 0 for the recogniser as it was; `parity`
    see `append.append`.
    """

    path: Path
    epoch: int
    parity: float


def adapt(options: AdaptOptions) -> Adapted:
    """Adapt a recogniser to masks without touching its weights; OUT/student.onnx is the whole.

    Raises:
        KitError: anything about data, options, recogniser or folder that the user can mend.
    """
    preflight.refuse_taken(options.out)
    if options.threads:
        torch.set_num_threads(options.threads)
    ancestors = {"teacher": options.teacher}
    faces, held, seen = people.split(options.data, options.lists, ancestors)
    if options.bank is not None and not options.bank.is_dir():
        check_output(options.bank, "folder", "--bank")
    drifts = drift.choose_table(seen, options.drift_table)
    chosen = prepare.MaskChoice(
        options.recipe.mask_ratio, options.masks, options.mask_folder, options.mask_mix
    )
    masks = library.load(chosen.names, chosen.folder, chosen.mix).preload()
    recogniser = networks.load_teacher(options.recogniser, options.device)
    # of an ONNX file that runs on a device, the file as the CPU runs it is what gets the adapter
    written = getattr(recogniser, "source", recogniser)
    graph_of(written)  # what cannot be written is refused before the hours of embedding
    if isinstance(written, OnnxEmbedder) and student_graph.may_learn(written):
        print(
            f"note: all of {written.name} can learn, not only layers behind it: where you have a "
            f"better teacher, kit.py distill --student {written.path}:{written.normalisation} "
            "--teacher THAT does more"
        )
    preflight.check_batch(options.batch_size, 2 * options.views * len(faces), "views")
    validation = Validation(held, lambda: masks) if held else None
    drift_line = drift.describe(drifts, options.drift_table)
    print(f"alignment drift: {drift_line}")
    with prepare.sole_run(options.out, first=True) as expect_held:
        views = (
            MaskedViews(faces, masks, chosen.folder, options.recipe, drifts, options.seed, number)
            for number in range(options.views)
        )
        root = cache_root(options.out, options.bank)
        stored = _store(root, faces, views, recogniser, options.bank_batch, options.bank_dtype)
        validate = _validator(validation, recogniser) if validation else None
        start = adapter.make(stored, options.hidden, options.seed)
        trained = adapter.train(start, stored, options.objective, options.schedule, validate, print)
        parent = networks.describe(recogniser)
        lineage = prepare.describe(faces, chosen, drift_line, parent, parent)
        expect_held()
        people.remember(options.out, faces, held, ancestors)
        config = flags.as_dict(options) | {"adapted_epoch": trained.epoch}
        parity = _write(options.out, config, written, trained, lineage)
    return Adapted(options.out / ADAPTED, trained.epoch, parity)


def _store(
    root: Path,
    faces: FaceSet,
    views: Iterable[MaskedViews],
    recogniser: Embedder,
    batch: int,
    dtype: str,
) -> adapter.Stored:
    """Open the banks of bare and masked faces, embedding what is missing."""
    clean = bank.fill(root, faces, recogniser, batch=batch, dtype=dtype)
    masked = [bank.store(root, view, recogniser, batch=batch, dtype=dtype) for view in views]
    return adapter.Stored(clean, masked, faces.labels)


def _validator(validation: Validation, recogniser: Embedder) -> Callable[[nn.Module], Result]:
    """Embed the validation faces once; returns what measures an adapter on them."""
    print(f"embedding {len(validation.faces)} validation faces")
    first, second = validation.embed(recogniser.embed)

    def validate(network: nn.Module) -> Result:
        with torch.inference_mode():
            return validation.compare(
                *(network(torch.from_numpy(rows)).numpy() for rows in (first, second))
            )

    return validate


def _write(
    out: Path,
    config: dict[str, Any],
    recogniser: Embedder,
    trained: adapter.Trained,
    lineage: dict[str, Any],
) -> float:
    """Fill the run folder; its config comes last and says that the run is whole."""
    weights.save_student(out / WEIGHTS, trained.adapter.state_dict())
    fingerprint = weights.sha256_of(out / WEIGHTS)
    groups = trained_people.digested(trained_people.groups_of_run(out), fingerprint)
    metadata = {
        preprocess.META_LINEAGE: json.dumps(lineage, sort_keys=True),
        preprocess.META_FINGERPRINT: fingerprint,
        **trained_people.to_metadata(groups),
    }
    parity = append(recogniser, trained.adapter, out / ADAPTED, metadata)
    weights.write_text(
        out / weights.METRICS, "".join(json.dumps(line) + "\n" for line in trained.lines)
    )
    weights.write_text(out / weights.LINEAGE, json.dumps(lineage, indent=2) + "\n")
    weights.write_text(out / weights.CONFIG, weights.to_toml(config))
    return parity
