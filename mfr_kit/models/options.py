"""Options of `kit.py models`."""

from dataclasses import dataclass

from mfr_kit.options import option


@dataclass(frozen=True)
class ModelsOptions:
    """Which shape of each backbone to count."""

    width: float = option(1.0, help="Factor on the channel counts, > 0.")
    embedding_size: int | None = option(None, help="D; left out: each backbone's own.")
