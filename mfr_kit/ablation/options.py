"""Options of `kit.py ablate` and `kit.py results`."""

from dataclasses import dataclass
from pathlib import Path

from mfr_kit.data.lists import ListOptions
from mfr_kit.evaluation.options import EvaluateOptions
from mfr_kit.options import like, option

RECORDS = Path("results")


@dataclass(frozen=True)
class AblateOptions:
    """Which table, and where runs and records lie."""

    table: Path = option(
        argument=True,
        help="TOML with the settings, seeds and face sets (docs/guides/ablations.md).",
    )
    work: Path = option(
        writes="folder",
        help="Folder for the runs and the teacher's bank; a later call goes on from what is there.",
    )
    records: Path = option(
        RECORDS, writes="folder", help="Folder of the records, one small JSON a finished cell."
    )
    only: list[str] | None = option(
        None, help="Settings to work at (repeat the flag); all if left out."
    )
    workers: int = option(2, help="Loader processes.")
    threads: int = option(0, help="CPU threads; 0 for all.")
    allow_unknown: bool = like(ListOptions, "allow_unknown")
    allow_overlap: bool = like(EvaluateOptions, "allow_overlap")
    dry_run: bool = option(False, help="Say which cells are missing and train nothing.")


@dataclass(frozen=True)
class ResultsOptions:
    """Where the records lie, and where the page goes."""

    records: Path = option(RECORDS, help="Folder of the records.")
    out: Path = option(
        Path("docs/reference/results.md"),
        writes="file",
        help="Summary to write; a page a table, and its plots, go into a folder of its name beside "
        "it.",
    )
    readme: Path | None = option(
        None,
        writes="file",
        help="Page whose block between `<!-- results of TABLE: SETTING -->` and `<!-- end of "
        "results -->` is written anew.",
    )
