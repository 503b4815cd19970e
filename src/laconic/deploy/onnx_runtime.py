"""Layers in onnxruntime: each is a model of one operation; what a run of a model takes beside it is told apart."""

from collections.abc import Iterator
from itertools import count
from typing import Any, final

import numpy as np
import onnxruntime
from onnx import ModelProto, TensorProto, helper, numpy_helper

from laconic.csteps.layers import Layer
from laconic.csteps.profile import Setting
from laconic.deploy.runtimes import Run, Runtime, side

_OPSET, _IR = 17, 8


@final
class OnnxRuntime(Runtime):
    """Layers as models on the CPU.

    Rows are Gemm and Conv with the weight as torch has it, columns a MatMul with Wᵀ, tiles several of them and a
    Concat. It has no convolution of Wᵀ and none with channels last.
    """

    name = "onnxruntime"
    version = onnxruntime.__version__

    def prepared(self, layer: Layer, setting: Setting, batch: int) -> Run | None:
        """Return a run of the model of a layer."""
        if layer.kind != "dense" and setting.layout in ("columns", "channels_last"):
            return None
        flat = [batch * layer.positions, layer.inputs]
        shape = flat if layer.kind == "dense" else [batch, layer.inputs, side(layer), side(layer)]
        return _run(_model(list(_nodes(layer, setting)), shape), shape, setting.threads)

    def empty(self) -> Run | None:
        """Return a run of a model that hands on one number."""
        return _run(_model([helper.make_node("Identity", ["x"], ["y"])], [1]), [1], 1)


def _run(model: ModelProto, shape: list[int], threads: int) -> Run:
    """Return a run of ``model`` on an input of ``shape``."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    given = {"x": np.random.default_rng(0).random(shape, np.float32)}
    return lambda: session.run(None, given)


def _model(nodes: list[Any], shape: list[int]) -> ModelProto:
    """Return the model x → y of nodes; arrays among them are its weights."""
    weights = [numpy_helper.from_array(array, name) for name, array in (n for n in nodes if isinstance(n, tuple))]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in (("x", shape), ("y", None))]
    operations = [node for node in nodes if not isinstance(node, tuple)]
    graph = helper.make_graph(operations, "layer", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)


def _nodes(layer: Layer, setting: Setting) -> Iterator[Any]:
    """Give the operations of a layer, and its weights as (name, array)."""
    if layer.kind == "elementwise":
        yield helper.make_node("Relu", ["x"], ["y"])
    elif layer.kind == "pooling":
        yield helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])
    elif layer.kind == "normalization":
        names = ["scale", "shift", "mean", "var"]
        yield from ((name, np.ones(layer.inputs, np.float32)) for name in names)
        yield helper.make_node("BatchNormalization", ["x", *names], ["y"])
    else:
        sizes = [layer.outputs]
        if setting.tile:
            sizes = [min(setting.tile, layer.outputs - start) for start in range(0, layer.outputs, setting.tile)]
        outputs = ["y"] if len(sizes) == 1 else [f"y{number}" for number in range(len(sizes))]
        for number, size, output in zip(count(), sizes, outputs):
            yield from _product(layer, size, setting.layout, str(number), output)
        if len(sizes) > 1:
            yield helper.make_node("Concat", outputs, ["y"], axis=1)


def _product(layer: Layer, outputs: int, layout: str, mark: str, output: str) -> Iterator[Any]:
    """Give a product with its weight and bias."""
    weight, bias, random = f"w{mark}", f"b{mark}", np.random.default_rng(0)
    yield bias, np.zeros(outputs, np.float32)
    if layer.kind != "dense":
        shape = (outputs, layer.inputs // layer.groups, *layer.kernel)
        yield weight, random.random(shape, np.float32)
        yield helper.make_node("Conv", ["x", weight, bias], [output], group=layer.groups, auto_pad="SAME_UPPER")
    elif layout == "columns":
        yield weight, random.random((layer.inputs, outputs), np.float32)
        yield helper.make_node("MatMul", ["x", weight], [f"p{mark}"])
        yield helper.make_node("Add", [f"p{mark}", bias], [output])
    else:
        yield weight, random.random((outputs, layer.inputs), np.float32)
        yield helper.make_node("Gemm", ["x", weight, bias], [output], transB=1)
