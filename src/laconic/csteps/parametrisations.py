"""How a tensor is made of the numbers that go on a grid: as it is, by a transform, by sharing, or as a product.

    w_t = Δ_t(v_t),   and an error in v_t costs about  Σ_j g_tj (v_tj − v̂_tj)²

where g are the importances of the numbers. `WithinBytes` shares its bytes out over the numbers of all tensors, whatever
the tensors are made of. A new parametrisation is a class here: its numbers, its code, and the numbers of that code.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from laconic.arguments import require_types
from laconic.csteps.factors import truncated
from laconic.csteps.fixed_assignments import Hashed, means
from laconic.csteps.weighted_low_rank import weighted
from laconic.errors import PlanError
from laconic.format.codes import VIEWS, Code, GridCode, HashedCode, LowRankCode, Symbols, TileSparseCode
from laconic.format.codes.cosine import forward, transformable
from laconic.format.codes.hashing import groups_of
from laconic.models.params import to_torch

_RIDGE = 1e-9
"""Share of the largest curvature below which a factor stays where it is."""


@final
@dataclass(frozen=True, eq=False)
class Numbers:
    """What goes on the grid of a tensor.

    Args:
        array: of any shape, float32 or float64.
        importances: g, of the same shape; empty for 1 throughout.
    """

    array: np.ndarray
    importances: np.ndarray


class Parametrisation(ABC):
    """A way to make a tensor of numbers; what it does not suit stays as it is."""

    def __new__(cls, *arguments: Any, **named: Any) -> Any:
        """Check the types of what it is made of; raise `PlanError` for an argument that is not what its field says."""
        require_types(cls, arguments, named)
        return super().__new__(cls)

    @abstractmethod
    def numbers(self, name: str, array: np.ndarray, importances: np.ndarray, warm: Code | None) -> tuple[Numbers, ...]:
        """Return the numbers that the tensor is nearest to being made of.

        Args:
            name: of the tensor.
            array: its weights, float32 or float64.
            importances: h, of its shape; empty for 1 throughout.
            warm: the last code of the tensor, if `grids` takes it.
        """

    @abstractmethod
    def code(self, name: str, shape: tuple[int, ...], grids: tuple[GridCode, ...]) -> Code:
        """Return the code of a tensor whose numbers have become these grids."""

    @abstractmethod
    def grids(self, name: str, code: Code) -> tuple[GridCode, ...] | None:
        """Return the grids of a code that `code` has made; None of any other."""


@final
@dataclass(frozen=True)
class Plain(Parametrisation):
    """The numbers are the weights."""

    def numbers(self, name: str, array: np.ndarray, importances: np.ndarray, warm: Code | None) -> tuple[Numbers, ...]:
        """Return the weights."""
        return (Numbers(array, importances),)

    def code(self, name: str, shape: tuple[int, ...], grids: tuple[GridCode, ...]) -> Code:
        """Return the grid."""
        return grids[0]

    def grids(self, name: str, code: Code) -> tuple[GridCode, ...] | None:
        """Return the code, if it is a grid of the weights themselves."""
        return (code,) if isinstance(code, GridCode) and code.transform == "none" else None


_PLAIN: Parametrisation = Plain()


@final
@dataclass(frozen=True)
class Cosine(Parametrisation):
    """The numbers are the cosine transform of each kernel: orthonormal, so that their errors are those of the weights.

    Under importances an error in a coefficient is one in all weights of the kernel: its importance is their mean.

    Args:
        maps: (height, width) of the maps that a fully connected layer reads, 32 at most: a matrix whose columns are so
            many maps is transformed as kernels of that size. (0, 0), the default: kernels of convolutions alone.

    Raises:
        PlanError: for maps that are no two lengths of 1 to 32.
    """

    maps: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if self.maps != (0, 0) and not transformable((1, 1, *self.maps)):
            raise PlanError(f"maps are a height and a width, 1 to 32 and not both 1, not {self.maps}")

    def numbers(self, name: str, array: np.ndarray, importances: np.ndarray, warm: Code | None) -> tuple[Numbers, ...]:
        """Return the coefficients."""
        shape = self._kernels(array.shape)
        if shape is None or not array.size:
            return _PLAIN.numbers(name, array, importances, warm)
        coefficients = forward(array.reshape(shape))
        if not importances.size:
            return (Numbers(coefficients, importances),)
        mean = importances.reshape(shape).mean(axis=tuple(range(2, len(shape))), keepdims=True)
        return (Numbers(coefficients, np.ascontiguousarray(np.broadcast_to(mean, shape))),)

    def code(self, name: str, shape: tuple[int, ...], grids: tuple[GridCode, ...]) -> Code:
        """Return the grid of the coefficients; of a matrix as that of its kernels, in one tile that is kept."""
        kernels = self._kernels(shape)
        if kernels is None or not math.prod(shape):
            return grids[0]
        grid = replace(grids[0], transform="cosine")
        if kernels == shape:
            return grid
        return TileSparseCode(shape, grid.dtype, shape[0], math.prod(shape[1:]), Symbols(np.ones(1, np.uint8), 2), grid)

    def grids(self, name: str, code: Code) -> tuple[GridCode, ...] | None:
        """Return the grid of the coefficients."""
        inner = code.values if isinstance(code, TileSparseCode) and len(code.mask) == 1 else code
        wanted = self._kernels(code.shape) if code.size else None
        if wanted is None:
            return _PLAIN.grids(name, code)
        fits = isinstance(inner, GridCode) and (inner.shape, inner.transform) == (wanted, "cosine")
        return (replace(inner, transform="none"),) if isinstance(inner, GridCode) and fits else None

    def _kernels(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the shape in which a tensor is transformed, or None where it is not."""
        if len(shape) != 2 or self.maps == (0, 0):
            return shape if transformable(shape) else None
        return (shape[0], shape[1] // area, *self.maps) if shape[1] % (area := math.prod(self.maps)) == 0 else None


@final
@dataclass(frozen=True)
class Shared(Parametrisation):
    """The numbers are values that weights share by a hash of their positions, of which the file holds nothing.

    Errors in a value count once for each weight that has it: g is the sum of their h, and what the values lose beside
    the sharing itself is exactly Σ g (v − v̂)².

    Source: Chen et al., "Compressing neural networks with the hashing trick" (ICML 2015); Havasi, Peharz &
    Hernández-Lobato (ICLR 2019), whose codes of LeNet-5 are of hashed weights.

    Args:
        weights: that share a value in the mean, above 1.
        fewest: values of a tensor at least, or as many as it has weights, which then stay as they are; and so does what
            has fewer than two axes.
        seed: of the hash.

    Raises:
        PlanError: when an argument is out of range.
    """

    weights: float
    fewest: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 < self.weights < math.inf or self.fewest < 1:
            raise PlanError(
                f"shared is a number of weights a value, above 1, not {self.weights}, by {self.fewest} values"
            )

    def numbers(self, name: str, array: np.ndarray, importances: np.ndarray, warm: Code | None) -> tuple[Numbers, ...]:
        """Return the mean of each group, and how much it counts; 0 of a group without weights."""
        count = self._values(array.shape)
        if not count:
            return _PLAIN.numbers(name, array, importances, warm)
        groups = groups_of(Hashed(count, self.seed).key(name), count, 0, array.size)
        used, indices = np.unique(groups, return_inverse=True)
        heavy = importances.reshape(-1) if importances.size else None
        values, mass = np.zeros((2, count))
        values[used] = means(array.reshape(-1).astype(np.float64), heavy, indices, len(used))
        mass[used] = np.bincount(indices, heavy, len(used))
        return (Numbers(values, mass),)

    def code(self, name: str, shape: tuple[int, ...], grids: tuple[GridCode, ...]) -> Code:
        """Return the hashed code of the values."""
        count, grid = self._values(shape), grids[0]
        return HashedCode(shape, grid.dtype, Hashed(count, self.seed).key(name), grid) if count else grid

    def grids(self, name: str, code: Code) -> tuple[GridCode, ...] | None:
        """Return the grid of the values."""
        count = self._values(code.shape)
        if not count:
            return _PLAIN.grids(name, code)
        fits = isinstance(code, HashedCode) and code.key == Hashed(count, self.seed).key(name)
        inner = code.values if isinstance(code, HashedCode) and fits else None
        return (inner,) if isinstance(inner, GridCode) and inner.shape == (count,) else None

    def _values(self, shape: tuple[int, ...]) -> int:
        """Return how many values a tensor of ``shape`` has; 0 where it stays as it is."""
        size = math.prod(shape)
        count = max(math.ceil(size / self.weights), self.fewest)
        return count if len(shape) > 1 and count < size else 0


@final
@dataclass(frozen=True)
class Factors(Parametrisation):
    """The numbers are two factors of the matrix, w = L R, of rank r, of which as much is used as is worth its bytes.

    To first order, and but for products of errors, an error in L_ik costs Σ_j h_ij R_kj², one in R_kj Σ_i h_ij L_ik².

    Method: at first L = U √S and R = √S Vᵀ of the singular value decomposition; after that one step of alternating
    least squares from the last factors, so that these stay on the grid where the weights are their product, and what
    of r has become zero begins anew with the largest that is missing.

    Args:
        rank: r at most. A matrix that has no more numbers than its factors would have, and what has fewer than two
            axes, stays as it is.

    Raises:
        PlanError: for a rank below 1.
    """

    rank: int

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise PlanError(f"factors are of rank 1 or more, not {self.rank}")

    def numbers(self, name: str, array: np.ndarray, importances: np.ndarray, warm: Code | None) -> tuple[Numbers, ...]:
        """Return both factors, float64."""
        rank = self._rank(array.shape)
        if not rank:
            return _PLAIN.numbers(name, array, importances, warm)
        matrix = torch.from_numpy(array.reshape(array.shape[0], -1)).double()
        h = torch.from_numpy(importances.reshape(matrix.shape)) if importances.size else None
        last = (warm.left, warm.right) if isinstance(warm, LowRankCode) else None
        factors = last and tuple(to_torch(code.decompress()).double() for code in last)
        if h is not None and h.any():
            left, right = weighted(matrix, h, rank, 0.0, (factors[0], factors[1]) if factors else None)
            costs = h @ right.square().T, left.square().T @ h
        else:
            left, right = _renewed(matrix, factors[0], factors[1]) if factors else truncated(matrix, rank)
            ones = torch.ones_like(left), torch.ones_like(right)
            costs = ones[0] * right.square().sum(1), ones[1] * left.square().sum(0)[:, None]
        return tuple(Numbers(f.numpy(), g.numpy()) for f, g in zip((left, right), costs, strict=True))

    def code(self, name: str, shape: tuple[int, ...], grids: tuple[GridCode, ...]) -> Code:
        """Return the product."""
        return LowRankCode(shape, grids[0].dtype, VIEWS[0], *grids) if self._rank(shape) else grids[0]

    def grids(self, name: str, code: Code) -> tuple[GridCode, ...] | None:
        """Return the grids of the factors."""
        rank = self._rank(code.shape)
        if not rank:
            return _PLAIN.grids(name, code)
        if not isinstance(code, LowRankCode) or (code.view, code.rank) != (VIEWS[0], rank):
            return None
        left, right = code.left, code.right
        return (left, right) if isinstance(left, GridCode) and isinstance(right, GridCode) else None

    def _rank(self, shape: tuple[int, ...]) -> int:
        """Return the rank of the factors of a tensor of ``shape``; 0 where it stays as it is."""
        rows, columns = (shape[0], math.prod(shape[1:])) if len(shape) > 1 else (0, 0)
        return self.rank if self.rank * (rows + columns) < rows * columns else 0


def _renewed(matrix: Tensor, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Return factors a step of alternating least squares nearer to ``matrix``; L R = ``matrix`` stays as it is.

    Components of which a factor is zero are those of the largest singular values of what is missing.
    """
    dead = (left.square().sum(0) == 0) | (right.square().sum(1) == 0)
    if count := int(dead.sum()):
        left, right = torch.where(dead, 0.0, left), torch.where(dead[:, None], 0.0, right)
        terms = truncated(matrix - left @ right, count)
        left[:, dead], right[dead] = terms[0], terms[1]
    left = left + _step(right.T, (matrix - left @ right).T).T
    return left, right + _step(left, matrix - left @ right)


def _step(known: Tensor, missing: Tensor) -> Tensor:
    """Return the X of least ‖missing − known X‖² + ε ‖X‖²."""
    gram = known.T @ known
    ridge = _RIDGE * gram.diagonal().max().clamp(min=1e-290)
    solved: Tensor = torch.linalg.solve(gram + ridge * torch.eye(len(gram)).to(gram), known.T @ missing)
    return solved


def parametrisation_of(options: Mapping[str, Any]) -> Parametrisation:
    """Return what the options of a plan's row ask for: one of ``cosine``, ``shared`` and ``factors``, or none.

    >>> parametrisation_of({"cosine": True, "maps": [28, 28]}), parametrisation_of({})
    (Cosine(maps=(28, 28)), Plain())

    Raises:
        PlanError: for more than one of them, and for maps without a transform or that are no two integers.
    """
    named = [key for key in ("cosine", "shared", "factors") if options.get(key, False) is not False]
    if len(named) > 1:
        raise PlanError(f"one of {' and '.join(named)}: a tensor is made in one way")
    maps = tuple(options.get("maps", (0, 0)))
    if "maps" in options and (named != ["cosine"] or len(maps) != 2 or not all(isinstance(n, int) for n in maps)):
        raise PlanError(f"maps = [height, width] go with cosine = true, not {options}")
    if named == ["cosine"]:
        return Cosine((maps[0], maps[1]))
    if named == ["shared"]:
        return Shared(float(options["shared"]))
    return Factors(options["factors"]) if named else Plain()


def said(parametrisation: Parametrisation) -> dict[str, Any] | None:
    """Invert `parametrisation_of`; None for what no row can say."""
    if isinstance(parametrisation, Cosine):
        maps = {} if parametrisation.maps == (0, 0) else {"maps": list(parametrisation.maps)}
        return {"cosine": True, **maps}
    if isinstance(parametrisation, Shared):
        default = parametrisation == Shared(parametrisation.weights)
        return {"shared": parametrisation.weights} if default else None
    return {"factors": parametrisation.rank} if isinstance(parametrisation, Factors) else {}
