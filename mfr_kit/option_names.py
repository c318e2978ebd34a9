"""What an option was called before: files, flags and records of an earlier kit are still
understood.
"""

import dataclasses
from typing import Any

from mfr_kit.errors import KitError
from mfr_kit.records import shown


def former_names(cls: type) -> dict[str, str]:
    """Map the options' former names, and those of other commands, to those they have, with `_`."""
    return {
        field.metadata[kind]: field.name
        for field in dataclasses.fields(cls)
        for kind in ("formerly", "also")
        if field.metadata.get(kind)
    }


def under_current_names(cls: type, raw: dict[str, Any], where: str) -> dict[str, Any]:
    """Put the values of a file under the names that the options have: `_` for `-`, and the current
    name for a former one. Keys that are no option stay as they are.

    Raises:
        KitError: an option is there under two names; names `where` and both.
    """
    former = former_names(cls)
    known = {field.name for field in dataclasses.fields(cls)}
    values: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    for key, value in raw.items():
        dashless = key.replace("-", "_")
        name = former.get(dashless, dashless)
        name = name if name in known else key
        if name in values:
            raise KitError(
                f"{where}: {shown(spelled[name])} and {shown(key)} are the same option: give it "
                f"once, as '{name}'"
            )
        values[name], spelled[name] = value, key
    return values


def first_name(field: dataclasses.Field) -> str:
    """Name an option as digests do, which outlast a renaming: by its former name if it has one."""
    return field.metadata.get("formerly") or field.name
