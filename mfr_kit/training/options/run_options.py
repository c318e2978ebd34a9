"""The options of `kit.py distill` (what every run has, plus the union of what the methods in
losses/ declare) and what `adapt` shares.
"""

import functools
from dataclasses import MISSING, field, fields, make_dataclass
from typing import Any

from mfr_kit import registry
from mfr_kit.errors import KitError
from mfr_kit.models.options import check_engine
from mfr_kit.options import flag_of, options_class
from mfr_kit.training.method import METHODS, Method
from mfr_kit.training.options.data_options import DataOptions
from mfr_kit.training.options.learning_options import LearningOptions
from mfr_kit.training.options.machine_options import MachineOptions
from mfr_kit.training.options.network_options import BACKBONES, NetworkOptions
from mfr_kit.training.options.view_options import ViewOptions
from mfr_kit.training.settings import (
    BankSettings,
    HeadSpec,
    Regularisation,
    StudentSpec,
    TeacherSpec,
)


@options_class
class RunOptions(MachineOptions, ViewOptions, LearningOptions, NetworkOptions, DataOptions):
    """What every run has, whatever its method; the last base is the first in files and help."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.teacher_view == "same" and self.target == "sum":
            raise KitError(
                "--teacher-view same runs the teacher on the one view of the student: it cannot "
                "give --target sum"
            )
        if self.negatives < 1 and self.head != "sharded":
            raise KitError(
                f"--negatives {self.negatives:g} draws among the centres of a sharded head: give "
                "--head sharded too"
            )
        check_engine(self.bank_engine, self.bank_address, self.device, "--bank-engine")
        if self.has_own_graph:
            self._refuse_options_of_backbones()
        self._refuse_options_of_other_methods()

    @property
    def has_own_graph(self) -> bool:
        """Whether the student is somebody's ONNX file and no backbone of the kit."""
        return self.student not in registry.names(BACKBONES)

    @property
    def origin(self) -> str:
        """Where the initial weights come from: "random", "teacher", or a model."""
        return self.student if self.has_own_graph and self.init == "random" else self.init

    @property
    def frozen_norms(self) -> bool:
        """Whether batch-norm statistics stay as they start."""
        return self.origin != "random" if self.freeze_bn is None else self.freeze_bn

    @property
    def regularisation(self) -> Regularisation:
        """What keeps weights near to where they were."""
        return Regularisation(self.clip, self.l2_sp, self.ema, self.frozen_norms)

    @property
    def teacher_spec(self) -> TeacherSpec:
        """Which recogniser gives the targets."""
        return TeacherSpec(
            self.teacher, self.normalisation, self.output, self.threads, self.teacher_precision
        )

    @property
    def student_spec(self) -> StudentSpec:
        """Which network is trained, and from which weights on."""
        return StudentSpec(
            self.student,
            self.width,
            self.embedding_size,
            self.init,
            self.seed,
            self.out if self.resume else None,
        )

    @property
    def head_spec(self) -> HeadSpec:
        """How the classification head is divided, and what of it a step looks at."""
        return HeadSpec(self.head == "sharded", self.negatives, self.seed)

    @property
    def bank_settings(self) -> BankSettings:
        """Where the teacher's embeddings lie, and how they are made."""
        root = self.out / "bank" if self.bank is None else self.bank
        engine = self.bank_engine, self.bank_address
        return BankSettings(root, self.bank_batch, self.bank_dtype, self.bank_on, *engine)

    @property
    def chosen_method(self) -> Method:
        """What the student is trained by."""
        return Method(self.method, self.of_method())

    @property
    def ancestors(self) -> dict[str, str]:
        """The models that leave a trace in the run, by what they are to it."""
        from mfr_kit.training.people import ancestors_of

        return ancestors_of(self.teacher, self.origin, self.chosen_method.uses_teacher)

    def of_method(self) -> Any:
        """Return the chosen method's own options object."""
        cls = registry.get(METHODS, self.method).Options
        return cls(**{entry.name: getattr(self, entry.name) for entry in fields(cls)})

    def _refuse_options_of_backbones(self) -> None:
        """Refuse what an ONNX student cannot have."""
        for wrong, flag, why in (
            (self.width != 1, f"--width {self.width:g}", "its channels are its own"),
            (self.init == "teacher", "--init teacher", "it starts from its own weights"),
            (self.recompute, "--recompute", "it has no blocks to compute again"),
        ):
            if wrong:
                raise KitError(f"{flag} is not for --student {self.student}: {why}")

    def _refuse_options_of_other_methods(self) -> None:
        own = {entry.name for entry in fields(registry.get(METHODS, self.method).Options)}
        common = {entry.name for entry in fields(RunOptions)}
        for entry in fields(self):
            if entry.name not in own | common and getattr(self, entry.name) != entry.default:
                raise KitError(
                    f"{flag_of(entry)} is an option of {entry.metadata['methods']}, not of "
                    f"--method {self.method}"
                )


def _worded(methods: list[str]) -> str:
    """Name methods, or where they are most of all those that are not among them."""
    others = [name for name in registry.names(METHODS) if name not in methods]
    if len(methods) > len(others):
        return f"all but {', '.join(others)}" if others else "all"
    return ", ".join(methods)


@functools.cache
def distill_options() -> type[RunOptions]:
    """Return the dataclass of all flags: `RunOptions` and every method's options, each of the
    latter tagged with its methods.
    """
    declared: dict[str, tuple[Any, list[str]]] = {}
    for name in registry.names(METHODS):
        for entry in fields(registry.get(METHODS, name).Options):
            first, methods = declared.setdefault(entry.name, (entry, []))
            if (first.type, first.default) != (
                entry.type,
                entry.default,
            ) or entry.default is MISSING:
                raise TypeError(
                    f"losses/{name}.py and losses/{methods[0]}.py declare '{entry.name}' "
                    "differently"
                )
            methods.append(name)
    extra = []
    for name, (entry, methods) in sorted(
        declared.items(), key=lambda item: item[1][1] != ["coupleface"]
    ):
        owners = _worded(methods)
        metadata = {
            **entry.metadata,
            "help": f"({owners}) {entry.metadata['help']}",
            "methods": owners,
            "section": f"Method: {owners}",
        }
        extra.append((name, entry.type, field(default=entry.default, metadata=metadata)))
    return make_dataclass("DistillOptions", extra, bases=(RunOptions,), frozen=True)
