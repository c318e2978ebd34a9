"""Options of `kit.py models`, and those of every command that runs a recogniser."""

from mfr_kit.models.placement import PRECISIONS
from mfr_kit.options import option, options_class


@options_class
class RecogniserOptions:
    """How a command runs recognisers; other classes declare theirs `like` these."""

    device: str = option(
        "cpu",
        help="Where networks run (and evaluate compares all pairs): auto, cpu, cuda, cuda:N, "
        "tensorrt (of ONNX files) or mps.",
        section="Networks",
        affects="machine",
    )
    precision: str = option(
        "float32",
        help="Of a recogniser's products: tf32 on CUDA, or bf16 where torch runs it; its cosine to "
        "float32 on some of the faces is printed.",
        section="Networks",
        choices=lambda: list(PRECISIONS),
    )


@options_class
class ModelsOptions:
    """Which shape of each backbone to count."""

    width: float = option(1.0, help="Factor on the channel counts.", within=">0")
    embedding_size: int | None = option(
        None, help="D; left out: each backbone's own.", within=">=1"
    )
    checkpoints: bool = option(
        False, help="Print the page of whose checkpoints load, and why others do not, instead."
    )
