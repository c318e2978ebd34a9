"""CosFace: classification of the training identities with a margin, beside FCD or (--fcd-weight
0) the student by itself.
"""

from typing import TYPE_CHECKING

from mfr_kit.losses._batch import Batch, Terms
from mfr_kit.losses.fcd import add_fcd, fcd_weight
from mfr_kit.options import option, options_class

if TYPE_CHECKING:
    from torch import Tensor, nn

BY_LABELS = True  # its own term does not look at the teacher


@options_class
class Options:
    """CosFace's two constants and its weight."""

    fcd_weight: float = fcd_weight()
    cosface_weight: float = option(1.0, help="Weight of the CosFace term.", within=">0")
    cosface_scale: float = option(64.0, help="s: factor on the cosines.", within=">0")
    cosface_margin: float = option(0.4, help="m: margin, in cosine.", within=">=0")


def head(options: Options, classes: int, size: int) -> "nn.Module":
    """Make the head with one learnt centre per training identity."""
    from mfr_kit.losses import _margin

    return _margin.build("cosface", classes, size, options.cosface_scale, options.cosface_margin)


def terms(batch: Batch, options: Options, head: "nn.Module") -> Terms:
    """Cross-entropy of the head, plus FCD."""
    return add_fcd(
        {"cls": options.cosface_weight * head(batch.student, batch.labels)},
        batch,
        options.fcd_weight,
    ), {}


def cosface_loss(
    student: "Tensor",
    labels: "Tensor",
    centres: "Tensor",
    scale: float = 64.0,
    margin: float = 0.4,
) -> "Tensor":
    """Classify the training identities with CosFace's margin.

    Args:
        student: (B, D) raw embeddings.
        labels: (B,) int64 identities, 0 .. C-1.
        centres: (C, D) learnt centres, any norm: an `nn.Parameter` of your own.
        scale: s > 0, factor on the cosines.
        margin: m, in cosine.
    Returns:
        Scalar >= 0, in float32 at least.
    Raises:
        KitError: the tensors do not belong together, or a label has no centre (on a GPU this check
            waits for the labels).
    Source: CosFace (arXiv 1801.09414), equation 4.
    """
    from mfr_kit.losses import _margin

    return _margin.classify(student, labels, centres, "cosface", scale, margin)
