"""Gradients as products of two thin matrices, of which only the factors travel: PowerSGD.

    M = G + E,   P = orthonormal(mean_n M_n Q),   Q ← mean_n M_nᵀ P,   Ĝ = P Qᵀ,   E ← M − Ĝ

for each gradient G as a matrix; Q is that of the step before, so that steps go on with one power iteration. All is
linear in M but for P, which all workers have alike: N workers take the step that one takes with the mean of their
gradients (Vogels et al., lemma 3). So here one backward pass stands for any number of workers, and nothing else is
played; errors are kept in the mean of the workers, which is all that steps depend on.

Source: Vogels, Karimireddy & Jaggi, "PowerSGD: practical low-rank gradient compression for distributed optimization"
(NeurIPS 2019), algorithms 1 and 2. What has fewer than two axes, or is not smaller as two factors, travels as it is.
"""

from collections.abc import Callable, Mapping
from typing import final

import torch
from torch import Tensor

from laconic.errors import PlanError
from laconic.models.params import Params
from laconic.training.batches import Batch
from laconic.training.loop import Gradients, Loss


@final
class PowerSGD(Gradients):
    """The workers of PowerSGD, as one.

    Args:
        rank: columns of P and Q, 1 or more.
        seed: of the first Q.

    Raises:
        PlanError: for a rank below 1.
    """

    def __init__(self, rank: int = 1, seed: int = 0) -> None:
        if rank < 1:
            raise PlanError(f"PowerSGD takes a rank of 1 or more, not {rank}")
        self.rank, self.numbers = rank, 0  # of the last step
        self._generator = torch.Generator().manual_seed(seed)
        self._held: dict[str, tuple[Tensor, Tensor]] = {}

    @property
    def message(self) -> int:
        """Bytes that a worker had to give away in the last step: those of the factors, and of what is sent as it is."""
        return 4 * self.numbers

    def backward(
        self, loss: Loss, params_of_leaves: Callable[[], Params], leaves: Mapping[str, Tensor], batch: Batch
    ) -> Tensor:
        """Give all leaves the gradient that workers who share the batch come to."""
        value = loss(params_of_leaves(), batch)
        value.backward()  # type: ignore[no-untyped-call]
        self.numbers = 0
        for name, leaf in leaves.items():
            if leaf.grad is not None:
                leaf.grad.copy_(self.sent(name, leaf.grad))
        return value.detach()

    def sent(self, name: str, gradient: Tensor) -> Tensor:
        """Return what all workers make of a mean gradient, and keep the rest of it."""
        rows = len(gradient) if gradient.ndim else 1
        columns = gradient.numel() // max(rows, 1)
        if gradient.ndim < 2 or self.rank * (rows + columns) >= rows * columns:
            self.numbers += gradient.numel()
            return gradient
        matrix = gradient.detach().reshape(rows, columns)
        if name in self._held:
            error, right = self._held[name]
            matrix = matrix + error
        else:
            right = torch.randn(columns, self.rank, generator=self._generator).to(matrix)
        left: Tensor = torch.linalg.qr(matrix @ right)[0]
        right = matrix.T @ left
        product = left @ right.T
        self._held[name] = matrix - product, right
        self.numbers += self.rank * (rows + columns)
        return product.view_as(gradient)
