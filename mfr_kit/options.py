"""One dataclass is a command's flags, its TOML keys and its help text, so that the three cannot
drift apart.
"""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from mfr_kit import ranges
from mfr_kit.errors import KitError
from mfr_kit.option_names import under_current_names
from mfr_kit.records import NUMBER, WHOLE, is_text, parse_toml, shown
from mfr_kit.registry import unknown
from mfr_kit.text import read_text

T = TypeVar("T")

AFFECTS = ("result", "place", "machine")


@typing.dataclass_transform(frozen_default=True)
def options_class(cls: type | None = None, *, kw_only: bool = False) -> Any:
    """Make a class of `option` fields a frozen dataclass that checks their ranges when it is made.

    A subclass made by `dataclasses.make_dataclass` checks its own fields too.
    """
    if cls is None:
        return functools.partial(options_class, kw_only=kw_only)
    own = getattr(cls, "__post_init__", None)

    def check(self: Any) -> None:
        check_ranges(self)
        if own:
            own(self)

    cls.__post_init__ = check  # type: ignore[attr-defined]
    return dataclasses.dataclass(frozen=True, kw_only=kw_only)(cls)


def option(  # noqa: PLR0913  an option is described in one place
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    section: str = "",
    within: str = "",
    affects: str = "result",
    argument: bool = False,
    choices: Callable[[], list[str]] | None = None,
    or_file: str = "",
    check: Callable[[str], Any] | None = None,
    writes: str | None = None,
    grows: bool = False,
    reads: tuple[str, ...] = ("*",),
    formerly: str = "",
    also: str = "",
) -> Any:
    """Declare a field of an options class: all that the kit knows of the option stands here.

    Args:
        default: leave out to make the option required.
        help: one line with its unit, shown by `--help`, which adds the range.
        section: heading under which `--help` shows it.
        within: range of its numbers, of each where it takes several: `>0`, `>=1`, `0..1`, `0..<1`,
            `>0..1` or `>0..<1`; nan and the infinities are in none.
        affects: "result"; "place": where files lie, which may differ between two parts of one
            run; "machine": how the work is done or shown, which changes no result.
        argument: positional on the command line (still a key of the TOML file).
        choices: returns the allowed values; called when a value is checked, so that plug-ins are
            found by folder.
        or_file: suffix of a file that may be given in place of a choice.
        check: called with a value that is given; raises KitError for one that it cannot read.
        writes: "file" or "folder" for a path that the command writes; it is checked before the work
            begins, and nothing may lie there (outputs.py).
        grows: with `writes`: the command goes on with what lies there, or refuses it itself.
        reads: of a folder that is given: names of the files that the command reads, as patterns;
            none for what is no input.
        formerly: the option's old name with `_`, still understood as a flag and in files.
        also: what another command calls it, with `_`; understood likewise, and in no digest.
    Raises:
        ValueError: `within` or `affects` is none of the above.
    """
    if within:
        ranges.parse(within)
    if affects not in AFFECTS:
        raise ValueError(f"affects is one of {', '.join(AFFECTS)}, not {affects}")
    metadata = {
        "help": help,
        "section": section,
        "within": within,
        "affects": affects,
        "argument": argument,
        "choices": choices,
        "or_file": or_file,
        "check": check,
        "writes": writes,
        "grows": grows,
        "reads": reads,
        "formerly": formerly,
        "also": also,
    }
    return dataclasses.field(default=default, metadata=metadata)


def like(
    cls: type, name: str, section: str | None = None, default: Any = dataclasses.MISSING
) -> Any:
    """Declare a field of an options class as another one has it, in another section or with
    another default where one is given.
    """
    entry = cls.__dataclass_fields__[name]  # type: ignore[attr-defined]
    metadata = dict(entry.metadata)
    if section is not None:
        metadata["section"] = section
    default = entry.default if default is dataclasses.MISSING else default
    return dataclasses.field(default=default, metadata=metadata)


def check_ranges(options: Any) -> None:
    """Check every number of an options object against its option's range.

    Raises:
        KitError: one lies outside, or is not finite.
    """
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        for number in value if isinstance(value, list | tuple) else (value,):
            if isinstance(number, int | float) and not isinstance(number, bool):
                _check_number(field, number)


def _check_number(field: dataclasses.Field, number: float) -> None:
    if not math.isfinite(number):
        raise KitError(f"{flag_of(field)} must be a finite number, not {number}")
    within = field.metadata.get("within")
    if within and not ranges.parse(within).holds(number):
        raise KitError(f"{flag_of(field)} must be {ranges.parse(within)}, not {number}")


