"""TensorBoard's event files, where the `tensorboard` package is installed; the kit itself does
not need it.
"""

from collections.abc import Iterator
from pathlib import Path

from mfr_kit.errors import KitError


class Board:
    """Write the numbers of a run's log as scalars.

    Args:
        folder: of the event files.
        start: the step the run begins with; what an interrupted run wrote after it is hidden.
    Raises:
        KitError: tensorboard is not installed.
    """

    def __init__(self, folder: Path, start: int):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise KitError(
                "--tensorboard needs the package: pip install tensorboard, or leave the flag out"
            ) from None
        self._writer = SummaryWriter(str(folder), purge_step=start + 1)

    def write(self, line: dict) -> None:
        """Write every number of a log line under its name, those of nested tables as
        `table/name`.
        """
        for name, value in _numbers(line):
            if name not in ("step", "steps"):
                self._writer.add_scalar(name, value, line["step"])

    def close(self) -> None:
        """Bring everything to the disk."""
        self._writer.close()


def _numbers(line: dict, prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in line.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)):
            yield prefix + name, float(value)
