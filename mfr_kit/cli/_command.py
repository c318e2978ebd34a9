"""Turn a class of options into a command of Typer: a flag a field, and `--config` for its TOML."""

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from mfr_kit.cli import _next
from mfr_kit.errors import KitError
from mfr_kit.options import load
from mfr_kit.outputs import check_outputs

T = TypeVar("T")


def command(
    cls: type[T],
    run: Callable[[T], None],
    with_config: bool = False,
    resumes: str | None = None,
    then: Callable[[T], _next.Words] | None = None,
) -> Callable[..., None]:
    """Wrap `run(options)` in a function whose signature Typer turns into the flags of `cls`.

    Args:
        cls: an options class; every field is declared with `option`.
        run: the body; its docstring becomes the command's help.
        with_config: add `--config FILE.toml`, whose keys are the names of the fields.
        resumes: name of the TOML in a folder of the command's, which `--resume FOLDER` then goes on
            with by the options it began with; flags win.
        then: gives the command line that usually comes next, which is printed at the end; not
            after a dry run or JSON.
    """
    import typer

    parameters, hints = [], {}
    for field in sorted(dataclasses.fields(cls), key=lambda field: not field.metadata["argument"]):  # type: ignore[arg-type]
        make = typer.Argument if field.metadata["argument"] else typer.Option
        shown = make(help=help_of(field), show_default=False, autocompletion=_completion(field))
        hint: Any = Annotated[_optional(_as_typed(field.type)), shown]
        hints[field.name] = hint
        parameters.append(
            inspect.Parameter(
                field.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=hint
            )
        )
    if with_config:
        text = "TOML file with the same names; flags win."
        hints["config"] = Annotated[Path | None, typer.Option(help=text, show_default=False)]
        parameters.append(
            inspect.Parameter(
                "config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hints["config"]
            )
        )
    if resumes is not None:
        text = "With --resume: the run to go on with, by its own options; flags win."
        hints["run"] = Annotated[Path | None, typer.Argument(help=text, show_default=False)]
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters.insert(0, inspect.Parameter("run", kind, default=None, annotation=hints["run"]))

    def call(**flags: Any) -> None:
        config = flags.pop("config", None)
        given = {name: value for name, value in flags.items() if value not in ([], ())}
        if resumes is not None and (folder := given.pop("run", None)) is not None:
            config, given = _go_on(folder, resumes, config, given)
        options = load(cls, config, given)
        check_outputs(options)
        run(options)
        plain = not (getattr(options, "dry_run", False) or getattr(options, "json", False))
        if then is not None and plain:
            _next.advise(then(options))

    call.__name__, call.__doc__ = run.__name__, run.__doc__
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = hints
    call.options_class = cls  # type: ignore[attr-defined]  # the help page reads sections from it
    return call


def _go_on(
    folder: Path, name: str, config: Path | None, given: dict[str, Any]
) -> tuple[Path, dict[str, Any]]:
    """Return the TOML that a folder was begun with, and flags that lead there.

    Raises:
        KitError: a folder without --resume, with --config, or without such a TOML.
    """
    if not given.get("resume"):
        raise KitError(f"{folder}: to go on with a run, write --resume {folder}")
    if config is not None:
        raise KitError(f"--resume {folder} takes its own options: leave --config out")
    if not (folder / name).is_file():
        raise KitError(f"--resume {folder}: no run was begun there ({name} is missing)")
    return folder / name, {**given, "out": given.get("out") or folder}


def _completion(field: dataclasses.Field) -> Callable[[str], list[str]] | None:
    """Return what the shell asks for the rest of a value; None where anything may be given."""
    choices = field.metadata["choices"]
    if not choices:
        return None
    return lambda incomplete: [name for name in choices() if name.startswith(incomplete)]


def help_of(field: dataclasses.Field) -> str:
    """Compose an option's help: what it says of itself, its choices, range and default."""
    said = field.metadata
    parts = [said["help"]]
    if said["choices"]:
        file = f", or a {said['or_file']} file" if said["or_file"] else ""
        parts.append(f"One of: {', '.join(said['choices']())}{file}.")
    if said["within"]:
        parts.append(f"[range: {said['within']}]")
    if field.default is dataclasses.MISSING:
        parts.append("[required]")
    elif field.default is not None:
        parts.append(f"[default: {_shown(field)}]")
    return " ".join(parts)


def _shown(field: dataclasses.Field) -> str:
    if isinstance(field.default, bool):
        word = field.name.replace("_", "-")
        return word if field.default else f"no-{word}"
    return str(field.default)


def _as_typed(hint: Any) -> Any:
    """What may be a number or a text in a file is a text on the command line."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else ()
    return str if str in kinds and int in kinds else hint


def _optional(hint: Any) -> Any:
    if isinstance(hint, types.UnionType) and type(None) in typing.get_args(hint):
        return hint
    return hint | None
