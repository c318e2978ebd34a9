"""`kit.py audit`: what is wrong with a training set."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfr_kit.cli import _next
from mfr_kit.cli._command import command
from mfr_kit.data.named_files import NamedFileOptions
from mfr_kit.models.options import RecogniserOptions, check_engine
from mfr_kit.options import like, option, options_class
from mfr_kit.outputs import force_option

if TYPE_CHECKING:
    from mfr_kit.audit.findings import Search


@options_class
class AuditOptions:
    """What to look at, and how closely."""

    src: Path = option(
        help="Training set: folder of people, .rec, image list or face set.",
        affects="place",
        argument=True,
        section="Sets",
    )
    other: Path | None = option(
        None,
        help="A second set: whatever of SRC is also in it is reported.",
        affects="place",
        argument=True,
        section="Sets",
    )
    out: Path = option(
        Path("audit"),
        help="Folder for findings.csv and exclude.txt (for `augment --exclude`).",
        affects="place",
        writes="folder",
        section="Sets",
    )
    force: bool = force_option("Sets")
    model: str = option(
        "sface",
        help="Recogniser that compares aligned faces: an asset, an .onnx or a run folder; "
        "'none' hashes only.",
        section="Networks",
    )
    normalisation: str | None = like(RecogniserOptions, "normalisation")
    output: str | None = like(RecogniserOptions, "output")
    same_photo: float = option(
        0.95,
        help="Cosine from which two photos of a person are one.",
        within="-1..1",
        section="Findings",
    )
    same_person: float = option(
        0.65,
        help="Cosine from which two names are one person.",
        within="-1..1",
        section="Findings",
    )
    label_error: float = option(
        0.2,
        help="Mean cosine to a person's other photos below which a photo is suspect.",
        within="-1..1",
        section="Findings",
    )
    turned: bool = option(
        True,
        help="Look with the detector for photographs that lie on their side or upside down; "
        "not with --model none.",
        section="Findings",
    )
    search: str = option(
        "exact",
        help="How neighbours are found; faiss is approximate, for millions of faces, its lists on "
        "the disk of --out.",
        choices=lambda: ["exact", "faiss"],
        section="Findings",
    )
    bank: Path | None = option(
        None,
        help="Folder of banks, as distill's: embeddings of a face set are read from there, and "
        "kept there.",
        affects="place",
        writes="folder",
        grows=True,
        section="Sets",
    )
    level: int | None = option(
        None,
        help="Folder levels above a person's folder in SRC: 1 for SRC/*/PERSON.",
        within="0..5",
        section="Sets",
    )
    other_level: int | None = option(
        None, help="The same in the second set.", within="0..5", section="Sets"
    )
    allow_outside: bool = like(NamedFileOptions, "allow_outside", section="Sets")
    device: str = like(RecogniserOptions, "device")
    precision: str = like(RecogniserOptions, "precision")
    engine: str = like(RecogniserOptions, "engine")
    address: str | None = like(RecogniserOptions, "address")
    threads: int = like(RecogniserOptions, "threads")

    def __post_init__(self) -> None:
        check_engine(self.engine, self.address, self.device)


def audit(options: AuditOptions) -> None:
    """Find duplicate photographs, people under two names or in both sets, likely label errors
    and people with one photograph.
    """
    from collections import Counter

    import numpy as np

    from mfr_kit import cluster
    from mfr_kit.audit import findings as room
    from mfr_kit.audit.scan import open_set, scan, scan_with_bank
    from mfr_kit.audit.unit_rows import nearest_folder
    from mfr_kit.data.alignment.detect import choose_provider, load_detector
    from mfr_kit.data.face_set.faceset_files import ROWS
    from mfr_kit.data.photographs.folder_checks import refuse_overlap
    from mfr_kit.models.embedding_pool import load_on

    sets = [path for path in (options.src, options.other) if path is not None]
    for path in sets:
        if not (path / ROWS).is_file():
            refuse_overlap(path, options.out, "--out", replaces=False)
    disk = nearest_folder(options.out)
    search = _choose_search(options.search, disk)
    limits = room.Thresholds(options.same_photo, options.same_person, options.label_error)
    embedder = None
    if options.model != "none":
        embedder = load_on(
            options.engine,
            options.model,
            normalisation=options.normalisation,
            threads=options.threads,
            output=options.output,
            device=options.device,
            precision=options.precision,
        )
    detector = load_detector() if embedder and options.turned else None
    if detector is not None and (line := choose_provider("yunet", options.device)[1]):
        print(line)
    levels = (options.level, options.other_level)
    sources = [
        open_set(path, level, print, options.allow_outside)
        for path, level in zip(sets, levels, strict=False)
    ]
    with cluster.connected(options.engine if embedder else "local", options.address):
        first, *others = (
            scan_with_bank(source, embedder, options.bank, detector, disk)
            if embedder and options.bank
            else scan(source, embedder, detector, disk)
            for source in sources
        )
    findings = list(room.inspect_set(first, limits, search))
    scans = [(options.src, first)]
    if options.other:
        scans.append((options.other, others[0]))
        findings += room.compare_sets(first, scans[1][1], limits, search)
    for path, scanned in scans:
        how = "by hash and by embedding" if scanned.embeddings is not None else "by hash only"
        hint = (
            " (not all photographs are aligned 112x112 faces: run `kit.py augment` first)"
            if embedder and scanned.embeddings is None
            else ""
        )
        print(
            f"{path}: {len(scanned.source)} photographs of "
            f"{len(np.unique(scanned.source.labels))} people, compared {how}{hint}"
        )
        if scanned.unreadable:
            print(f"  {len(scanned.unreadable)} more are no images that can be read")
    excluded = room.save(findings, options.out)
    if any(scanned.turned for _, scanned in scans):
        print("  turned photographs: `kit.py augment --upright` turns them back")
    for kind, count in Counter(finding.kind for finding in findings).items():
        print(f"  {kind:28} {count}")
    print(
        f"{options.out / 'findings.csv'}: {len(findings)} findings; "
        f"{options.out / 'exclude.txt'}: {excluded} photographs to leave out"
    )


def _choose_search(kind: str, disk: Path) -> "Search":
    from mfr_kit.audit.findings import EXACT, Search
    from mfr_kit.audit.inverted_file import load_faiss

    if kind == "exact":
        return EXACT
    load_faiss()
    return Search(disk)


def _then(options: AuditOptions) -> _next.Words:
    """Photographs are made a face set without those that are better left out."""
    if not options.src.is_dir() or (options.src / "faces.parquet").is_file():
        return None
    out = _next.free(options.src.with_name(f"{options.src.name}-faces"))
    return ["augment", str(options.src), out, "--exclude", str(options.out / "exclude.txt")]


def add_to(app: Any) -> None:
    """Register the command."""
    app.command("audit", rich_help_panel="Data")(command(AuditOptions, audit, then=_then))
