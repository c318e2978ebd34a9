"""The teacher and the student of a run."""

from mfr_kit import registry
from mfr_kit.models.input_format import DESCRIPTIONS, parse
from mfr_kit.options import option, options_class
from mfr_kit.training.method import METHODS
from mfr_kit.training.settings import Targets

BACKBONES = "mfr_kit.models.backbones"


@options_class
class NetworkOptions:
    """Who teaches whom, and by what."""

    method: str = option(
        "coupleface",
        help="What the student is trained by.",
        section="Teacher",
        choices=lambda: registry.names(METHODS),
    )
    teacher: str = option(
        "sface",
        help="Asset, .onnx file, state dict (.pth, .safetensors) or run folder that gives "
        "the targets; an ensemble with commas.",
        section="Teacher",
    )
    normalisation: str | None = option(
        None,
        help="Input of an .onnx teacher that does not say; MODEL.onnx:raw_0_255 says it for "
        f"one of an ensemble. {DESCRIPTIONS}",
        section="Teacher",
        check=parse,
    )
    output: str | None = option(
        None,
        help="Output to keep of an .onnx teacher that has several, by its name.",
        section="Teacher",
    )
    teacher_view: str = option(
        "clean",
        help="The teacher sees the clean face (from the bank) or the student's own view.",
        section="Teacher",
        choices=lambda: ["clean", "same"],
    )
    target: str = option(
        "view",
        help="f(x) of the view's mirror state, or the normalised sum of f(x) and f(mirrored x).",
        section="Teacher",
        choices=lambda: ["view", "sum"],
    )
    student: str = option(
        "mobilefacenet",
        help="Backbone; or a recogniser of your own as it is, with MODEL.onnx:imagenet for one "
        "that does not say what its input is.",
        section="Student",
        choices=lambda: registry.names(BACKBONES),
        or_file=".onnx",
    )
    width: float = option(
        1.0, help="Factor on the backbone's channel counts.", section="Student", within=">0"
    )
    embedding_size: int | None = option(
        None,
        help="D of the student; left out: the teacher's. Another size trains a projector, "
        "dropped at export.",
        section="Student",
        within=">=1",
    )
    init: str = option(
        "random",
        help="`random`, `teacher` (same architecture), or a run folder or weights file "
        "(.pth, .safetensors, .onnx) to start from; an .onnx student starts from its own.",
        section="Student",
    )

    @property
    def targets(self) -> Targets:
        """What of the teacher a view is compared with."""
        return Targets(self.teacher_view, self.target)
