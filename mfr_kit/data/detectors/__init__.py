"""Detectors: one file each with `load(model: Path | None, provider: Provider | None) -> Detector`;
`--detector` finds them by name. `ON_THE_CPU` in a file says why no device runs its
detector, `ONE_BY_ONE` why it looks at no two photographs at once.
"""
