"""Fuzz what reads other people's ONNX files: `python tests/fuzz_onnx.py [INPUTS] [SEED] [FOLDER]`;
by default 3,500.

Small models are mutated, as bytes and as protobufs (fields dropped, doubled, emptied, set to
telling values), and go through `check` and through what `evaluate` does to open and run a
recogniser. Allowed outcomes: rows, embeddings or a KitError of one line. Anything else, or an input
that takes over 30 seconds, ends up in FOLDER and in exit code 1. Inputs run in child processes of
limited memory: one that makes onnxruntime itself crash or ask for gigabytes is counted apart, as it
needs a sandbox and no mending here.
"""

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from onnx import TensorProto, helper, numpy_helper

from mfr_kit.adapt import append
from mfr_kit.errors import KitError
from mfr_kit.models.onnx_models.onnx_embedder import OnnxEmbedder
from mfr_kit.submission import check
from tests import fuzz_children
from tests.models import odd_onnx

INTEGERS = [0, 1, -1, 2, 3, 7, 16, 112, 127, 255, 1 << 20, (1 << 31) - 1, -(1 << 31)]
TEXTS = ["", "data", "emb", "w", "\0", "..", "../x", "a\nb", "x" * 300, "Gather", "If", "é", "{"]
FACES = np.zeros((3, 112, 112, 3), np.uint8)
TRACKS = ("ms1m", "unconstrained", "cfat", "webface260m")


def seeds(folder: Path) -> list[bytes]:
    """Return small valid models that use what the checks look at."""
    lineage = {
        "mfr_kit.lineage": '{"training_sets": [{"name": "a", "people": 3}], "teacher": null}'
    }
    known = {"mfr_kit.normalisation": "minus1_to_1", **lineage}
    order = numpy_helper.from_array(np.arange(111, -1, -1), "order")
    count = numpy_helper.from_array(np.array([1, 1, 1, 1]), "count")
    slope = numpy_helper.from_array(np.zeros((odd_onnx.D, 1, 1), np.float32), "s")
    norm = [numpy_helper.from_array(np.ones(odd_onnx.D, np.float32), name) for name in "abcd"]
    turned = [
        helper.make_node("Gather", ["data", "order"], ["turned"], "turn", axis=3),
        helper.make_node("Tile", ["turned", "count"], ["tiled"], "tile"),
        helper.make_node("Concat", ["tiled", "data"], ["six"], "join", axis=1),
        helper.make_node("Slice", ["six", "from", "to", "axis"], ["three"], "cut"),
    ]
    limits = [
        numpy_helper.from_array(np.array([v]), n) for n, v in (("from", 0), ("to", 3), ("axis", 1))
    ]
    made = [
        odd_onnx.write(folder / "s.onnx", metadata=known).read_bytes(),
        odd_onnx.write(folder / "s.onnx", metadata=known, **odd_onnx.reshape(-1, 8)).read_bytes(),
        odd_onnx.write(folder / "s.onnx", **odd_onnx.cast_first(TensorProto.UINT8)).read_bytes(),
        odd_onnx.write(folder / "s.onnx", metadata=known, kind=TensorProto.FLOAT16).read_bytes(),
        odd_onnx.write(
            folder / "s.onnx",
            metadata=known,
            nodes=odd_onnx.body(activation="PRelu", slopes=["s"]) + odd_onnx.FLATTEN,
            constants=[slope],
        ).read_bytes(),
        odd_onnx.write(
            folder / "s.onnx",
            metadata=known,
            nodes=odd_onnx.body(activation="BatchNormalization", slopes="abcd") + odd_onnx.FLATTEN,
            constants=norm,
        ).read_bytes(),
        odd_onnx.write(
            folder / "s.onnx",
            metadata=known,
            nodes=[*turned, *odd_onnx.body("three"), *odd_onnx.FLATTEN],
            constants=[order, count, *limits],
        ).read_bytes(),
    ]
    return [thinned(data) for data in made]


