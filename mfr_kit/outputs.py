"""What a command writes, looked at before it begins: nothing that is there is replaced unasked, and
nothing that the command reads is replaced at all.
"""

import dataclasses
import fnmatch
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mfr_kit.errors import KitError
from mfr_kit.leftovers import remove_leftovers
from mfr_kit.options import flag_of, option
from mfr_kit.paths import check_output, is_device, refuse_existing
from mfr_kit.system_errors import shown


class Output(NamedTuple):
    """A path that a command writes: its kind ("file" or "folder"), how the user gave it, and
    whether the command goes on with what lies there.
    """

    path: Path
    kind: str
    flag: str
    grows: bool = False


def force_option(section: str = "") -> Any:
    """Declare `--force`, for the classes of commands whose output can be made again."""
    return option(
        False,
        help="Replace what lies there; never what the command reads.",
        affects="machine",
        section=section,
    )


def check_outputs(options: Any) -> None:
    """Refuse options that name an output on which the work would end (paths.py), that exists, or
    that is one of their inputs; clear away what killed commands left there. A dry run writes
    nothing.

    An options class says with `writes` (and `grows`) what it writes; what has no option of its own
    comes from its method `outputs`. With `force` set what exists may be replaced.

    Raises:
        KitError: an output that exists, lies below a file, cannot be written, or is an input.
    """
    if getattr(options, "dry_run", False):
        return
    for output in _outputs(options):
        path, kind, flag, grows = output
        check_output(path, kind, flag)  # type: ignore[arg-type]
        remove_leftovers(path.parent)
        if kind == "folder":
            remove_leftovers(path)
        if grows or is_device(path):
            continue
        _refuse_input(output, options)
        if getattr(options, "force", None) is None:
            refuse_existing(path, flag)
        elif not options.force:
            refuse_existing(path, flag, "choose another name, or replace it with --force")


def _outputs(options: Any) -> Iterator[Output]:
    for field in dataclasses.fields(options):
        path, kind = getattr(options, field.name), field.metadata.get("writes")
        if kind and path is not None:
            yield Output(path, kind, flag_of(field), field.metadata["grows"])
    yield from getattr(options, "outputs", tuple)()


def _refuse_input(output: Output, options: Any) -> None:
    """Refuse an output that is an input, or an existing file of an input folder that is read from
    it.
    """
    real = os.path.realpath(output.path)
    for field in dataclasses.fields(options):
        reads = field.metadata["reads"]
        if field.metadata["writes"] or not reads:
            continue
        for source in _places(getattr(options, field.name)):
            given = os.path.realpath(source)
            inside = os.path.dirname(real) == given or real.startswith(given + os.sep)
            part = os.path.basename(real)
            is_part = (
                output.kind == "file"
                and inside
                and os.path.isfile(real)
                and any(fnmatch.fnmatchcase(part, pattern) for pattern in reads)
            )
            if real == given or is_part:
                what = flag_of(field) if real == given else f"a file of {flag_of(field)}"
                raise KitError(
                    f"{output.flag} {shown(output.path)} is {what}, which the command reads: "
                    "choose another name"
                )


def _places(value: Any) -> Iterator[Path]:
    """The paths that exist among an option's values; a name without folder or suffix is a name."""
    for item in value if isinstance(value, list | tuple) else (value,):
        if isinstance(item, Path):
            yield item
        elif isinstance(item, str) and (os.sep in item or "." in item):
            for text in {item, item.rpartition(":")[0]} - {""}:  # MODEL.onnx:imagenet
                if os.path.exists(text):
                    yield Path(text)
