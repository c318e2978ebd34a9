"""What an embedding depends on, in one place: every name of stored embeddings, and every check of
them, is derived from this.

Of the model: its weights with all files that hold some, how pixels become its input
(`--normalisation`, and the version of models/preprocess.py), which of its outputs is taken, the
architecture, and the kind of device, whose results differ in the last digits. Of the pictures:
their fingerprint, which follows the images' bytes. And whether the mirrored face was added, or kept
beside it. The number of threads and of faces a call is left out: they change no more than rounding.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from mfr_kit import assets
from mfr_kit.errors import KitError
from mfr_kit.models import input_format, preprocess
from mfr_kit.models.spec import ADAPTED, ASSET_NORMALISATION, parse_specs

FORMAT = 2  # change it when the meaning of the stored numbers changes


def describe_model(embedder) -> dict[str, Any]:
    """Say what a model's embeddings depend on, by name; of an ensemble, of every member in its
    order.

    Args:
        embedder: from `load_embedder`, or anything with `fingerprint` and `embedding_size`; what it
            does not say has its usual value.
    """
    members = getattr(embedder, "members", None)
    if members:
        return {"ensemble": [describe_model(member) for member in members]}
    precision = getattr(embedder, "precision", "float32")
    return {
        "weights": embedder.fingerprint,
        "normalisation": getattr(embedder, "normalisation", input_format.USUAL),
        "output": getattr(embedder, "output", None),
        "architecture": getattr(embedder, "architecture", None),
        "embedding_size": embedder.embedding_size,
        "device": getattr(embedder, "device", "cpu"),
        **({} if precision == "float32" else {"precision": precision}),
    }


def describe(embedder, pictures, mirrored: str) -> dict[str, Any]:
    """Say what a model's embeddings of some pictures depend on.

    Args:
        embedder: see `describe_model`.
        pictures: a face set or what else has `fingerprint` and a length.
        mirrored: what is done with the mirrored face: "left out", "added" or "beside".
    """
    return {
        "format": FORMAT,
        "preprocessing": preprocess.VERSION,
        "model": describe_model(embedder),
        "pictures": pictures.fingerprint,
        "rows": len(pictures),
        "mirrored": mirrored,
    }


def digest(described: dict[str, Any]) -> str:
    """SHA-256, in hex, of what `describe` or `describe_model` says: equal exactly where the
    embeddings are.
    """
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def fingerprint_files(text: str) -> str:
    """SHA-256 over the weights files of what a user wrote for a model, without loading it.

    Raises:
        KitError: a file is not there, or cannot be read.
    """
    digests = []
    for place, normalisation in parse_specs(text):
        path = assets.path(place) if place in ASSET_NORMALISATION else Path(place)
        if path.is_dir():
            names = (path / "student.pt", path / ADAPTED)
            path = next((name for name in names if name.is_file()), names[0])
        try:
            found = fingerprint_onnx(path) if path.suffix == ".onnx" else assets.sha256_of(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise KitError(f"model {place}: cannot read {path}: {reason}") from None
        digests.append(f"{found} {normalisation}")
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def fingerprint_onnx(path: Path) -> str:
    """SHA-256 of an ONNX file; where it keeps weights in other files, of its own SHA-256 and of
    theirs.
    """
    own = assets.sha256_of(path)
    others = external_files(path)
    if not others:
        return own
    lines = [own] + [f"{name} {assets.sha256_of(path.parent / name)}" for name in others]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def external_files(path: Path) -> list[str]:
    """Name the files, relative to its folder, in which an ONNX file keeps weights; none where it
    cannot be parsed.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        proto = onnx.load(str(path), load_external_data=False)
    except (OSError, DecodeError):
        return []
    names = {
        entry.value
        for tensor in _tensors(proto.graph)
        for entry in tensor.external_data
        if entry.key == "location" and tensor.data_location == onnx.TensorProto.EXTERNAL
    }
    return sorted(name for name in names if (path.parent / name).is_file())


def _tensors(graph):
    """Yield every tensor that a graph stores, those of its nodes' inner graphs too."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in ([attribute.g] if attribute.HasField("g") else []) + [*attribute.graphs]:
                yield from _tensors(inner)
