"""`kit.py audit`: what is wrong with a training set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfr_kit.options import command, option


@dataclass(frozen=True)
class AuditOptions:
    """What to look at, and how closely."""

    src: Path = option(
        help="Training set: folder of people, .rec, image list or face set.", argument=True
    )
    other: Path | None = option(
        None, help="A second set: whatever of SRC is also in it is reported.", argument=True
    )
    out: Path = option(
        Path("audit"),
        writes="folder",
        help="Folder for findings.csv and exclude.txt (for `augment --exclude`).",
    )
    model: str = option(
        "sface",
        help="Recogniser that compares aligned faces: an asset, an .onnx or a run folder; 'none' hashes only.",
    )
    normalisation: str | None = option(
        None, help="Input of an .onnx that does not say: minus1_to_1 or raw_0_255."
    )
    output: str | None = option(
        None, help="Output to keep of an .onnx that has several, by its name."
    )
    same_photo: float = option(0.95, help="Cosine from which two photos of a person are one.")
    same_person: float = option(0.65, help="Cosine from which two names are one person.")
    label_error: float = option(
        0.2, help="Mean cosine to a person's other photos below which a photo is suspect."
    )
    threads: int = option(0, help="CPU threads of the recogniser, 0 for all.")


def audit(options: AuditOptions) -> None:
    """Find duplicate photographs, people under two names or in both sets, likely label errors and people with one photograph."""
    from collections import Counter

    from mfr_kit.models.embedders import load_embedder
    from mfr_kit.pipelines import audit as run

    limits = run.Thresholds(options.same_photo, options.same_person, options.label_error)
    embedder = None
    if options.model != "none":
        embedder = load_embedder(
            options.model,
            normalisation=options.normalisation,
            threads=options.threads,
            output=options.output,
        )
    one = run.scan(run.open_set(options.src), embedder)
    findings = list(run.within(one, limits))
    scans = [(options.src, one)]
    if options.other:
        scans.append((options.other, run.scan(run.open_set(options.other), embedder)))
        findings += run.between(one, scans[1][1], limits)
    for path, scanned in scans:
        how = "by hash and by embedding" if scanned.embeddings is not None else "by hash only"
        hint = (
            " (not all photographs are aligned 112x112 faces: run `kit.py augment` first)"
            if embedder and scanned.embeddings is None
            else ""
        )
        print(
            f"{path}: {len(scanned.source)} photographs of {len(set(scanned.source.labels.tolist()))} people, compared {how}{hint}"
        )
        if scanned.unreadable:
            print(f"  {len(scanned.unreadable)} more are no images that can be read")
    excluded = run.save(findings, options.out)
    for kind, count in Counter(finding.kind for finding in findings).items():
        print(f"  {kind:28} {count}")
    print(
        f"{options.out / 'findings.csv'}: {len(findings)} findings; {options.out / 'exclude.txt'}: {excluded} photographs to leave out"
    )


def add_to(app: Any) -> None:
    """Register the command."""
    app.command("audit", rich_help_panel="Data")(command(AuditOptions, audit))
