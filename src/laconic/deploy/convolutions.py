"""Convolutions of a graph in 8 bits: weights and activations, whose ranges are those of some inputs.

onnxruntime's own quantizer does it: pairs of QuantizeLinear and DequantizeLinear around each operator, activations
unsigned (their zero point is 0 after a ReLU, without which nothing is fused), weights with a scale for each filter.
Where the file has integers of its own, these take the place of those that the quantizer has made.
"""

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from laconic.deploy.graph import quietly
from laconic.deploy.integers import Integers

_OPERATORS = ["Conv", "Relu", "Clip", "Add", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat"]
"""In 8 bits: convolutions, and what lies between them."""


@final
class _Reader(CalibrationDataReader):  # type: ignore[misc]  # has no types
    """Inputs by the names of the graph, one call after the other."""

    def __init__(self, feeds: Sequence[dict[str, np.ndarray]]) -> None:
        self._feeds: Iterator[dict[str, np.ndarray]] = iter(feeds)

    def get_next(self) -> Any:
        """Return the next inputs, or None."""
        return next(self._feeds, None)


def convolutions(graph: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Return the kernels of a graph's convolutions by name, float32."""
    constants = {one.name: one for one in graph.graph.initializer}
    names = [node.input[1] for node in graph.graph.node if node.op_type == "Conv" and node.input[1] in constants]
    return {name: numpy_helper.to_array(constants[name]) for name in names}


def quantized(
    graph: onnx.ModelProto, feeds: Sequence[dict[str, np.ndarray]], kept: Mapping[str, Integers], left: Collection[str]
) -> onnx.ModelProto:
    """Return the graph with its convolutions, and what lies between them, in 8 bits.

    Args:
        graph: with convolutions; it stays as it is.
        feeds: inputs by name, whose activations tell the ranges.
        kept: kernels whose integers are those of the file; the graph has them times a scale for each filter, into
            which normalization may have gone.
        left: kernels that stay floats.
    """
    kernels, apart = convolutions(graph), onnx.ModelProto()
    apart.CopyFrom(graph)  # to be written, constants are taken out of it
    with tempfile.TemporaryDirectory() as folder, quietly():
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        excluded = [node.name for node in graph.graph.node if node.op_type == "Conv" and node.input[1] in left]
        onnx.save_model(apart, before, save_as_external_data=True, location="before.data")
        quantize_static(
            before, after, _Reader(feeds), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, op_types_to_quantize=_OPERATORS,
            nodes_to_exclude=excluded,
            use_external_data_format=True,
        )  # fmt: skip
        made = onnx.load(after)
    for name, integers in kept.items():
        _keep(made, name, kernels[name], integers)
    return made


def scales_of(kernel: np.ndarray, integers: Integers) -> np.ndarray | None:
    """Return the scale of each filter by which a graph's kernel is the file's integers, or None where it is not.

    Args:
        kernel: of the graph, shape (filters, ...): that of the file, each filter perhaps times a number.
        integers: of the file, with one scale for each filter.
    """
    if integers.scales.shape[1] != 1:
        return None
    own, whole = integers.values.astype(np.float64), kernel.reshape(len(kernel), -1).astype(np.float64)
    squares = np.square(own).sum(axis=1)
    scales = np.where(squares > 0, (own * whole).sum(axis=1) / np.maximum(squares, 1), 0.0)
    far = np.abs(own * scales[:, None] - whole).max(initial=0.0)
    turned = bool((own[scales < 0] == -128).any())  # 128 is no integer of 8 bits
    return scales.astype(np.float32) if far <= 1e-6 * np.abs(whole).max(initial=0.0) and not turned else None


def _keep(graph: onnx.ModelProto, name: str, kernel: np.ndarray, integers: Integers) -> None:
    """Put the file's integers in the place of the quantizer's, and round the bias on their scales."""
    scales = scales_of(kernel, integers)
    assert scales is not None, "asked of kernels that are the file's integers"
    signed = np.where(scales == 0, np.float32(1), np.abs(scales))
    values = integers.values * np.where(scales < 0, -1, scales != 0).astype(np.int8)[:, None]
    constants = {one.name: one for one in graph.graph.initializer}
    _set(constants[f"{name}_quantized"], values.reshape(kernel.shape))
    _set(constants[f"{name}_scale"], signed)
    for node in graph.graph.node:
        if node.op_type == "Conv" and node.input[1].startswith(f"{name}_Dequantize") and len(node.input) > 2:
            _round_bias(graph, constants, node, signed)


def _round_bias(
    graph: onnx.ModelProto, constants: Mapping[str, onnx.TensorProto], convolution: onnx.NodeProto, scales: np.ndarray
) -> None:
    """Round the bias of a convolution, an integer of 32 bits on the product of two scales, anew."""
    by_output = {node.output[0]: node for node in graph.graph.node}
    source, bias = (by_output[convolution.input[place]] for place in (0, 2))
    old, step = (numpy_helper.to_array(constants[name]) for name in bias.input[:2])
    new = numpy_helper.to_array(constants[source.input[1]]).astype(np.float64) * scales
    _set(
        constants[bias.input[0]],
        np.rint(old.astype(np.float64) * step / new).clip(-(2**31), 2**31 - 1).astype(np.int32),
    )
    _set(constants[bias.input[1]], new.astype(np.float32))


def _set(constant: onnx.TensorProto, array: np.ndarray) -> None:
    """Give a constant other numbers."""
    constant.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), constant.name))