def thinned(data: bytes) -> bytes:
    """Give the convolution smaller weights, so that mutations meet the structure and not only
    numbers.
    """
    model = onnx.load_from_string(data)
    for tensor in model.graph.initializer:
        if tensor.name == "w":
            values = numpy_helper.to_array(tensor)[:, :, :2, :2]
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), "w"))
    return model.SerializeToString()


def mutate(data: bytes, draw: random.Random) -> bytes:
    """Change a model as a protobuf, as bytes, or both."""
    kind = draw.randrange(4)
    if kind:
        model = onnx.load_from_string(data)
        for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
            change_field(model, draw)
        data = model.SerializeToString()
    return change_bytes(data, draw) if kind in (0, 3) else data


def change_field(model: onnx.ModelProto, draw: random.Random) -> None:
    """Drop, double, empty or overwrite one field somewhere in the tree."""
    messages = list(every_message(model))
    message = draw.choice(messages)
    fields = message.DESCRIPTOR.fields
    present = [field for field, _ in message.ListFields()]
    field = draw.choice(present if present and draw.random() < 0.7 else fields)
    values = getattr(message, field.name)
    if not field.is_repeated:
        if field.type == FieldDescriptor.TYPE_MESSAGE or draw.random() < 0.3:
            message.ClearField(field.name)
        else:
            setattr(message, field.name, telling(field, draw))
        return
    what = draw.randrange(4)
    if what == 0:
        message.ClearField(field.name)
    elif len(values) and what == 1:
        del values[draw.randrange(len(values))]
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        new = values.add()
        if len(values) > 1 and what == 2:
            new.CopyFrom(values[draw.randrange(len(values) - 1)])
    elif len(values) and what == 2:
        values[draw.randrange(len(values))] = telling(field, draw)
    else:
        values.append(telling(field, draw))


def every_message(message):
    """Yield a message and all below it."""
    yield message
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for child in value if field.is_repeated else [value]:
                yield from every_message(child)


def telling(field: FieldDescriptor, draw: random.Random):
    """A value that a careless reader stumbles over, of the field's type."""
    kind = field.cpp_type
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes(draw.randrange(256) for _ in range(draw.choice((0, 1, 3, 40))))
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return draw.choice(TEXTS)
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return draw.choice((0.0, -1.0, 1e30, float("nan"), float("inf")))
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return draw.choice(list(field.enum_type.values_by_number))
    if kind in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64):
        return draw.choice([value for value in INTEGERS if value >= 0])
    return draw.choice(INTEGERS)


def change_bytes(data: bytes, draw: random.Random) -> bytes:
    """Overwrite, cut, insert or move bytes."""
    data = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 4))):
        at, kind = draw.randrange(len(data) + 1), draw.randrange(5)
        if kind == 0:
            data[at : at + 1] = bytes([draw.randrange(256)])
        elif kind == 1:
            del data[at : at + draw.choice((1, 2, 8, 60))]
        elif kind == 2:
            data[at:at] = bytes(draw.randrange(256) for _ in range(draw.choice((1, 2, 5))))
        elif kind == 3:
            start = draw.randrange(len(data) + 1)
            data[at:at] = data[start : start + draw.choice((4, 16, 60))]
        elif draw.random() < 0.3:
            del data[at:]
    return bytes(data)


def read(path: Path, number: int) -> None:
    """Everything that commands do with a model of somebody else."""
    track = TRACKS[number % len(TRACKS)]
    rows = check.check(path, track, latency=False)
    check.table(rows)
    check.to_json(path, track, rows)
    for row in rows:
        for text in (row.rule, row.limit, row.found, row.note):
            text.encode()
            assert "\n" not in text, f"two lines in a row: {row}"
    try:
        embedder = OnnxEmbedder(path, None if number % 2 else "minus1_to_1")
        embedder.embed(FACES)
        append.graph_of(embedder)
    except KitError as error:
        assert "\n" not in str(error), f"two lines: {error}"
        raise


def main(given: list[str]) -> int:
    return fuzz_children.main(given, 3500, "fuzz-onnx", seeds, mutate, read)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
