"""MFR Kit: align, mask, distil, export, measure and submit masked-face recognisers.

    import mfr_kit as mk

gives what `api.py` offers; each name is fetched when it is first used, so that the import itself
costs nothing. docs/guides/python.md shows how they go together.
"""

import importlib

__version__ = "0.1.0"

__all__ = [
    "FaceSet",
    "KitError",
    "MaskAugment",
    "RuleError",
    "align",
    "check",
    "draw_face_set",
    "evaluate",
    "export_onnx",
    "load_embedder",
    "losses",
    "operating_point",
    "operating_points",
    "put_mask",
    "tar_at_far",
    "to_tensor",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module("mfr_kit.api"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
