"""Options of `kit.py cluster`."""

from pathlib import Path

from mfr_kit.errors import KitError
from mfr_kit.models.options import RecogniserOptions
from mfr_kit.options import like, option, options_class

AUTO = "auto"


def parse_threshold(text: str) -> float | None:
    """Read `--threshold`; None for auto.

    Raises:
        KitError: neither auto nor a cosine.
    """
    if text == AUTO:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < 1:
        raise KitError(f"--threshold {text}: say auto, or a cosine above 0 and below 1")
    return value


@options_class
class ClusterOptions:
    """Which faces to divide into people, how, and where the set goes."""

    src: Path = option(
        help="Face set; whom its faces belong to is ignored.",
        section="Sets",
        affects="place",
        argument=True,
    )
    out: Path | None = option(
        None,
        help="Face set to write: the same images, each cluster a person. Left out: nothing is "
        "written, with --against-labels.",
        section="Sets",
        affects="place",
        writes="folder",
    )
    format: str = option(
        "folder",
        help="Images as files below OUT/faces, or as records in InsightFace's .rec files.",
        section="Sets",
        choices=lambda: ["folder", "rec"],
    )
    bank: Path | None = option(
        None,
        help="Folder of banks, as distill's, in which embeddings are kept for the next run; "
        "default: in the kit's cache.",
        section="Sets",
        affects="place",
        writes="folder",
        grows=True,
    )
    threshold: str = option(
        AUTO,
        help="Mean cosine of two clusters' faces from which they are one person; auto knows it "
        "for sface.",
        section="Clusters",
        check=parse_threshold,
    )
    neighbours: int = option(
        64, help="Nearest faces that a face is compared with.", section="Clusters", within=">=1"
    )
    search: str = option(
        "exact",
        help="How they are found; faiss is approximate, for millions of faces.",
        section="Clusters",
        choices=lambda: ["exact", "faiss"],
    )
    against_labels: bool = option(
        False,
        help="Compare the clusters with the identities of SRC: precision and recall of pairs and "
        "BCubed, at this and other thresholds.",
        section="Clusters",
    )
    model: str = option(
        "sface",
        help="Recogniser that compares faces: an asset, an .onnx or a run folder.",
        section="Networks",
    )
    normalisation: str | None = like(RecogniserOptions, "normalisation")
    output: str | None = like(RecogniserOptions, "output")
    device: str = like(RecogniserOptions, "device")
    precision: str = like(RecogniserOptions, "precision")
    threads: int = like(RecogniserOptions, "threads")

    def __post_init__(self) -> None:
        """Refuse a run that would leave nothing."""
        if self.out is None and not self.against_labels:
            raise KitError("cluster: say where the set goes (--out), or --against-labels")
