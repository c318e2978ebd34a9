"""What a package is made from."""

from dataclasses import dataclass
from pathlib import Path

from mfr_kit.submission.tracks import Track


@dataclass(frozen=True)
class Request:
    """A checked model on its way into a package."""

    model: Path
    track: Track
    normalisation: str  # what the network wants fed
    features: Path | None = None  # a finished feature file or folder
    detector: Path | None = None  # the user's own detector file
