"""`kit.py inspect`: what input a recogniser was trained on."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfr_kit.cli._command import command
from mfr_kit.data.named_files import NamedFileOptions
from mfr_kit.limited_process import LimitOptions
from mfr_kit.models.input_format import DESCRIPTIONS
from mfr_kit.models.options import RecogniserOptions
from mfr_kit.options import like, option, options_class

if TYPE_CHECKING:
    from mfr_kit.input_trial import Trial, TrialFaces


@options_class
class InspectOptions:
    """Which recogniser, and on which faces."""

    model: str = option(
        help="Recogniser: an .onnx, weights, a run folder or an asset.", argument=True
    )
    faces: Path | None = option(
        None,
        help="Aligned faces of several people: a face set, .rec, folder of people ... Left out: "
        "the embedded ORL faces, which are grey and cannot show the order of channels.",
        affects="place",
        section="Faces",
    )
    allow_outside: bool = like(NamedFileOptions, "allow_outside", section="Faces")
    limit: int = option(
        240, help="Faces at most, up to four of a person.", within=">=20", section="Faces"
    )
    normalisation: list[str] | None = option(
        None,
        help=f"Try this too; may be given several times. {DESCRIPTIONS}",
        section="Networks",
    )
    output: str | None = like(RecogniserOptions, "output")
    limit_s: int = like(LimitOptions, "limit_s", section="Networks")
    limit_mib: int = like(LimitOptions, "limit_mib", section="Networks")
    threads: int = like(RecogniserOptions, "threads")


def inspect(options: InspectOptions) -> None:
    """Try the usual input formats on a recogniser, and name the one that separates people best.

    A file that says itself what it takes is tried all the same.
    """
    from mfr_kit.input_trial import read_faces, try_inputs, verdict
    from mfr_kit.models.embedders import load_embedder
    from mfr_kit.models.input_format import NORMALISATIONS, USUAL, InputUnknown, parse
    from mfr_kit.models.trial import try_models

    try_models([options.model], options.limit_s, options.limit_mib, output=options.output)
    added = [parse(text) for text in options.normalisation or []]
    how: dict[str, Any] = {"threads": options.threads, "output": options.output}
    try:
        embedder = load_embedder(options.model, **how)
        said = embedder.normalisation if hasattr(embedder, "normalisation") else None
    except InputUnknown:
        embedder, said = load_embedder(options.model, normalisation=USUAL, **how), None
    faces = read_faces(options.faces, options.limit, options.allow_outside)
    print(_model_line(embedder, said))
    trials = try_inputs(embedder, faces, [*NORMALISATIONS.values(), *added])
    print("\n".join([*_table(trials, faces), "", *verdict(trials, faces, options.model, said)]))


def _model_line(embedder: Any, said: str | None) -> str:
    signature = getattr(embedder, "signature", None)
    shape = "" if signature is None else f" {signature.layout} of {_kind(signature.kind)},"
    batch = getattr(embedder, "batch", None)
    fixed = f" batches of {batch}," if batch else ""
    says = f"says that it takes {said}" if said else "does not say what it takes"
    return f"{embedder.name}:{shape}{fixed} {embedder.embedding_size}-d embeddings; {says}"


def _kind(name: str) -> str:
    return name.removeprefix("tensor(").removesuffix(")")


def _table(trials: "list[Trial]", faces: "TrialFaces") -> list[str]:
    from mfr_kit.evaluation.report.cells import align
    from mfr_kit.input_trial import FAR

    people, count = int(faces.labels.max()) + 1, len(faces.labels)
    rows = [["input", "d'", "95 %", "AUC %", f"TAR % at FAR {FAR:g}", "best minus this, d'"]]
    for trial in trials:
        low, high = trial.interval
        lead = "" if trial is trials[0] else f"{trial.lead[0]:+.2f} to {trial.lead[1]:+.2f}"
        rows.append(
            [
                trial.form.text,
                f"{trial.d_prime:.2f}",
                f"{low:.2f} to {high:.2f}",
                f"{100 * trial.auc:.2f}",
                f"{100 * trial.tar:.1f}",
                lead,
            ]
        )
    return [
        f"{count} faces of {people} people from {faces.source}",
        *(line.rstrip() for line in align(rows)),
    ]


def add_to(app: Any) -> None:
    """Register the command."""
    app.command("inspect", rich_help_panel="Measure")(command(InspectOptions, inspect))
