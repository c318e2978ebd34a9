"""The small set and teacher of the training tests serve here too."""

from tests.training.conftest import set_folder, teacher_folder, val_folder  # noqa: F401
