"""A detector's ONNX with a free batch, whatever its file says of it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mfr_kit import providers
from mfr_kit.providers import Provider

if TYPE_CHECKING:
    import onnx


def open_free(model: "onnx.ModelProto", provider: Provider | None, sides: bool = False) -> Any:
    """Open a model for batches of any size: what computes it seldom depends on that.

    Args:
        model: changed in place.
        provider: where it runs; None for the CPU, on one thread.
        sides: free height and width of the input, too.
    Returns:
        an `onnxruntime.InferenceSession`.
    Raises:
        KitError: the provider cannot be started. onnxruntime raises its own where the graph needs
            its batch.
    """
    import onnxruntime

    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[0].dim_param = "batch"
    if sides:
        dims[2].dim_param, dims[3].dim_param = "height", "width"
    for output in model.graph.output:
        for side in output.type.tensor_type.shape.dim[:-1]:
            side.Clear()
    del model.graph.value_info[:]
    _free_reshapes(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = providers.ERROR
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=providers.in_order(provider)
    )
    if provider is not None:
        providers.refuse_fallback(session, provider)
    return session


def _free_reshapes(model: "onnx.ModelProto") -> None:
    """Let every Reshape to (1, -1, width) keep the batch of its input."""
    from onnx import numpy_helper

    constants = {item.name: item for item in model.graph.initializer}
    constants |= {
        node.output[0]: entry.t
        for node in model.graph.node
        if node.op_type == "Constant"
        for entry in node.attribute
        if entry.name == "value"
    }
    for node in model.graph.node:
        shape = constants.get(node.input[1]) if node.op_type == "Reshape" else None
        sides = np.zeros(0) if shape is None else numpy_helper.to_array(shape)
        if shape is not None and len(sides) == 3 and sides[0] == 1 and sides[1] == -1:
            free = np.array([0, *sides[1:]], np.int64)
            shape.CopyFrom(numpy_helper.from_array(free, shape.name))
