"""The options of `kit.py distill`, a file a subject; `RunOptions` is all of them."""

from mfr_kit.training.options.run_options import METHODS, RunOptions, distill_options

__all__ = ["METHODS", "RunOptions", "distill_options"]
