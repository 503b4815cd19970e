"""Training under a price on singular values, so that what comes out is near low rank and can be truncated.

    min_w   L(w) + price · Σ_t ‖W_t‖_*

over the matrices W_t = U diag(s) Vᵀ of a network; ‖W‖_* = Σ_i s_i is the nuclear norm. Both ways to it are baselines
beside the LC algorithm, which has the rank itself in the problem and no price that makes what stays small.

To a layer before a batch normalization that takes statistics of each batch its own scale means nothing: the price makes
it ever smaller, and gradients ever larger. Statistics are made constants first (`laconic.models.absorption`).
"""

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Any, final

import torch
from torch import Tensor
from torch.optim import Optimizer

from laconic.errors import PlanError
from laconic.models.params import Params
from laconic.training.latent import Latent
from laconic.training.loop import Penalty
from laconic.training.regularizers import Regularizer, orthogonality

_EVERY = 20
"""Steps of the optimizer between two proximal steps: a decomposition costs as much as several of them."""
_LEFT, _VALUES, _RIGHT = " left", " values", " right"


class Shrinkage(Latent):
    """A price on singular values: what is trained for each weight, and what shrinks between steps of the optimizer."""

    price: float

    @abstractmethod
    def shrink(self, numbers: Params, step: float) -> None:
        """Take a proximal step of the length ``step`` in place."""


@final
@dataclass(frozen=True)
class SingularValues(Shrinkage):
    """Proximal steps on the weights themselves.

        W ← U (S − step · price)₊ Vᵀ = argmin over Θ   ½ ‖W − Θ‖_F² + step · price · ‖Θ‖_*

    Every 20 steps of the optimizer, for all of them together, and after the last of an epoch: O(mn·min(m, n)) each. A
    kernel is the matrix of outputs × the rest, as truncation has it (`laconic.csteps.low_rank`).

    Source: Cai, Candès & Shen, "A singular value thresholding algorithm for matrix completion" (SIAM J. Optimization
    20, 2010), theorem 2.1; in training with gradients in between, forward–backward splitting.

    Args:
        price: of a unit of a singular value, in loss; 0 or more and finite.

    Raises:
        PlanError: for any other price.

    >>> weights = {"w": torch.diag(torch.tensor([5.0, 0.5]))}
    >>> SingularValues(2.0).shrink(weights, step=0.5)
    >>> weights["w"]
    tensor([[4., 0.],
            [0., 0.]])
    """

    price: float

    def __post_init__(self) -> None:
        _require_price(self.price)

    def parts(self, weights: Params, moved: Collection[str]) -> dict[str, Tensor]:
        """Return the weights."""
        _matrices(weights, moved)
        return dict(weights)

    def whole(self, numbers: Params) -> dict[str, Tensor]:
        """Return the numbers."""
        return dict(numbers)

    def penalty(self, numbers: Params) -> Penalty | None:
        """Return None: proximal steps are all."""
        return None

    def judged(self, numbers: Params) -> dict[str, Tensor]:
        """Return what `whole` does."""
        return {name: tensor.detach() for name, tensor in self.whole(numbers).items()}

    def between(self, optimizer: Optimizer, numbers: Params) -> AbstractContextManager[None]:
        """Return `shrinking`."""
        return shrinking(optimizer, numbers, self)

    def shrink(self, numbers: Params, step: float) -> None:
        """Shrink the singular values of each matrix."""
        for matrix in filter(_is_matrix, numbers.values()):
            left, values, right = _decomposed(matrix.detach())
            shrunk = (values - step * self.price).clamp(min=0)
            with torch.no_grad():
                matrix.copy_(((left * shrunk) @ right.T).reshape(matrix.shape))


