"""What the rows of kills and signals run: every command that writes, on very small inputs."""

import os
import shutil
from pathlib import Path

from mfr_kit import assets
from tests.torture.launch import RANKS
from tests.torture.small import write_configs

PEOPLE = 4


def words(text: str) -> list[str]:
    """Split a line that has no quotes."""
    return text.split()


COMMANDS = {
    "convert rec": words("convert inputs/faces out/set.rec"),
    "convert folder": words("convert inputs/faces set"),
    "augment folder": words("augment inputs/photos set --ratio 1 --shards 3 --workers 1"),
    "distill": words("distill --config inputs/run.toml --out run --resume --workers 0"),
    "evaluate": words(
        "evaluate inputs/run inputs/model.onnx --data inputs/faces --far 0.1 --resamples 20 "
        "--out report --force --threads 1"
    ),
    "export-onnx": words("export-onnx inputs/run --out model.onnx --force"),
    "augment rec": words("augment inputs/photos set --ratio 1 --shards 3 --workers 2 --format rec"),
    "ablate": words(
        "ablate inputs/small.toml --work work --records records --workers 0 --threads 1"
    ),
    "make-submission": words(
        "make-submission inputs/model.onnx --track unconstrained --out it.zip --force "
        "--features inputs/train"
    ),
    "distill workers": words("distill --config inputs/run.toml --out run --resume --workers 1"),
    "distill two ranks": words(
        f"{RANKS} distill --config inputs/run.toml --out run --resume --workers 0"
    ),
    "convert face-set": words("convert inputs/faces set --to face-set-records"),
    "convert parquet": words("convert inputs/faces set.parquet"),
}


def make_inputs(folder: Path) -> None:
    """Make what all commands read: photographs, face sets, a run with its model, a table."""
    from mfr_kit.submission.export import export_run
    from tests.conftest import write_faceset
    from tests.submission.conftest import write_run
    from tests.training.conftest import write_set

    for person in range(1, PEOPLE + 1):
        (folder / "photos" / f"s{person}").mkdir(parents=True)
        for take in (1, 2, 3):
            shutil.copy(
                assets.path("orl-faces") / f"s{person}" / f"{take}.pgm",
                folder / "photos" / f"s{person}",
            )
    write_faceset(folder / "faces", people=20, takes=3)
    write_set(folder / "train")
    write_set(folder / "others", people=20, first=20)
    write_run(folder / "run", embedding_size=16, width=0.125)
    export_run(folder / "run")
    (folder / "run" / "model.onnx").rename(folder / "model.onnx")
    shutil.rmtree(folder / "run" / "cache", ignore_errors=True)
    write_configs(folder, training_steps=5, table_steps=3)


def lay_out(inputs: Path, folder: Path) -> Path:
    """Make a folder to run a command in: the inputs, and a cache of the kit's own."""
    folder.mkdir(parents=True)
    shutil.copytree(inputs, folder / "inputs", copy_function=os.link)
    (folder / "home").mkdir()
    for entry in assets.home().iterdir():
        if entry.name != "embeddings":
            (folder / "home" / entry.name).symlink_to(entry)
    return folder
