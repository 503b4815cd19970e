"""Dense layers of a graph in integers: 8 bits with activations quantized as they come, or 4 bits in blocks.

    8 bits   DynamicQuantizeLinear(x) → MatMulInteger → · scales of x and of the row       (onnxruntime fuses the three)
    4 bits   MatMulNBits(x): w = (q − 8) · scale of the block; x is rounded to 8 bits within the operator

Source: ONNX, operators DynamicQuantizeLinear and MatMulInteger; onnxruntime, contributed operator MatMulNBits, whose
`accuracy_level` 4 is the fast one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from laconic.deploy.integers import Integers

BLOCKS = (256, 128, 64, 32, 16)
"""Lengths of a block that MatMulNBits takes."""

_BLOCK = 32  # where one scale is for a whole row, which any block divides that is padded
_LEVEL = 4  # activations of 8 bits


@final
@dataclass(frozen=True, eq=False)
class Dense:
    """A product with a constant matrix in a graph.

    Args:
        node: Gemm or MatMul.
        name: of the parameter that the matrix is.
        weight: float32, shape (outputs, inputs).
    """

    node: onnx.NodeProto
    name: str
    weight: np.ndarray


def dense_layers(graph: onnx.ModelProto, parameters: Mapping[str, np.ndarray]) -> list[Dense]:
    """Return the products with a parameter that is a matrix, in the order of the graph.

    The exporter turns a matrix where inputs have three axes and more, and gives it another name: what has the bytes of
    a parameter, or of its transpose, is that parameter.

    Args:
        graph: as `laconic.deploy.graph.graph_of` makes it.
        parameters: of the network by name.
    """
    constants = {one.name: one for one in graph.graph.initializer}
    by_bytes = {(one.shape, one.tobytes()): name for name, one in parameters.items() if one.ndim == 2}
    found = []
    for node in graph.graph.node:
        if node.op_type not in ("Gemm", "MatMul") or node.input[1] not in constants:
            continue
        options = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        if options.get("transA") or options.get("alpha", 1.0) != 1.0 or options.get("beta", 1.0) != 1.0:
            continue
        matrix = numpy_helper.to_array(constants[node.input[1]])
        if matrix.ndim != 2 or matrix.dtype != np.float32:
            continue
        weight = np.ascontiguousarray(matrix if options.get("transB") else matrix.T)
        given = node.input[1] if node.input[1] in parameters else None
        name = given or by_bytes.get((weight.shape, weight.tobytes()))
        if name is not None:
            found.append(Dense(node, name, weight))
    return found


def block_of(integers: Integers) -> int | None:
    """Return the length of a graph's blocks that have one scale each, or None where there is none."""
    if integers.scales.shape[1] == 1:
        return _BLOCK
    return next((block for block in BLOCKS if integers.length % block == 0), None)


def replace(graph: onnx.ModelProto, layer: Dense, integers: Integers, bits: int) -> None:
    """Put integers in the place of a dense layer of ``graph``, which is changed.

    Args:
        graph: with the layer.
        layer: of `dense_layers`.
        integers: of its weight; for 8 bits with one scale a row, for 4 bits with a `block_of`.
        bits: 4 or 8.
    """
    place = list(graph.graph.node).index(layer.node)
    stem, source = layer.node.output[0], layer.node.input[0]
    bias = layer.node.input[2] if len(layer.node.input) > 2 else None
    product = f"{stem}_product" if bias else stem
    made, constants = (_dynamic if bits == 8 else _blocks)(stem, source, product, integers)
    if bias:
        made.append(helper.make_node("Add", [product, bias], [stem]))
    graph.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    graph.graph.node.remove(layer.node)
    for offset, node in enumerate(made):
        graph.graph.node.insert(place + offset, node)


def settle(graph: onnx.ModelProto) -> None:
    """Drop constants that nothing reads, and name the operators that are onnxruntime's own; ``graph`` is changed."""
    read = {name for node in graph.graph.node for name in node.input} | {one.name for one in graph.graph.output}
    kept = [one for one in graph.graph.initializer if one.name in read]
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(kept)
    if not any(one.domain == "com.microsoft" for one in graph.opset_import):
        graph.opset_import.append(helper.make_opsetid("com.microsoft", 1))


Made = tuple[list[onnx.NodeProto], dict[str, np.ndarray]]


def _dynamic(stem: str, source: str, product: str, integers: Integers) -> Made:
    """Return the product of 8 bits: nodes, and constants by name."""
    inner = {key: f"{stem}_{key}" for key in ("x", "x_scale", "x_zero", "sums", "float", "scale")}
    weight, scale, zero = f"{stem}_integers", f"{stem}_scales", f"{stem}_zero"
    nodes = [
        helper.make_node("DynamicQuantizeLinear", [source], [inner["x"], inner["x_scale"], inner["x_zero"]]),
        helper.make_node("MatMulInteger", [inner["x"], weight, inner["x_zero"], zero], [inner["sums"]]),
        helper.make_node("Cast", [inner["sums"]], [inner["float"]], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", [inner["x_scale"], scale], [inner["scale"]]),
        helper.make_node("Mul", [inner["float"], inner["scale"]], [product]),
    ]
    scales = np.ascontiguousarray(integers.scales[:, 0])
    turned = np.ascontiguousarray(integers.values.T)
    return nodes, {weight: turned, scale: scales, zero: np.zeros(len(scales), np.int8)}


def _blocks(stem: str, source: str, product: str, integers: Integers) -> Made:
    """Return the product of 4 bits: nodes, and constants by name."""
    block = block_of(integers)
    assert block is not None, "asked of integers that have one"
    rows, columns = integers.values.shape
    count = -(-columns // block)
    padded = np.zeros((rows, count * block), np.uint8) + 8
    padded[:, :columns] = (integers.values.astype(np.int16) + 8).astype(np.uint8)
    packed = padded[:, 0::2] | (padded[:, 1::2] << 4)
    scales = integers.scales[:, np.minimum(np.arange(count) * block // integers.length, integers.scales.shape[1] - 1)]
    weight, scale = f"{stem}_integers", f"{stem}_scales"
    node = helper.make_node(
        "MatMulNBits", [source, weight, scale], [product], domain="com.microsoft", K=columns, N=rows, bits=4,
        block_size=block, accuracy_level=_LEVEL,
    )  # fmt: skip
    return [node], {
        weight: packed.reshape(rows, count, block // 2),
        scale: np.ascontiguousarray(scales, dtype=np.float32).reshape(-1),
    }
