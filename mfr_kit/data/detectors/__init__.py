"""Detectors: one file each with `load(model: Path | None) -> Detector`; `--detector` finds them
by name.
"""
