"""Average the students of several runs, and go only a part of the way from their initial
weights, in weight space.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import torch

from mfr_kit import files
from mfr_kit import options as flags
from mfr_kit.errors import KitError
from mfr_kit.models import trained_people, weights
from mfr_kit.models.lineage import trained_on
from mfr_kit.models.preprocess import input_of_network
from mfr_kit.models.run_files import ADVICE
from mfr_kit.option_names import under_current_names
from mfr_kit.records import check
from mfr_kit.training import networks, optimise
from mfr_kit.training.average_options import AverageOptions
from mfr_kit.training.options import distill_options

WANTED = {"init": str}  # beside what every run folder says


def average(options: AverageOptions) -> Path:
    """Write a run folder with the mean of the runs' students; returns its weights file.

    Source: Wortsman et al., *Model soups* (arXiv 2203.05482) and *Robust fine-tuning of zero-shot
        models* (arXiv 2109.01903) for `weight_share`.

    Raises:
        KitError: no runs, different architectures or initial weights, a projector, or OUT exists.
    """
    files.refuse_existing(options.out, "--out")
    runs = [weights.load_run(path) for path in options.runs]
    check_runs(runs)
    if any(run.projector is not None for run in runs) and not _graph_of(runs[0]):
        raise KitError(
            "runs that trained a projector have embedding spaces of their own and cannot be "
            "averaged"
        )
    is_untrained = runs[0].config["init"] == "random" and not _graph_of(runs[0])
    if is_untrained and (len(runs) > 1 or options.weight_share < 1):
        raise KitError(
            "runs that started from random weights cannot be averaged: nothing lies between two "
            "of them"
        )
    states = [run.model.state_dict() for run in runs]
    mean = {key: _mean([state[key] for state in states]) for key in states[0]}
    if options.weight_share < 1:
        mean = optimise.interpolate(_initial_state(runs[0]), mean, options.weight_share)
    with files.building(options.out) as folder:
        files.write_json(folder / weights.LINEAGE, _lineage(runs, options.weight_share))
        given, where = runs[0].config, f"{runs[0].path.parent / weights.CONFIG}"
        config = under_current_names(distill_options(), given, where)
        config["weight_share"] = options.weight_share
        files.write_text(folder / weights.CONFIG, weights.to_toml(config))
        graph = runs[0].path.parent / weights.GRAPH
        if graph.is_file():
            files.write_bytes(folder / weights.GRAPH, graph.read_bytes())
        trained_people.unite([run.path.parent for run in runs], folder)
        form = input_of_network(runs[0].model)
        weights.save_student(folder / weights.STUDENT, mean, form=form)
    return options.out / weights.STUDENT


def check_runs(runs: list[weights.Run]) -> None:
    """Refuse runs whose weights have nothing in common.

    Raises:
        KitError: different architectures or initial weights, or a run that does not say what it
            began with.
    """
    for run in runs:
        check(run.config, WANTED, f"{run.path.parent / weights.CONFIG}", ADVICE)
        check(run.lineage, {"training_sets": list}, f"{run.path.parent / weights.LINEAGE}", ADVICE)
    for name in ("student", "width", "embedding_size", "init"):
        found = {run.config[name] for run in runs}
        if len(found) != 1:
            raise KitError(
                f"runs can be averaged if they have one --{name.replace('_', '-')}, found "
                f"{', '.join(map(str, sorted(found)))}"
            )
    forms = {input_of_network(run.model).text for run in runs}
    if len(forms) != 1:
        raise KitError(
            f"runs can be averaged if their students take one input, found {', '.join(forms)}"
        )
    if len({_graph_of(run) for run in runs}) != 1:
        raise KitError("runs can be averaged if they have one --student: these graphs differ")


def _graph_of(run: weights.Run) -> bytes:
    """The graph of a student that is no backbone; empty for a backbone."""
    return getattr(run.model, "graph", b"")


def _mean(values: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(values).mean(dim=0) if values[0].is_floating_point() else values[0]


def _initial_state(run: weights.Run) -> dict[str, torch.Tensor]:
    """Build the student again as the run began with it."""
    known, path = distill_options(), run.path.parent / weights.CONFIG
    before = under_current_names(known, run.config, str(path))
    given = {name: before[name] for name in known.__dataclass_fields__ if name in before}
    options = flags.from_table(known, given, str(path))
    teacher = networks.load_teacher(replace(options.teacher_spec, precision="float32"))
    return networks.make_student(options.student_spec, teacher, options.teacher)[0].state_dict()


def _lineage(runs: list[weights.Run], weight_share: float) -> dict:
    """The first run's lineage with every run's training sets; teachers that differ become one
    entry that names them all.
    """
    lineages = [run.lineage for run in runs]
    sets = {
        json.dumps(entry, sort_keys=True): entry
        for lineage in lineages
        for entry in lineage["training_sets"]
    }
    merged = {**lineages[0], "training_sets": list(sets.values())}
    for part in ("teacher", "initial_weights"):
        found = {entry["sha256"]: entry for lineage in lineages if (entry := lineage.get(part))}
        if len(found) > 1:
            sources = list(
                dict.fromkeys(source for entry in found.values() for source in trained_on(entry))
            )
            joined = hashlib.sha256("".join(found).encode()).hexdigest()
            merged[part] = {
                "name": " and ".join(entry["name"] for entry in found.values()),
                "sha256": joined,
                "trained_on": sources,
            }
    return {
        **merged,
        "averaged": {
            "runs": [{"name": run.name, "sha256": run.fingerprint} for run in runs],
            "weight_share": weight_share,
        },
    }
