"""Names for the constants of somebody's graph that a person can read and that stay the same: the
file's own where it has any, else the nodes'.
"""

import re
from collections.abc import Collection
from typing import TYPE_CHECKING

from mfr_kit.models.onnx_models.onnx_file import printable

if TYPE_CHECKING:
    import onnx

# what exporters call a constant that had no name: `onnx::Conv_529`, `641`, `/Constant_3_output_0`
MADE_UP = re.compile(r".*::.*|\d+|.*Constant(_\d+)?_output_\d+|.*_output_\d+|.*:\d+")
ROLES = {
    "Conv": ("", "weight", "bias"),
    "Gemm": ("weight", "weight", "bias"),
    "MatMul": ("weight", "weight"),
    "PRelu": ("", "weight"),
    "BatchNormalization": ("", "weight", "bias", "running_mean", "running_var"),
    "LayerNormalization": ("", "weight", "bias"),
    "InstanceNormalization": ("", "weight", "bias"),
}


def rename_constants(graph: "onnx.GraphProto") -> dict[str, str]:
    """Rename the float constants of a graph in place: `conv1.weight`, `features.1.conv.0.weight`.

    Returns:
        new names by the old ones.
    """
    held = {item.name for item in graph.initializer if item.data_type == 1}
    taken = {value for node in graph.node for value in (*node.input, *node.output)} - held
    renamed: dict[str, str] = {}
    for at, node in enumerate(graph.node, start=1):
        own = _module_of(node.name, node.op_type) or f"{node.op_type.lower()}_{at}"
        for place, entry in enumerate(node.input):
            if entry not in held or entry in renamed:
                continue
            roles = ROLES.get(node.op_type, ())
            role = roles[place] if place < len(roles) else "value"
            is_own = MADE_UP.fullmatch(entry) is None and printable(entry) == entry
            renamed[entry] = _free(entry if is_own else f"{own}.{role}", taken)
            taken.add(renamed[entry])
    for node in graph.node:
        node.input[:] = [renamed.get(entry, entry) for entry in node.input]
    for item in graph.initializer:
        item.name = renamed.get(item.name, item.name)
    return renamed


def _module_of(name: str, kind: str) -> str:
    """The module that torch's exporter names in a node: `features.1.conv.0` of
    `/features/features.1/conv/conv.0/Conv`; others' names as they are.
    """
    parts = [part for part in printable(name).split("/") if part]
    if len(parts) > 1 and re.fullmatch(rf"{kind}(_\d+)?", parts[-1]):
        parts.pop()
    kept: list[str] = []
    for part in parts:
        if kept and part.startswith(f"{kept[-1]}."):
            kept.pop()
        kept.append(part)
    return ".".join(kept)


def _free(name: str, taken: Collection[str]) -> str:
    count, free = 1, name
    while free in taken:
        count += 1
        stem, dot, last = name.rpartition(".")
        free = f"{stem}_{count}{dot}{last}" if dot else f"{name}_{count}"
    return free
