"""A method of losses/ with the options that are its own: its loss, its head, and what of the
teacher it looks at.
"""

import functools
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mfr_kit import registry

if TYPE_CHECKING:
    from torch import nn

    from mfr_kit.losses._batch import Batch, Terms

METHODS = "mfr_kit.losses"


@dataclass(frozen=True)
class Method:
    """What a student is trained by; `own` is an object of the method's own options."""

    name: str
    own: Any

    @functools.cached_property
    def _module(self) -> ModuleType:
        return registry.get(METHODS, self.name)

    def make_head(self, classes: int, size: int) -> "nn.Module | None":
        """Make the head that is trained with the student, with a row for each of the classes; None
        where the method has none.
        """
        return self._module.head(self.own, classes, size) if hasattr(self._module, "head") else None

    def terms(self, batch: "Batch", head: "nn.Module | None") -> "Terms":
        """Compute the weighted terms of the loss, and figures to log."""
        return self._module.terms(batch, self.own, head)

    @property
    def classifies(self) -> bool:
        """Whether its head has one learnt row an identity and nothing else, so that ranks can share
        it.
        """
        import torch

        from mfr_kit.losses._margin import MarginHead

        with torch.device("meta"):
            return isinstance(self.make_head(1, 1), MarginHead)

    @property
    def mines(self) -> bool:
        """Whether it relates samples to partners."""
        return getattr(self._module, "MINES", False)

    @property
    def shares_prototypes(self) -> bool:
        """Whether it can do with the prototypes of some classes on each rank."""
        return getattr(self._module, "SHARES_PROTOTYPES", False)

    @property
    def gathers(self) -> bool:
        """Whether it compares the samples of a batch, and so needs those of all ranks."""
        return getattr(self._module, "GATHERS", False)

    @property
    def uses_teacher(self) -> bool:
        """Whether the teacher leaves a trace in the student: not where a method that goes by labels
        stands by itself (--fcd-weight 0).
        """
        return not getattr(self._module, "BY_LABELS", False) or self.own.fcd_weight != 0
