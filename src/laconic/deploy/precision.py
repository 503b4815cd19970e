"""A graph in integers: which weights get them, and whose they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import onnx

from laconic.deploy import convolutions, dense
from laconic.deploy.calls import Call
from laconic.deploy.integers import Integers, integers_of, requantized
from laconic.deploy.modules import Stored
from laconic.deploy.session import Session
from laconic.errors import ExportError, listed
from laconic.format.codes import Code, DenseCode
from laconic.models.params import all_params_of, first_names, is_float, to_numpy

PRECISIONS = ("float", "int8", "int4")
"""Of a graph's dense layers and convolutions."""

BITS = {"int8": 8, "int4": 4}

_BLOCK = 32  # of integers that are made for 4 bits


@final
@dataclass(frozen=True)
class Layer:
    """What became of one weight.

    Args:
        name: of the parameter.
        kind: "dense" or "convolution".
        form: "int8", "int4" or "float".
        origin: "file", of integers that the file holds; "requantized"; or, of floats, why they are.
    """

    name: str
    kind: str
    form: str
    origin: str


def in_integers(
    graph: onnx.ModelProto, network: Stored, precision: str, calls: Sequence[Call], *, requantize: bool
) -> tuple[onnx.ModelProto, tuple[Layer, ...]]:
    """Return the graph in integers, and what became of each weight.

    Args:
        graph: of the network in floats; it stays as it is.
        network: with the codes of its weights.
        precision: "int8" or "int4".
        calls: whose activations tell the ranges of convolutions.
        requantize: weights whose integers the file does not have get others.

    Raises:
        ExportError: where integers are not the graph's and others are not asked for, and where nothing would be in
            integers.
    """
    made, bits = onnx.ModelProto(), BITS[precision]
    made.CopyFrom(graph)
    firsts = first_names(network.module)
    params = {name: to_numpy(one) for name, one in all_params_of(network.module).items() if is_float(one)}
    codes = {firsts.get(name, name): code for name, code in network.codes.items()}
    layers, wrong = list[Layer](), list[str]()
    kept = dict[str, Integers]()
    for name, kernel in convolutions.convolutions(made).items():
        layer, integers = _convolution(name, kernel, codes.get(name), precision, requantize=requantize)
        layers.append(layer)
        kept |= {name: integers} if integers else {}
        wrong += [name] if layer.form == "refused" else []
    products = dense.dense_layers(made, params)
    chosen = [_dense(one, codes.get(firsts.get(one.name, one.name)), bits, requantize=requantize) for one in products]
    wrong += [one.name for one, (layer, _) in zip(products, chosen, strict=True) if layer.form == "refused"]
    layers += [layer for layer, _ in chosen]
    if wrong:
        raise ExportError(
            f"the integers of {listed(wrong)} are not those of a graph in {precision}; give them {_ROW[precision]} in "
            "a plan, or have others made for the graph and see what that costs: requantize=True (--requantize)"
        )
    if not any(layer.form in BITS for layer in layers):
        reasons = listed(f"{one.name}: {one.origin}" for one in layers)
        raise ExportError(
            f"no layer would be in {precision} ({reasons or 'the graph has no dense layer and no convolution'})"
        )
    if any(layer.kind == "convolution" and layer.form == "int8" for layer in layers):
        session = Session.of(graph, 1)
        left = [layer.name for layer in layers if layer.kind == "convolution" and layer.form == "float"]
        made = convolutions.quantized(made, [session.feeds(call) for call in calls], kept, left)
        products = dense.dense_layers(made, params)
    for one, (_, integers) in zip(products, chosen, strict=True):
        if integers is not None:
            dense.replace(made, one, integers, bits)
    dense.settle(made)
    return made, tuple(layers)


_ROW = {"int8": "levels = 256 and a block as long as a row", "int4": "{ block = 32, levels = 16 }"}


def _convolution(
    name: str, kernel: np.ndarray, code: Code | None, precision: str, *, requantize: bool
) -> tuple[Layer, Integers | None]:
    """Return what becomes of a convolution, and the file's integers, if these it is."""
    if precision == "int4":
        return Layer(name, "convolution", "float", "there is no operator of 4 bits"), None
    integers = integers_of(code) if code is not None else None
    if integers is not None and convolutions.scales_of(kernel, integers) is not None:
        return Layer(name, "convolution", "int8", "file"), integers
    if requantize:
        return Layer(name, "convolution", "int8", "requantized"), None
    if code is None or isinstance(code, DenseCode):
        return Layer(name, "convolution", "float", "stored without loss"), None
    return Layer(name, "convolution", "refused", ""), None


def _dense(one: dense.Dense, code: Code | None, bits: int, *, requantize: bool) -> tuple[Layer, Integers | None]:
    """Return what becomes of a dense layer, and its integers, if it has some."""
    form = f"int{bits}"
    integers = integers_of(code) if code is not None else None
    if integers is not None and np.array_equal(integers.weights(), one.weight) and _suits(integers, bits):
        return Layer(one.name, "dense", form, "file"), integers
    if requantize:
        return Layer(one.name, "dense", form, "requantized"), requantized(one.weight, bits, _BLOCK)
    if code is None or isinstance(code, DenseCode):
        return Layer(one.name, "dense", "float", "stored without loss"), None
    return Layer(one.name, "dense", "refused", ""), None


def _suits(integers: Integers, bits: int) -> bool:
    """Say whether a graph's operator takes these integers as they are."""
    if bits == 8:
        return bool(integers.scales.shape[1] == 1)
    return integers.bits == 4 and dense.block_of(integers) is not None