@final
@dataclass(frozen=True)
class SingularVectors(Shrinkage):
    """Each matrix is trained as `U diag(s) Vᵀ`, its singular vectors held orthonormal by a term of the loss.

        min over U, s, V   L(U diag(s) Vᵀ) + price · Σ_t ‖s_t‖₁ + weight · Σ_t (‖UᵀU − I‖_F² + ‖VᵀV − I‖_F²) / r²

    U of shape (m, r), V of shape (n, r), r = min(m, n), from the decomposition of the weights at the start. With
    orthonormal U and V the second term is the nuclear norm, at the cost of a proximal step on r numbers,
    `s ← sign(s) (|s| − step · price)₊`, where `SingularValues` decomposes matrices.

    Source: Yang et al., "Learning low-rank deep neural networks via singular vector orthogonality regularization and
    singular value sparsification" (CVPR workshops 2020). Departure: they put √|s| into both factors
    and take gradients of ‖s‖₁; soft thresholds make zeros.

    Args:
        price: of a unit of a singular value, in loss; 0 or more and finite.
        weight: of what keeps the vectors orthonormal, above 0 and finite.

    Raises:
        PlanError: for any other price or weight.

    >>> vectors = SingularVectors(0.1)
    >>> weights = {"w": torch.tensor([[3.0, 0.0], [0.0, 2.0], [0.0, 0.0]])}
    >>> numbers = vectors.parts(weights, ["w"])
    >>> sorted(numbers), torch.allclose(vectors.whole(numbers)["w"], weights["w"])
    (['w left', 'w right', 'w values'], True)
    """

    price: float
    weight: float = 1.0

    def __post_init__(self) -> None:
        _require_price(self.price)
        if not 0 < self.weight < inf:
            raise PlanError(f"weight of orthonormal vectors is a number above 0, not {self.weight}")

    def parts(self, weights: Params, moved: Collection[str]) -> dict[str, Tensor]:
        """Return the three factors of each matrix that moves; the kernel's shape goes with the right one."""
        matrices, numbers = _matrices(weights, moved), dict[str, Tensor]()
        for name, tensor in weights.items():
            if name not in matrices:
                numbers[name] = tensor
                continue
            left, values, right = _decomposed(tensor.detach())
            numbers[name + _LEFT], numbers[name + _VALUES] = left.contiguous(), values
            numbers[name + _RIGHT] = right.reshape(*tensor.shape[1:], -1).contiguous()
        return numbers

    def whole(self, numbers: Params) -> dict[str, Tensor]:
        """Return the products."""
        weights = dict[str, Tensor]()
        for key, tensor in numbers.items():
            name = key.removesuffix(_LEFT)
            if name != key:
                values, right = numbers[name + _VALUES], numbers[name + _RIGHT]
                product = (tensor * values) @ right.flatten(0, -2).T
                weights[name] = product.reshape(len(tensor), *right.shape[:-1])
            elif not key.endswith((_VALUES, _RIGHT)):
                weights[key] = tensor
        return weights

    def penalty(self, numbers: Params) -> Penalty | None:
        """Return the term that holds the vectors orthonormal."""
        sides = tuple(name for name in numbers if name.endswith((_LEFT, _RIGHT)))
        return Regularizer(_orthonormal_columns, sides, self.weight)

    def judged(self, numbers: Params) -> dict[str, Tensor]:
        """Return what `whole` does."""
        return {name: tensor.detach() for name, tensor in self.whole(numbers).items()}

    def between(self, optimizer: Optimizer, numbers: Params) -> AbstractContextManager[None]:
        """Return `shrinking`."""
        return shrinking(optimizer, numbers, self)

    def shrink(self, numbers: Params, step: float) -> None:
        """Shrink the singular values, which are numbers of their own."""
        with torch.no_grad():
            for values in (tensor for name, tensor in numbers.items() if name.endswith(_VALUES)):
                values.copy_(values.sign() * (values.abs() - step * self.price).clamp(min=0))


WAYS: Mapping[str, Callable[[float], Shrinkage]] = MappingProxyType(
    {"nuclear": SingularValues, "orthogonality": SingularVectors}
)
"""Name → what makes it of a price."""


def ranks(weights: Params) -> dict[str, tuple[int, int]]:
    """Return for each matrix how many singular values are above a hundredth of the largest, and how many there are.

    >>> ranks({"w": torch.diag(torch.tensor([5.0, 0.2, 0.01])), "b": torch.ones(3)})
    {'w': (2, 3)}
    """
    values = {name: _decomposed(tensor.detach())[1] for name, tensor in weights.items() if _is_matrix(tensor)}
    return {name: (int((s > s.max() / 100).sum()), len(s)) for name, s in values.items()}


@contextmanager
def shrinking(optimizer: Optimizer, numbers: Params, shrinkage: Shrinkage) -> Iterator[None]:
    """Shrink ``numbers`` between the steps that ``optimizer`` takes meanwhile.

    A step is as long as the optimizer's in the long run: lr / (1 − momentum) for each.

    Args:
        optimizer: SGD, whose steps are gradients times a rate.
        numbers: what it moves.
        shrinkage: what shrinks.

    Raises:
        PlanError: for another optimizer: its steps have no length that a price could go by.
    """
    if not isinstance(optimizer, torch.optim.SGD):
        raise PlanError(f"a price on singular values takes SGD, not {type(optimizer).__name__}: name nesterov")
    waiting: list[float] = []

    def settle() -> None:
        shrinkage.shrink(numbers, sum(waiting))
        waiting.clear()

    def after(optimizer: Optimizer, *_: Any) -> None:
        group = optimizer.param_groups[0]
        waiting.append(group["lr"] / (1 - group["momentum"]))
        if len(waiting) == _EVERY:
            settle()

    hook = optimizer.register_step_post_hook(after)
    try:
        yield
        settle()
    finally:
        hook.remove()


def _orthonormal_columns(params: Params, names: Any) -> Tensor:
    """Return `orthogonality` of factors whose last axis numbers the vectors."""
    flat = {name: params[name].flatten(0, -2) for name in names}
    return orthogonality(flat, flat)


def _decomposed(tensor: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return U, s and V, of the tensor's type, computed in float64."""
    left, values, right = torch.linalg.svd(tensor.reshape(len(tensor), -1).double(), full_matrices=False)
    return left.to(tensor), values.to(tensor), right.T.to(tensor)


def _is_matrix(tensor: Tensor) -> bool:
    """Say whether a tensor has singular values."""
    return tensor.ndim >= 2 and tensor.numel() > 0


def _matrices(weights: Params, moved: Collection[str]) -> list[str]:
    """Return which of ``moved`` have singular values.

    Raises:
        PlanError: when none has.
    """
    found = [name for name in moved if _is_matrix(weights[name])]
    if not found:
        raise PlanError(
            f"none of the tensors that training moves ({', '.join(moved) or 'there are none'}) has two axes or more, "
            "so there is no singular value to price: leave the regularizer out"
        )
    return found


def _require_price(price: float) -> None:
    """Raise `PlanError` unless ``price`` is one."""
    if not 0 <= price < inf:
        raise PlanError(f"price is what a unit of a singular value costs, 0 or more and finite, not {price}")
