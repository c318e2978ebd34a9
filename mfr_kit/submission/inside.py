"""What a graph computes on its way: values and shapes of inner tensors, observed by running it
on one face.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from mfr_kit.errors import KitError
from mfr_kit.models.onnx_models import onnx_file, runtime
from mfr_kit.models.onnx_models.signature import read_signature
from mfr_kit.submission.rules import Subject

SHAPE_OF = "shape of "  # names of the outputs that are added


@dataclass(frozen=True)
class Observed:
    """Inner tensors by name; what could not be observed is missing. `batch` faces were fed."""

    values: dict[str, np.ndarray]
    shapes: dict[str, list[int]]
    batch: int = 1


def observe(subject: Subject, values: set[str], shapes: set[str]) -> Observed:
    """Run a copy of the model that gives some of its inner tensors.

    Args:
        subject: the model; its constants are in the answer anyway.
        values: names of tensors whose values are wanted, indices and the like.
        shapes: names of tensors of which only the shape is wanted.
    Returns:
        What was seen: the constants alone where nothing is wanted, or where the model does not run.
    """
    plain = Observed(dict(subject.constants), {})
    if not (values or shapes) or subject.session is None:
        return plain
    proto = onnx_file.load_with_weights(subject.path)
    if proto is None:
        return plain
    asked = _add_outputs(proto, values, shapes)
    try:
        session = runtime.open_session(proto.SerializeToString())
        signature = read_signature(session, str(subject.path), proto.graph.output[0].name)
        batch = signature.batch or 1
        feeds = signature.feed(np.zeros((batch, 112, 112, 3), np.uint8), "minus1_to_1")
        found = dict(zip(asked, runtime.run(session, asked, feeds, "the model"), strict=True))
    except (KitError, ValueError):  # ValueError: protobuf's, above 2 GiB
        return plain
    known = {name: found[name] for name in asked if not name.startswith(SHAPE_OF)}
    return Observed(
        {**known, **subject.constants},
        {name: found[f"{SHAPE_OF}{name}"].tolist() for name in sorted(shapes)},
        batch,
    )


def _add_outputs(proto: onnx.ModelProto, values: set[str], shapes: set[str]) -> list[str]:
    graph = proto.graph
    present = {item.name for item in graph.output}
    graph.node.extend(
        helper.make_node("Shape", [name], [f"{SHAPE_OF}{name}"]) for name in sorted(shapes)
    )
    asked = [*sorted(values), *(f"{SHAPE_OF}{name}" for name in sorted(shapes))]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in asked if name not in present)
    return asked
