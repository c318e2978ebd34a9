"""Options of `kit.py models`."""

from mfr_kit.options import option, options_class


@options_class
class ModelsOptions:
    """Which shape of each backbone to count."""

    width: float = option(1.0, help="Factor on the channel counts.", within=">0")
    embedding_size: int | None = option(
        None, help="D; left out: each backbone's own.", within=">=1"
    )
