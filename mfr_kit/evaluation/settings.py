"""What `evaluate` is told about models, by subject: plain values for what stands below its door."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recognition:
    """How models are loaded (`models.load_embedder`), and how they embed: with the mirrored face
    added (`flip`), so many faces a call, kept for the next time (`cache`), and by which `engine`.
    """

    normalisation: str | None = None
    output: str | None = None
    threads: int = 0
    device: str = "cpu"
    precision: str = "float32"
    flip: bool = False
    batch: int = 64
    cache: bool = True
    engine: str = "local"
