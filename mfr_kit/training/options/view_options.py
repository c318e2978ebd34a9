"""What a student sees of a clean face: masks, drift, photometry."""

from pathlib import Path
from typing import TYPE_CHECKING

from mfr_kit.options import option, options_class

if TYPE_CHECKING:
    from mfr_kit.training.views.view import ViewRecipe


@options_class
class ViewOptions:
    """How the student's views are drawn."""

    mask_ratio: float = option(
        0.35,
        help="Probability that the student's face wears a mask.",
        section="Views",
        within="0..1",
        also="ratio",
    )
    masks: list[str] | None = option(
        None,
        help="Mask looks or kinds to draw from (repeat the flag); all if left out.",
        section="Views",
    )
    mask_folder: Path | None = option(
        None,
        help="Folder of mask templates; the kit's own if left out.",
        section="Views",
        affects="place",
    )
    mask_mix: Path | None = option(
        None,
        help="TOML like masks/mix.toml: how often each kind is drawn and how samples vary; "
        "what it leaves out stays as it is.",
        section="Views",
        affects="place",
    )
    degrade: float = option(
        0.0,
        help="Probability that a view, bare or masked, is degraded: cut off, shrunk to "
        "20-60 pixels, JPEG 20-60, blurred, grey.",
        section="Views",
        within="0..1",
    )
    drift: float = option(
        1.0,
        help="Alignment drift of masked faces; 1 is what was measured: on the set's twins, "
        "or the kit's constants if it has few.",
        section="Views",
        within=">=0",
    )
    drift_table: Path | None = option(
        None,
        help="CSV of measured drifts (log_scale,rotation_rad,shift_x_px,shift_y_px) that masked "
        "faces draw from; left out: the set's own twins.",
        section="Views",
        affects="place",
    )
    drift_clean: float = option(
        0.25,
        help="Alignment drift of clean faces, as a factor on the kit's constants.",
        section="Views",
        within=">=0",
    )
    photometric: float = option(
        1.0,
        help="Probability factor of brightness, colour, blur, noise and compression; 0 for none.",
        section="Views",
        within=">=0",
    )

    @property
    def recipe(self) -> "ViewRecipe":
        """Probabilities and strengths."""
        from mfr_kit.training.views.view import ViewRecipe

        return ViewRecipe(
            self.mask_ratio, self.drift, self.drift_clean, self.photometric, degrade=self.degrade
        )
