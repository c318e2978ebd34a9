"""Every reader that is fuzzed, by name, and how many inputs a round of it has.

Importing this imports what the readers need, so that a process that is forked begins at once.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # a pool of threads does not live on in a forked process

import random
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet  # noqa: F401
import torch  # noqa: F401

from tests import (
    format_damage,
    format_files,
    fuzz_onnx,
    fuzz_recordio,
    fuzz_zip,
    model_files,
    state_files,
)
from tests.format_files import FORMATS
from tests.side_files import CAMPAIGNS
from tests.studio import asked
from tests.torture.fuzzing import Bytes, Reader


class RecordIO(NamedTuple):
    """The readers of .rec and .idx, and of verification .bin files."""

    kinds: tuple[str, ...]

    def make(self, folder: Path) -> None:
        """Write each seed, its kind in its name."""
        for number, (kind, data, index) in enumerate(fuzz_recordio.seeds(folder)):
            if kind in self.kinds:
                (folder / f"{kind}-{number}.rec").write_bytes(data)
                (folder / f"{kind}-{number}.idx").write_bytes(index)
        for path in folder.glob("seed.*"):
            path.unlink()

    def damage(self, folder: Path, rng: random.Random) -> str:
        """Write one of them, or its index, or both, damaged, or no index."""
        path, what = rng.choice(sorted(folder.glob("*.rec"))), rng.randrange(4)
        data, index = path.read_bytes(), path.with_suffix(".idx").read_bytes()
        if what or not index:
            data = fuzz_recordio.mutate(data, fuzz_recordio.TELLING, rng)
        if what < 2:
            index = fuzz_recordio.mutate(index, fuzz_recordio.DIGITS, rng)
        given = path.with_name(f"input-{path.name}")
        given.write_bytes(data)
        if what < 3 and not path.name.startswith("bin"):
            given.with_suffix(".idx").write_bytes(index)
        return f"{path.name}, {what}"

    def read(self, folder: Path) -> None:
        """Read the input to its last record."""
        for path in list(folder.glob("input-*.rec")) or sorted(folder.glob("*.rec")):
            fuzz_recordio.read(path.name.removeprefix("input-").split("-")[0], path)


def _numbered(seeds: list[bytes], suffix: str) -> dict[str, bytes]:
    return {f"{number}{suffix}": data for number, data in enumerate(seeds)}


def _onnx(folder: Path) -> dict[str, bytes]:
    seeds = _numbered(fuzz_onnx.seeds(folder), ".onnx")
    (folder / "s.onnx").unlink()
    return seeds


def _packages(folder: Path) -> dict[str, bytes]:
    seeds = _numbered(fuzz_zip.seeds(folder), ".zip")
    for path in folder.iterdir():
        path.unlink()
    return seeds


READERS: dict[str, Reader] = {
    "recordio": RecordIO(("header", "plain", "parts")),
    "bins": RecordIO(("bin",)),
    "pictures": Bytes(format_files.pictures, format_damage.image_of, format_files.read_picture),
    "safetensors": Bytes(
        model_files.safetensors, format_damage.safetensors_of, model_files.read_safetensors
    ),
    "described models": Bytes(
        model_files.described_models, format_damage.metadata_of, model_files.read_described_model
    ),
    **FORMATS,
    **CAMPAIGNS,
    **state_files.CAMPAIGNS,
    "studio requests": Bytes(asked.make, asked.damage_of, asked.ask),
    "packages": Bytes(_packages, fuzz_zip.mutate, fuzz_zip.read),
    "models": Bytes(_onnx, fuzz_onnx.mutate, fuzz_onnx.read),
}
