"""The small training and the small table that the rows run."""

from pathlib import Path

TRAINING = """data = "inputs/train"
teacher = "inputs/run"
student = "mobilefacenet"
width = 0.125
batch_size = 6
threads = 1
log_every = 1
save_every = "1"
steps = {steps}
"""
TABLE = """title = "A small table"
seeds = [0]
resamples = 20

[common]
data = "inputs/train"
student = "mobilefacenet"
width = 0.125
embedding_size = 128
steps = {steps}
batch_size = 8
log_every = 1

[[sets]]
name = "others"
data = "inputs/others"
fars = [0.5, 0.2]
protocols = ["nonmask-nonmask"]

[[setting]]
name = "bare"
mask_ratio = 0.0
"""


def write_configs(folder: Path, training_steps: int, table_steps: int) -> None:
    """Write `run.toml` for distill and `small.toml` for ablate."""
    (folder / "run.toml").write_text(TRAINING.format(steps=training_steps))
    (folder / "small.toml").write_text(TABLE.format(steps=table_steps))
