"""Half precision of the student's forward pass, and the scale of the loss that fp16 needs."""

import torch

from mfr_kit.errors import KitError

LOW = {"bf16": torch.bfloat16, "fp16": torch.float16}
LEAST = 2.0**-10  # of the scale, which begins at 65,536 and halves with every step left out


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Let a block compute in a `--precision`."""
    low = LOW.get(precision)
    return torch.autocast(device.type, low or torch.bfloat16, enabled=low is not None)


def make_scaler(device: torch.device, precision: str) -> torch.amp.GradScaler:
    """Make the scaler of the loss; it does nothing but for "fp16", whose smallest gradients are 0
    otherwise.

    A step whose scaled gradients overflow is left out, and the scale halved.
    """
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")


def no_scaler() -> torch.amp.GradScaler:
    """Make one that does nothing."""
    return torch.amp.GradScaler(enabled=False)


def refuse_endless(scaler: torch.amp.GradScaler, step: int) -> None:
    """Refuse a run whose gradients overflow at any scale.

    Raises:
        KitError: says what to change.
    """
    if scaler.get_scale() < LEAST:
        raise KitError(
            f"--precision fp16: the gradients of step {step} and the steps before it overflow at "
            "any scale: lower --learning-rate, or use --precision bf16 or float32"
        )
