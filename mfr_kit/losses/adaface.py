"""AdaFace: classification of the training identities with a margin, beside FCD or (--fcd-weight
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
    """AdaFace's two constants and its weight."""

    fcd_weight: float = fcd_weight()
    adaface_weight: float = option(1.0, help="Weight of the AdaFace term.", within=">0")
    adaface_scale: float = option(64.0, help="s: factor on the cosines.", within=">0")
    adaface_margin: float = option(0.4, help="m: margin, in rad and cosine.", within=">=0")


def head(options: Options, classes: int, size: int) -> "nn.Module":
    """Make the head with one learnt centre per training identity."""
    from mfr_kit.losses import _margin

    return _margin.build("adaface", classes, size, options.adaface_scale, options.adaface_margin)


def terms(batch: Batch, options: Options, head: "nn.Module") -> Terms:
    """Cross-entropy of the head, plus FCD."""
    return add_fcd(
        {"cls": options.adaface_weight * head(batch.student, batch.labels, batch.mean_over_ranks)},
        batch,
        options.fcd_weight,
    ), {}


def adaface_loss(
    student: "Tensor",
    labels: "Tensor",
    centres: "Tensor",
    scale: float = 64.0,
    margin: float = 0.4,
) -> "Tensor":
    """Classify the training identities with AdaFace's margin.

    The feature norms are placed among those of this batch; `head` follows them over many batches,
    as published.

    Args:
        student: (B, D) raw embeddings.
        labels: (B,) int64 identities, 0 .. C-1.
        centres: (C, D) learnt centres, any norm: an `nn.Parameter` of your own.
        scale: s > 0, factor on the cosines.
        margin: m, in rad and cosine.
    Returns:
        Scalar >= 0, in float32 at least.
    Raises:
        KitError: the tensors do not belong together, or a label has no centre (on a GPU this check
            waits for the labels).
    Source: AdaFace (arXiv 2204.00964), equations 12 to 14.
    """
    from mfr_kit.losses import _margin

    return _margin.classify(student, labels, centres, "adaface", scale, margin)
