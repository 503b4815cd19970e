"""The whole importance matrix, with what the diagonal leaves out: for small networks, and to judge the others by."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from laconic.errors import PlanError
from laconic.models.params import Params
from laconic.theory.importance.directions import Directions
from laconic.theory.importance.gradients import sample_gradients
from laconic.theory.importance.reading import Watch, leaves_of, once, outputs_of, read, wide
from laconic.training.batches import size_of
from laconic.training.task import Task, mode

LARGEST = 2_000
"""Most weights of a full matrix, which has their square of entries and costs as much for each sample."""

_ROWS = 32
"""Samples of one piece."""


@final
@dataclass(frozen=True, eq=False)
class FullMatrix:
    """A quadratic form over all parameters of a network together.

    Args:
        shapes: of the parameters by name, in the order of the rows.
        matrix: I_w, symmetric and positive semidefinite, shape (weights, weights).
    """

    shapes: Mapping[str, torch.Size]
    matrix: Tensor

    def inner(self, left: Params, right: Params) -> float:
        """Return `aᵀ I_w b` in float64; names that are none of the matrix's are left out."""
        return float(self._flat(left) @ self.matrix.double() @ self._flat(right))

    def error(self, weights: Params, compressed: Params) -> float:
        """Return `(w − ŵ)ᵀ I_w (w − ŵ)`."""
        apart = {name: weights[name].double() - compressed[name].double() for name in self.shapes}
        return self.inner(apart, apart)

    def diagonal(self) -> dict[str, Tensor]:
        """Return the diagonal by name."""
        parts = torch.split(self.matrix.diagonal(), [shape.numel() for shape in self.shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def _flat(self, params: Params) -> Tensor:
        """Return the parameters in one vector."""
        return torch.cat([params[name].double().flatten() for name in self.shapes])


def full_matrix(
    task: Task, params: Params, directions: Directions, *, samples: int | None = None, watch: Watch | None = None
) -> FullMatrix:
    """Return `I_w = E_x[Jᵀ B Bᵀ J]` over all parameters, J the Jacobian of the outputs, B the directions of a sample.

    Exact, in `O(samples · directions · weights²)`, by the per-sample gradients of `torch.func`.

    >>> from laconic.theory.importance import of_model
    >>> from laconic.models.params import params_of
    >>> from laconic.training.judges import least_squares
    >>> module, inputs = torch.nn.Linear(2, 1, bias=False), torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    >>> task = Task(module, [(inputs, torch.zeros(2, 1))], least_squares)
    >>> full_matrix(task, params_of(module), of_model("regression")).matrix
    tensor([[5., 1.],
            [1., 2.]])

    Args:
        task: its module is in evaluation mode meanwhile.
        params: weights, at most `LARGEST` that are parameters.
        directions: `of_model`, `of_loss` or `of_curvature`.
        samples: how many training samples; all unless told.
        watch: told of the progress.

    Raises:
        PlanError: when the network is larger, or ``samples`` is not positive.
        DataError: when there are no samples, or outputs have no row for each.

    Source: Gao, Liu, Wang & Oh 2019, section 3.
    """
    params = once(task, params)
    leaves = leaves_of(task, params)
    size = sum(leaf.numel() for leaf in leaves.values())
    if size > LARGEST:
        raise PlanError(f"a full importance matrix takes at most {LARGEST} weights, not {size}; use a diagonal")
    matrix: Tensor | float = 0.0
    count = 0
    with mode(task.module, training=False), torch.no_grad():
        for batch in read(task, _ROWS, samples, watch):
            count += size_of(batch)
            ways = directions(outputs_of(task, params, batch), batch)
            gradients = sample_gradients(task, params, list(leaves), batch, ways)
            rows = torch.cat([gradient.flatten(2) for gradient in gradients.values()], 2).flatten(0, 1)
            matrix = matrix + wide(rows.T @ rows)
    assert isinstance(matrix, Tensor)
    return FullMatrix({name: leaf.shape for name, leaf in leaves.items()}, matrix / count)
