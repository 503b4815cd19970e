"""A network of torch as a graph of ONNX, with a dynamic number of samples."""

import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import onnx
import onnxscript  # noqa: F401  what torch writes graphs with: missing, it shall be named here
import torch
from torch import Tensor, nn

from laconic.deploy.calls import Call
from laconic.deploy.strides import pooled
from laconic.errors import DataError, ExportError
from laconic.models.parametrized import evaluating
from laconic.models.params import all_params_of, is_float, require_finite
from laconic.training.judges import described

_UNKNOWN = re.compile(r"No ONNX function found for <OpOverload\(op='([^']+)'")
_LOGGERS = ("torch", "torch.onnx", "onnxscript", "onnx_ir", "torch.export")


def graph_of(module: nn.Module, call: Call) -> onnx.ModelProto:
    """Return the graph of ``module`` in evaluation mode; initializers have the names of its parameters.

    Axis 0 of each input is as long as there are samples, and dynamic; all other axes are as in ``call``.

    Args:
        module: with its weights.
        call: any call of it.

    Raises:
        DataError: where the module does not run on the call.
        WeightsError: for weights that are NaN or infinite.
        ExportError: for an operator that the exporter does not know, which it names, and for what depends on the
            values of the inputs, or on their number.
    """
    for name, tensor in all_params_of(module).items():
        if is_float(tensor):
            require_finite(name, tensor)
    traced = call.traced()
    with evaluating(module):
        try:
            given = traced.of(module)
        except Exception as error:
            inputs = described((*traced.positional, traced.named) if traced.named else traced.positional)
            raise DataError(f"the network fails on the inputs {inputs}: {error}") from error
        with quietly():
            try:
                program = torch.onnx.export(
                    module,
                    traced.positional,
                    kwargs=dict(traced.named),
                    dynamo=True,
                    dynamic_shapes=_axes(traced),
                    output_names=_names(given),
                    verbose=False,
                )
            except (torch.onnx.OnnxExporterError, RuntimeError, ValueError, TypeError) as error:
                raise ExportError(_reason(error)) from error
    assert program is not None, "the exporter gives a program, or an error"
    return pooled(_bare(program.model_proto))


def _bare(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph without what the exporter notes of its making: lines of the user's files, mostly."""
    parts = graph.graph
    for one in (graph, parts, *parts.node, *parts.value_info, *parts.input, *parts.output, *parts.initializer):
        del one.metadata_props[:]
        one.doc_string = ""
    graph.producer_name, graph.producer_version = "laconic", ""
    return graph


def _axes(call: Call) -> Any:
    """Return which axes are dynamic, as the exporter takes it: in the form of the arguments."""
    samples = torch.export.Dim("batch")

    def of(part: Any) -> Any:
        if isinstance(part, Tensor):
            return {0: samples} if part.ndim and len(part) == call.rows else None
        if isinstance(part, dict):
            return {name: of(value) for name, value in part.items()}
        if isinstance(part, tuple | list):
            return type(part)(of(value) for value in part)
        return None

    if not call.named:
        return of(call.positional)
    return of(call.positional) + tuple(of(dict(call.named)).values()) if call.positional else of(dict(call.named))


def _names(given: Any) -> list[str] | None:
    """Return the names of what a network gives as a mapping of tensors; None for what has none."""
    return (
        list(given) if isinstance(given, Mapping) and all(isinstance(one, Tensor) for one in given.values()) else None
    )


def _reason(error: BaseException) -> str:
    """Say in a sentence why there is no graph."""
    causes = list(_causes(error))
    for cause in causes:
        if found := _UNKNOWN.search(str(cause)):
            return f"ONNX has no operator for {found[1]}, which the network uses; write that part with others"
    last = causes[-1]
    line = next((line.strip() for line in str(last).splitlines() if line.strip()), type(last).__name__)
    if "data-dependent" in str(last) or "DataDependent" in type(last).__name__:
        return f"the network does other things for other values of its inputs, which a graph cannot: {line}"
    if any("batch" in str(cause) and ("specialized" in str(cause) or "constant" in str(cause)) for cause in causes):
        return f"the network has the number of samples written into it, so that a graph takes no other: {line}"
    return f"the network cannot be made a graph: {line}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Give an error and what has led to it."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


@contextmanager
def quietly() -> Iterator[None]:
    """Keep what the exporter says of itself off the screen, and its warnings: what fails is an error."""
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    nowhere = io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(nowhere), redirect_stderr(nowhere):
        warnings.simplefilter("ignore")
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
