"""Pack a submission: the files a track wants and a manifest of what they are. Same inputs, same
bytes.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import zipfile
from pathlib import Path

from mfr_kit import __version__, assets, registry
from mfr_kit.data.named_files import HINT
from mfr_kit.files import replacing
from mfr_kit.models.embedders import load_embedder
from mfr_kit.paths import check_output
from mfr_kit.records import read_json
from mfr_kit.submission import card, check, rerun, tracks
from mfr_kit.submission.card_text import licences
from mfr_kit.submission.checks.lineage import stored
from mfr_kit.submission.embeddings import Written, write_features
from mfr_kit.submission.options import FORMATS, SubmissionOptions
from mfr_kit.submission.request import Request
from mfr_kit.submission.rules import Row, Subject
from mfr_kit.submission.sources import open_source

PACKAGES = "mfr_kit.submission.packages"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold
MANIFEST = "manifest.json"
VERSIONS = ("torch", "onnx", "onnxruntime", "numpy")


@dataclasses.dataclass(frozen=True)
class Packed:
    """A finished submission; `notes` say what of it was left out."""

    path: Path
    files: list[str]
    features: Written | None
    notes: list[str] = dataclasses.field(default_factory=list)


def make_submission(options: SubmissionOptions) -> Packed:
    """Check a model and pack it for a track.

    Raises:
        RuleError: a rule of the track fails; all of them are listed and nothing is written.
        KitError: something named in the options is missing or unreadable.
    """
    track = tracks.load(options.track)
    form = options.features_format or track.features or "npy"
    suffix = registry.get(FORMATS, form).SUFFIX  # "" for a folder
    features = options.features_path()
    if options.features:
        check_output(features, "file" if suffix else "folder", "--features goes to")
    rows = check.check(options.model, options.track, options.run, latency=False)
    check.refuse_failures(rows, str(options.model), options.track)
    subject = Subject(options.model, track)
    written = None
    if options.features:
        embedder = load_embedder(options.model, normalisation=subject.normalisation)
        written = write_features(
            embedder, open_source(options.features, options.allow_outside, HINT), features, form
        )
    request = Request(
        options.model,
        track,
        subject.normalisation,
        written.path if written else None,
        options.detector,
    )
    plugin = registry.get(PACKAGES, track.package)
    cards, notes = _card(options.model, track.title if plugin.MODEL is None else None)
    report = _report(options.report)
    repeated, missing = rerun.pack(
        options.run, track.name, options.out.name, options.rerun_people, report
    )
    files = plugin.files(request) | repeated | cards
    manifest = _manifest(subject, rows, files, written) | {"evaluation": report}
    text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    write_zip(options.out, {**files, MANIFEST: text.encode()})
    return Packed(options.out, sorted([*files, MANIFEST]), written, [*notes, *missing])


def write_zip(out: Path, contents: dict[str, Path | bytes]) -> None:
    """Write a zip whose bytes depend on names and contents alone: sorted, stored, one fixed
    time. Replaces `out` when complete.
    """
    with replacing(out) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for inside in sorted(contents):
            entry = zipfile.ZipInfo(inside, EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            content = contents[inside]
            entry.file_size = len(content) if isinstance(content, bytes) else content.stat().st_size
            with archive.open(entry, "w") as target:
                _copy(content, target)


def _copy(content: Path | bytes, target) -> None:
    if isinstance(content, bytes):
        target.write(content)
        return
    with content.open("rb") as file:
        while block := file.read(1 << 20):
            target.write(block)


def _card(model: Path, takes_none: str | None) -> tuple[dict[str, Path | bytes], list[str]]:
    """The model's card by its name in the zip, and what to say where it has to stay behind: with
    `takes_none`, the title of a track that is sent no model.
    """
    found = card.find_card(model)
    if found is None:
        return {}, []
    if takes_none is not None:
        return {}, [f"{card.CARD} is not packed: {takes_none} is sent features, not the model"]
    return {card.CARD: found}, []


def _report(path: Path | None) -> dict | None:
    if path is None:
        return None
    return read_json(
        path, {"schema?": str}, "give the report.json of `kit.py evaluate` as --report"
    )


def _manifest(
    subject: Subject, rows: list[Row], files: dict[str, Path | bytes], written: Written | None
) -> dict:
    proto, track = subject.parsed, subject.track
    record = stored(subject)
    return {
        "kit_version": __version__,
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
        "track": {"name": track.name, "title": track.title, "metric": track.metric},
        "model": {
            "sha256": assets.sha256_of(subject.path),
            "bytes": subject.path.stat().st_size,
            "normalisation": subject.normalisation,
            "opset": max(item.version for item in proto.opset_import),
            "ir_version": proto.ir_version,
            "metadata": subject.metadata,
        },
        "features": {
            "file": written.path.name,
            "sha256": assets.sha256_of(written.path),
            "rows": written.rows,
        }
        if written
        else None,
        "files": {name: _digest(content) for name, content in files.items()},
        "rules": [_lasting(row) for row in rows],
        "lineage": record,
        "licences": licences(record),
    }


def _lasting(row: Row) -> dict:
    """A row without what another run would measure a little differently."""
    return {
        **dataclasses.asdict(row),
        "found": "kept" if row.measured else row.found,
        "margin": "" if row.measured else row.margin,
    }


def _digest(content: Path | bytes) -> str:
    return (
        hashlib.sha256(content).hexdigest()
        if isinstance(content, bytes)
        else assets.sha256_of(content)
    )
