"""A graph in onnxruntime: its outputs for calls of the network that it was made of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import onnx
import onnxruntime

from laconic.deploy.calls import Call
from laconic.errors import DataError, ExportError
from laconic.models.params import to_numpy


@final
@dataclass(frozen=True, eq=False)
class Session:
    """A graph that onnxruntime has loaded, on the processor.

    Args:
        runtime: onnxruntime's own session.
    """

    runtime: Any

    @classmethod
    def of(cls, graph: onnx.ModelProto | Path, threads: int) -> "Session":
        """Load a graph.

        Args:
            graph: of less than 2 GB, or a file.
            threads: of one operator.

        Raises:
            ExportError: where onnxruntime refuses it.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.force_spinning_stop", "1")  # threads that wait leave the processor
        source = str(graph) if isinstance(graph, Path) else graph.SerializeToString()
        try:
            return cls(onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"]))
        except Exception as error:  # the classes of its errors are no part of its interface
            raise ExportError(f"onnxruntime does not load the graph: {error}") from error

    def feeds(self, call: Call) -> dict[str, np.ndarray]:
        """Return the inputs by the names that the graph has for them.

        Raises:
            DataError: where the graph has others, or of other shapes.
        """
        inputs, tensors = self.runtime.get_inputs(), call.tensors()
        if len(inputs) != len(tensors):
            raise DataError(f"the graph has {len(inputs)} inputs, and the call {len(tensors)}")
        for one, tensor in zip(inputs, tensors, strict=True):
            fixed = [(axis, size) for axis, size in enumerate(one.shape) if isinstance(size, int)]
            if len(one.shape) != tensor.ndim or any(tensor.shape[axis] != size for axis, size in fixed):
                raise DataError(f"input {one.name} of the graph is {one.shape}, not {list(tensor.shape)}")
        return {one.name: to_numpy(tensor) for one, tensor in zip(inputs, tensors, strict=True)}

    def run(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Return the outputs.

        Raises:
            ExportError: where onnxruntime fails.
        """
        try:
            outputs: list[np.ndarray] = self.runtime.run(None, feeds)
        except Exception as error:
            raise ExportError(f"onnxruntime fails on the graph: {error}") from error
        return outputs
