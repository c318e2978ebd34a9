"""What a student is trained by, one method a file; `--method NAME` picks it.
docs/extend/add_a_loss.md says what a file must have.

Each method's loss is here as a plain function too, for a training loop of one's own:
`losses.relation_aware_loss(student, teacher, partners)`; `dir(losses)` lists them. They are found
by their files, and torch is imported inside functions, so that listing the methods' options for
`kit.py distill --help` stays fast.
"""

import functools
from typing import Any

from mfr_kit import registry

ENDING = "_loss"  # of the names of the plain functions


@functools.cache
def _functions() -> dict[str, Any]:
    """Collect the plain losses of all method files, by name."""
    modules = [registry.get(__name__, name) for name in registry.names(__name__)]
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if name.endswith(ENDING) and value.__module__ == module.__name__
    }


def __getattr__(name: str) -> Any:
    if name.endswith(ENDING):
        functions = _functions()
        if name not in functions:
            raise AttributeError(registry.unknown("loss", name, sorted(functions)))
        return functions[name]
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(_functions())
