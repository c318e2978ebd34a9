"""Which faces a run trains on, and where it lies."""

from pathlib import Path
from typing import TYPE_CHECKING

from mfr_kit.data.lists import ListOptions
from mfr_kit.options import like, option, options_class

if TYPE_CHECKING:
    from mfr_kit.training.people import PeopleLists


@options_class
class DataOptions:
    """A face set, who of it is trained on, and the run's folder."""

    data: Path = option(
        help="Face set to train on (written by `kit.py augment`), also an s3://, gs:// or https:// "
        "URL; only its clean faces are used.",
        section="Data",
        affects="place",
    )
    out: Path = option(
        help="Run folder to write.", section="Run", affects="place", writes="folder", grows=True
    )
    train_people: Path | None = option(
        None,
        help="List of names to train on; left out: everybody but --val-people and "
        "--holdout-people.",
        section="Data",
        affects="place",
    )
    val_people: Path | None = option(
        None,
        help="List of names to choose the best weights on; left out: no validation.",
        section="Data",
        affects="place",
    )
    holdout_people: list[Path] | None = option(
        None,
        help="Lists of names never trained on (repeat the flag); refused if --train-people "
        "shares any.",
        section="Data",
        affects="place",
    )
    allow_shared_people: bool = option(
        False,
        help="Accept lists that share people; figures measured on them flatter.",
        section="Data",
    )
    allow_unknown: bool = like(ListOptions, "allow_unknown", section="Data")
    resume: bool = option(
        False,
        help="Continue the run in --out from its last checkpoint.",
        section="Run",
        affects="machine",
    )
    dry_run: bool = option(
        False,
        help="Write nothing; try a few steps and say what the run will take: steps, hours, "
        "memory (of the head too, shared by so many ranks), disk.",
        section="Run",
        affects="machine",
    )

    @property
    def lists(self) -> "PeopleLists":
        """The lists that divide the set's people."""
        from mfr_kit.training.people import PeopleLists

        return PeopleLists(
            self.train_people,
            self.val_people,
            self.holdout_people or (),
            self.allow_shared_people,
            self.allow_unknown,
        )
