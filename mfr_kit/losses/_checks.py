"""What the losses refuse, in words that say what was given and what to do about it.

Shapes, types and devices cost nothing to look at; only `check_range`, and so `check_classes`, waits
for a GPU.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mfr_kit.errors import KitError
from mfr_kit.registry import unknown

if TYPE_CHECKING:
    from torch import Tensor


def check_embeddings(*, same_size: bool = True, least: int = 1, **named: "Tensor") -> None:
    """Refuse what is no pair of (B, D) embeddings of one batch, on one device and of one type.

    Args:
        same_size: D has to be the same too.
        least: samples that the loss needs.
        named: the tensors by the names of the parameters, the one to compare with first.
    Raises:
        KitError: no tensor, not two-dimensional, not floating, or not like the first.
    """
    for name, value in named.items():
        _check_floats(name, value, "(B, D) embeddings", 2)
    (first, reference), *others = named.items()
    if len(reference) < least:
        raise KitError(
            "relations within a batch need at least two samples: raise --batch-size"
            if least == 2
            else f"{first} holds no samples: give a batch of at least {least}"
        )
    for name, value in others:
        if len(value) != len(reference):
            raise KitError(
                f"{first} has {len(reference)} rows and {name} {len(value)}: give the same faces, "
                "in the same order"
            )
        if same_size and value.shape[1] != reference.shape[1]:
            raise KitError(
                f"{first} has embeddings of {reference.shape[1]} numbers and {name} of "
                f"{value.shape[1]}: put a projector behind the student"
            )
        check_like(first, reference, name, value)


def check_partners(partners: "Tensor", student: "Tensor") -> None:
    """Refuse what is no (B, K >= 1, D) tensor beside (B, D) embeddings."""
    _check_floats("partners", partners, "(B, K, D) embeddings, K partners a sample", 3)
    batch, size = student.shape
    if partners.shape[0] != batch or partners.shape[1] < 1 or partners.shape[2] != size:
        raise KitError(
            f"partners must be ({batch}, K >= 1, {size}), found {tuple(partners.shape)}: "
            "where sizes differ a projector is needed"
        )
    check_like("student", student, "partners", partners)


def check_labels(labels: "Tensor", student: "Tensor") -> None:
    """Refuse what is no (B,) tensor of whole numbers beside (B, D) embeddings."""
    import torch

    if not isinstance(labels, torch.Tensor):
        raise KitError(
            f"labels: {_kind(labels)} is no tensor; torch.as_tensor(labels) makes it one"
        )
    if labels.dtype != torch.int64:
        raise KitError(f"labels are {_type(labels)}: give identities as int64, labels.long()")
    if tuple(labels.shape) != (len(student),):
        raise KitError(
            f"labels must be ({len(student)},), one a sample, found {tuple(labels.shape)}"
        )
    _check_device("student", student, "labels", labels)


def check_centres(centres: "Tensor", student: "Tensor") -> None:
    """Refuse what is no (C, D) tensor beside (B, D) embeddings."""
    _check_floats("centres", centres, "(C, D), one row an identity", 2)
    if centres.shape[1] != student.shape[1]:
        raise KitError(
            f"centres have {centres.shape[1]} numbers and student embeddings {student.shape[1]}: "
            "make them of one size"
        )
    _check_device("student", student, "centres", centres)


def check_classes(student: "Tensor", labels: "Tensor", centres: "Tensor", scale: float) -> None:
    """Refuse what does not belong to one classification: (B, D) embeddings, (B,) labels, (C, D)
    centres and a scale above 0; on a GPU this waits for the labels.
    """
    check_labels(labels, student)
    check_centres(centres, student)
    check_range(labels, len(centres))
    check_positive(scale=scale)


def check_range(labels: "Tensor", classes: int) -> None:
    """Refuse labels outside 0 .. classes - 1; on a GPU this waits for them."""
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise KitError(
            f"labels lie in {low} .. {high}, for {classes} centres they must lie in 0 .. "
            f"{classes - 1}: number the training people from 0 (FaceSet.labels does)"
        )


def check_like(first: str, reference: "Tensor", name: str, value: "Tensor") -> None:
    """Refuse a tensor of another type or on another device than the one it meets."""
    if value.dtype != reference.dtype:
        raise KitError(
            f"{first} is {_type(reference)} and {name} {_type(value)}: bring both to one type, "
            "with .float()"
        )
    _check_device(first, reference, name, value)


def check_strangers(stranger: "Tensor") -> None:
    """Refuse a batch in which a sample, or the whole, meets nobody else.

    Args:
        stranger: bool, whether somebody else is there for each of what the loss needs one for.
    """
    if not stranger.all():
        raise KitError("a batch of one person has no negatives: raise --batch-size")


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a word that is none of the choices."""
    if value not in choices:
        raise KitError(unknown(name, str(value), list(choices)))


def check_positive(**named: float) -> None:
    """Refuse numbers that are not above zero."""
    for name, value in named.items():
        if not value > 0:
            raise KitError(f"{name} must be above 0, found {value}")


def _check_floats(name: str, value: "Tensor", wanted: str, dimensions: int) -> None:
    import torch

    if not isinstance(value, torch.Tensor):
        raise KitError(f"{name}: {_kind(value)} is no tensor; torch.as_tensor({name}) makes it one")
    if value.ndim != dimensions:
        raise KitError(f"{name} must be {wanted}, found shape {tuple(value.shape)}")
    if not value.is_floating_point():
        raise KitError(
            f"{name} is {_type(value)}: give the embeddings that a network made of the faces"
        )


def _check_device(first: str, reference: "Tensor", name: str, value: "Tensor") -> None:
    if value.device != reference.device:
        raise KitError(
            f"{first} is on {reference.device} and {name} on {value.device}: move it with "
            f"{name}.to({first}.device)"
        )


def _type(value: "Tensor") -> str:
    return str(value.dtype).removeprefix("torch.")


def _kind(value: object) -> str:
    return f"a {type(value).__module__}.{type(value).__qualname__}".replace("builtins.", "")
