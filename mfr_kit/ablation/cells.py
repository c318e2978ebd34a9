"""The cells of a table: a setting and a seed each."""

from collections.abc import Iterator
from dataclasses import dataclass

from mfr_kit.ablation.table import Table

TEACHER = "teacher"  # the row that is not trained
MEAN = "mean"  # the "seed" of an average over seeds


@dataclass(frozen=True)
class Cell:
    """One setting and seed; `seed` is None for the teacher and MEAN for an average over the
    seeds.
    """

    setting: str
    seed: int | str | None

    @property
    def name(self) -> str:
        plain = "".join(
            character if character.isalnum() else "-" for character in self.setting.lower()
        )
        return plain if self.seed is None else f"{plain}-{self.seed}"


def cells(table: Table) -> Iterator[Cell]:
    """List the cells: the teacher, then all settings seed by seed (so that an early stop leaves
    whole comparisons), then averages.
    """
    yield Cell(TEACHER, None)
    single = [setting for setting in table.settings if not setting.average]
    seeds = dict.fromkeys(seed for setting in single for seed in table.seeds_of(setting))
    for seed in seeds:
        yield from (Cell(each.name, seed) for each in single if seed in table.seeds_of(each))
    yield from (Cell(setting.name, MEAN) for setting in table.settings if setting.average)


def seeds_of(table: Table, cell: Cell) -> list[int]:
    """List the seeds whose runs a cell is made of; none for the teacher."""
    if cell.seed == MEAN:
        return list(table.seeds_of(table.setting(cell.setting)))
    return [cell.seed] if isinstance(cell.seed, int) else []
