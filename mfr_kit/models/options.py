"""Options of `kit.py models`, and those of every command that runs a recogniser."""

from mfr_kit.cluster import ENGINES
from mfr_kit.errors import KitError
from mfr_kit.models.input_format import DESCRIPTIONS, parse
from mfr_kit.models.placement import PRECISIONS
from mfr_kit.options import option, options_class


@options_class
class RecogniserOptions:
    """How a command runs recognisers; other classes declare theirs `like` these."""

    normalisation: str | None = option(
        None,
        help=f"Input of an .onnx that does not say. {DESCRIPTIONS}",
        check=parse,
        section="Networks",
    )
    output: str | None = option(
        None, help="Output to keep of an .onnx that has several, by its name.", section="Networks"
    )
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
    engine: str = option(
        "local",
        help="What embeds: this machine, or a Ray cluster (docs/guides/scale.md): an actor per "
        "CPU, or --threads of them, or per GPU with --device cuda.",
        section="Networks",
        choices=lambda: list(ENGINES),
        affects="machine",
    )
    address: str | None = option(
        None,
        help="With --engine ray: HOST:PORT of the cluster's head, auto for the cluster that this "
        "machine is in, or local for this machine alone. Default: RAY_ADDRESS, else local.",
        section="Networks",
        affects="machine",
    )
    threads: int = option(
        0,
        help="CPU threads of the recogniser, 0 for all.",
        section="Networks",
        within=">=0",
        affects="machine",
    )


def check_engine(engine: str, address: str | None, device: str, flag: str = "--engine") -> None:
    """Refuse flags that contradict each other.

    Args:
        engine: what is given for `flag`.
        address: what is given for the flag that says where the cluster is.
        device: the command's `--device`.
        flag: what chooses the engine.
    """
    if engine != "ray":
        if address is not None:
            where = flag.replace("engine", "address")
            raise KitError(f"{where} is of a Ray cluster: add {flag} ray")
        return
    if device not in ("cpu", "cuda", "tensorrt"):
        raise KitError(
            f"{flag} ray and --device {device} contradict each other: Ray chooses the GPU, and "
            "all machines do the same; give cpu, cuda or tensorrt"
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
