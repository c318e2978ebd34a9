"""Options of `kit.py ablate` and `kit.py results`."""

from pathlib import Path

from mfr_kit.data.lists import ListOptions
from mfr_kit.evaluation.options import EvaluateOptions
from mfr_kit.options import like, option, options_class
from mfr_kit.outputs import Output, force_option

RECORDS = Path("results")


@options_class
class AblateOptions:
    """Which table, and where runs and records lie."""

    table: Path = option(
        help="TOML with the settings, seeds and face sets (docs/guides/ablations.md).",
        affects="place",
        argument=True,
    )
    work: Path = option(
        help="Folder for the runs and the teacher's bank; a later call goes on from what is there.",
        affects="place",
        writes="folder",
        grows=True,
    )
    records: Path = option(
        RECORDS,
        help="Folder of the records, one small JSON a finished cell.",
        affects="place",
        writes="folder",
        grows=True,
    )
    only: list[str] | None = option(
        None, help="Settings to work at (repeat the flag); all if left out."
    )
    workers: int = option(2, help="Loader processes.", within=">=0", affects="machine")
    threads: int = option(0, help="CPU threads; 0 for all.", within=">=0", affects="machine")
    allow_unknown: bool = like(ListOptions, "allow_unknown")
    allow_overlap: bool = like(EvaluateOptions, "allow_overlap")
    dry_run: bool = option(
        False, help="Say which cells are missing and train nothing.", affects="machine"
    )


@options_class
class ResultsOptions:
    """Where the records lie, and where the page goes."""

    records: Path = option(RECORDS, help="Folder of the records.", affects="place")
    out: Path = option(
        Path("docs/reference/results.md"),
        help="Summary to write; a page a table, and its plots, go into a folder of its name "
        "beside it.",
        affects="place",
        writes="file",
    )
    readme: Path | None = option(
        None,
        help="Page whose block between `<!-- results of TABLE: SETTING -->` and `<!-- end of "
        "results -->` is written anew.",
        affects="place",
        writes="file",
        grows=True,
    )
    force: bool = force_option()

    def outputs(self) -> list[Output]:
        """The folder of pages beside the summary."""
        return [Output(self.out.with_suffix(""), "folder", "--out")]