def names_affecting(cls: type, *affected: str) -> set[str]:
    """Name the options of a class that affect one of "result", "place" and "machine"."""
    return {
        field.name for field in dataclasses.fields(cls) if field.metadata["affects"] in affected
    }


def names_of_inputs(cls: type) -> set[str]:
    """Name the options on which a command's outcome depends: all but how the machine works and
    where the outcome is written.
    """
    return {
        field.name
        for field in dataclasses.fields(cls)
        if field.metadata["affects"] != "machine" and not field.metadata["writes"]
    }


def load(cls: type[T], config: Path | None, flags: dict[str, Any]) -> T:
    """Merge a TOML file and command-line flags (flags win) into a checked options object.

    Raises:
        KitError: unreadable file, unknown key, wrong type, value out of the choices, or a required
            option missing.
    """
    values = _read(cls, config) if config else {}
    values.update({name: value for name, value in flags.items() if value is not None})
    return _checked(cls, values, f"in {config} or " if config else "")


def from_table(cls: type[T], table: dict[str, Any], where: str) -> T:
    """Turn plain values, as `as_dict` gave them, into a checked options object.

    Raises:
        KitError: unknown key, wrong type, value out of the choices, or a required option missing;
            names `where`.
    """
    try:
        return _checked(cls, typed(cls, table, where), f"in {where} or ")
    except KitError as error:
        raise KitError(str(error) if where in str(error) else f"{where}: {error}") from None


def from_python(cls: type[T], given: dict[str, Any], where: str) -> T:
    """Turn a call's keywords into a checked options object; paths may be text or `Path`.

    Raises:
        KitError: as `from_table`.
    """
    plain = {name: _plain(value) for name, value in given.items() if value is not None}
    return from_table(cls, plain, where)


def _checked(cls: type[T], values: dict[str, Any], where: str) -> T:
    for field in dataclasses.fields(cast(Any, cls)):
        if field.name not in values and field.default is dataclasses.MISSING:
            raise KitError(
                f"{flag_of(field)} is missing: give it {where}on the command line "
                f"({field.metadata['help']})"
            )
        value = values.get(field.name)
        choices = field.metadata.get("choices")
        file = field.metadata.get("or_file")
        if file and file in str(value).lower():
            continue
        if choices and value is not None and str(value) not in choices():
            raise KitError(unknown(f"value for {flag_of(field)}", str(value), choices()))
        check = field.metadata.get("check")
        if check and value is not None:
            check(value)
    return cls(**values)


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Read a TOML file; `what` names its kind in the error.

    Raises:
        KitError: it cannot be read, is no text, or is no TOML.
    """
    return parse_toml(read_text(path, what), str(path), f"mend {what}")


def as_dict(options: Any) -> dict[str, Any]:
    """Return the options as plain values (paths as text), fit for JSON and for a TOML file."""
    return {name: _plain(value) for name, value in dataclasses.asdict(options).items()}


def flag_of(field: dataclasses.Field) -> str:
    """Name a field as the user types it."""
    return (
        field.name.upper()
        if field.metadata.get("argument")
        else "--" + field.name.replace("_", "-")
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _read(cls: type, config: Path) -> dict[str, Any]:
    return typed(cls, read_toml(config, "the config"), str(config))


def typed(cls: type, raw: dict[str, Any], where: str) -> dict[str, Any]:
    """Turn plain values of a TOML file into those of an options dataclass, by name.

    Raises:
        KitError: unknown key, one option under two names, or wrong type; names `where` and the key.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}
    values = {}
    for name, value in under_current_names(cls, raw, where).items():
        if name not in fields:
            raise KitError(f"{where}: {unknown('key', name, sorted(fields))}")
        values[name] = _cast(fields[name].type, value, f"{where}: key {shown(name)}")
    return values


def _cast(hint: Any, value: Any, where: str) -> Any:
    kinds = [
        kind
        for kind in (typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,))
        if kind is not type(None)
    ]
    for kind in kinds:
        if typing.get_origin(kind) is list and isinstance(value, list):
            return [_cast(typing.get_args(kind)[0], item, where) for item in value]
        if kind is Path and isinstance(value, str) and is_text(value):
            return Path(value)
        if kind is float and type(value) in (int, float) and abs(value) < NUMBER:
            return float(value)
        if kind is not float and type(value) is kind and _is_usable(value):
            return value
    wanted = " or ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
    if float in kinds and isinstance(value, int | float) and not isinstance(value, bool):
        wanted = "a finite number"
    raise KitError(f"{where}: expected {wanted}, found {shown(value)}")


def _is_usable(value: Any) -> bool:
    """Whether a text can be a name or a path, and a whole number one that numpy and torch can
    hold.
    """
    if isinstance(value, str):
        return is_text(value)
    return not isinstance(value, int) or abs(value) <= WHOLE
