"""Subsampled maps in a graph as a pooling of one position, which onnxruntime runs in the layout of convolutions.

    x[:, :, ::s, ::t]  =  MaxPool(x), kernel 1 × 1, strides s × t        exactly

A Slice makes it turn the whole map into the plain layout first; a residual network does so at each shortcut.
"""

import onnx
from onnx import helper, numpy_helper

_ALL = 1 << 31
"""From here on the end of a slice is that of any map."""


def pooled(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with pairs of slices along height and width as one pooling; it is changed in place.

    Args:
        graph: of floats of 32 bits, whose maps have the axes (samples, channels, height, width).
    """
    constants = {one.name: numpy_helper.to_array(one) for one in graph.graph.initializer if one.data_type == 7}
    shown = {one.name for one in graph.graph.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def step(node: onnx.NodeProto, axis: int) -> int | None:
        if node.op_type != "Slice" or len(node.input) != 5 or any(name not in constants for name in node.input[1:]):
            return None
        start, end, along, by = (constants[name].reshape(-1) for name in node.input[1:])
        whole = len(start) == 1 and start[0] == 0 and end[0] >= _ALL and along[0] == axis and by[0] >= 1
        return int(by[0]) if whole else None

    for first in list(graph.graph.node):
        following = readers.get(first.output[0], []) if step(first, 2) else []
        if len(following) == 1 and step(following[0], 3) and first.output[0] not in shown:
            second = following[0]
            strides = [step(first, 2), step(second, 3)]
            node = helper.make_node(
                "MaxPool", [first.input[0]], [second.output[0]], kernel_shape=[1, 1], strides=strides, name=second.name
            )
            graph.graph.node.insert(list(graph.graph.node).index(second), node)
            graph.graph.node.remove(first)
            graph.graph.node.remove(second)
    return graph
