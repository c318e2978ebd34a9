"""MLFW's list (masked LFW): a line a pair, `image <tab> image <tab> label`, label 1 for one person and 0 for two; no first line.

Images are names of files that lie side by side in the published `aligned` (or `origin`) folder, as `Aaron_Eckhart_0001_0000.jpg`.
The list itself was not at hand; three public programs that read it (a tab between the fields, label last, 6,000 lines) agree on this.
"""

from collections.abc import Iterator
from pathlib import Path

from mfr_kit.data.pairs import PairSet, from_rows
from mfr_kit.errors import KitError

LABELS = {"0": False, "1": True}


def recognises(path: Path) -> bool:
    """A .txt file whose first line is two names and 0 or 1."""
    if path.suffix.lower() != ".txt":
        return False
    with path.open("rb") as file:
        fields = file.readline(1000).decode("utf-8", "replace").split()
    return len(fields) == 3 and fields[2] in LABELS and not fields[1].isdigit()


def open_pairs(path: Path, images: Path | None = None) -> PairSet:
    """Read the file; images are named relative to `images`.

    Raises:
        KitError: a line of another shape (named), or an image that is not there.
    """
    return from_rows(path, images, rows(path))


def rows(path: Path) -> Iterator[tuple[int, str, str, bool]]:
    """Yield (line, image, image, same person) without looking for the images.

    Raises:
        KitError: it cannot be read, or a line is of another shape; names the line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise KitError(f"cannot read the pairs {path}: {error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        fields = line.split()
        if len(fields) != 3 or fields[2] not in LABELS:
            raise KitError(
                f"{path}: line {number}: `image image label` expected, the label 0 or 1; found {line[:60]!r}"
            )
        yield number, fields[0], fields[1], LABELS[fields[2]]
