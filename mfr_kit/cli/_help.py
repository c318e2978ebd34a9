"""Help pages in sections, as wide as the terminal, and the right word for a mistyped option.

Plain text: loading rich to draw boxes takes longer than everything else together.
"""

import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from mfr_kit import console
from mfr_kit.errors import KitError
from mfr_kit.option_names import former_names
from mfr_kit.registry import nearest

CALLED = "kit.py"  # the program's name in texts
WIDE = 10_000  # columns: no limit but the terminal's
PANELS = ["Set up", "Data", "Train", "Measure", "Submit"]  # in the order of the work
Rows = dict[str, list[tuple[str, str]]]  # of a page, by heading


def program() -> str:
    """Name the program as it was called: `kit.py`, `mfr-kit` or `python -m mfr_kit`."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py" and called.parent.name == "mfr_kit":
        return "python -m mfr_kit"
    return "mfr-kit" if called.stem == "mfr-kit" else CALLED


def as_called(text: str) -> str:
    """Put the program's name as it was called where a text names a command."""
    if program() == CALLED:
        return text
    return re.sub(rf"`(python )?{re.escape(CALLED)} ", f"`{program()} ", text)


class Command(TyperCommand):
    """A command whose options stand in the sections that they declare."""

    @property
    def fields(self) -> dict[str, dataclasses.Field]:
        """Its options by name; none where it is not made of an options class."""
        cls = getattr(self.callback, "options_class", None)
        return {field.name: field for field in dataclasses.fields(cls)} if cls else {}

    @property
    def former_names(self) -> dict[str, str]:
        """Its options' former names, with `_`, and the names they have."""
        cls = getattr(self.callback, "options_class", None)
        return former_names(cls) if cls else {}

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Name what must be given, and say that there are options."""
        pieces = []
        for parameter in self.get_params(ctx):
            field = self.fields.get(parameter.name or "")
            required = field is not None and field.default is dataclasses.MISSING
            if parameter.param_type_name == "argument":
                many = "..." if parameter.nargs != 1 else ""
                name = (parameter.name or "").upper()
                needed = parameter.required if field is None else required
                pieces.append(f"{name}{many}" if needed else f"[{name}]{many}")
            elif required:
                pieces.append(f"{parameter.opts[0]} {(parameter.name or '').upper()}")
        return [*pieces, "[OPTIONS]"]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options by section, in the order in which the sections are declared."""
        rows: Rows = {"Arguments": []}
        for field in self.fields.values():
            rows.setdefault(field.metadata["section"] or "Options", [])
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            known = self.fields.get(parameter.name or "")
            section = known.metadata["section"] if known else ""
            if record is None:
                continue
            if parameter.param_type_name == "argument":
                section = "Arguments"
            rows.setdefault(section or "Options", []).append((record[0], as_called(record[1])))
        rows["Console"] = list(console.FLAGS.items())
        write_sections(rows, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Understand `_` for `-` and options' former names; say which option was meant."""
        flags = [item for item in self.get_params(ctx) if item.param_type_name == "option"]
        known = {name for item in flags for name in (*item.opts, *item.secondary_opts)}
        former = {
            f"--{prefix}{old.replace('_', '-')}": f"--{prefix}{name.replace('_', '-')}"
            for old, name in self.former_names.items()
            for prefix in ("", "no-")
        }
        _refuse_both(args, former)
        try:
            return super().parse_args(ctx, [_as_known(word, known, former) for word in args])
        except TyperException as error:
            name = getattr(error, "option_name", None)
            if type(error).__name__ != "NoSuchOption" or not name:
                raise
            place = name.strip("-").replace("-", "_")
            if place in {item.name for item in self.get_params(ctx) if item not in flags}:
                raise KitError(
                    f"{ctx.command_path} takes {place.upper()} without a flag: give it without "
                    f"{name}"
                ) from None
            near = nearest(name, sorted(known | console.NAMES))
            guess = f": did you mean {near}?" if near else ""
            raise KitError(
                f"{ctx.command_path} has no option {name}{guess} `{ctx.command_path} --help` "
                "lists its options"
            ) from None


def _refuse_both(args: list[str], former: dict[str, str]) -> None:
    typed = {word.partition("=")[0].replace("_", "-") for word in args if word.startswith("--")}
    for old, flag in former.items():
        if {old, flag} <= typed:
            raise KitError(f"{old} and {flag} are the same option: give it once, as {flag}")


def _as_known(word: str, known: set[str], former: dict[str, str]) -> str:
    name, equals, value = word.partition("=")
    if not name.startswith("--") or name in known:
        return word
    dashed = name.replace("_", "-")
    dashed = former.get(dashed, dashed)
    return f"{dashed}{equals}{value}" if dashed in known else word


class Group(TyperGroup):
    """A group whose commands stand under the panels that they name."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands by panel, then the options of the program itself."""
        rows: Rows = {panel: [] for panel in PANELS}
        for name, entry in self.commands.items():
            if not entry.hidden:
                panel = getattr(entry, "rich_help_panel", None)
                heading = panel if isinstance(panel, str) else "Commands"
                rows.setdefault(heading, []).append((name, summary(entry.help or "")))
        records = [parameter.get_help_record(ctx) for parameter in self.get_params(ctx)]
        rows["Options"] = [record for record in records if record]
        write_sections(rows, formatter)


def summary(text: str) -> str:
    """Return the first paragraph of a docstring as one line."""
    return as_called(" ".join(text.strip().split("\n\n")[0].split()))


def write_sections(rows: Rows, formatter: Any) -> None:
    """Write a page's rows under their headings; empty sections are left out."""
    for heading, entries in rows.items():
        if entries:
            with formatter.section(heading):
                formatter.write_dl(entries)


class App(typer.Typer):
    """A Typer whose pages are those of this file."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(cls=Group, no_args_is_help=True, rich_markup_mode=None, **settings)

    def command(self, *names: Any, **settings: Any) -> Any:
        """Register a command with a page in sections."""
        return super().command(*names, **{"cls": Command, **settings})
