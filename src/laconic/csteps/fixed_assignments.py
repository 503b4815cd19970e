"""Weight sharing: which weights are equal is given, their values are learned."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np
import torch

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.flat import flat, importances, widest
from laconic.csteps.lossless import Lossless
from laconic.csteps.warm import better, feasible, of_kind
from laconic.errors import PlanError, WeightsError
from laconic.format.codes import Code, CodebookCode, HashedCode, Symbols, Values
from laconic.format.codes.hashing import groups_of
from laconic.format.codes.rounding import rounded
from laconic.models.params import Params, dtype_name, to_torch
from laconic.theory.metric import Diagonal, Metrics


@final
@dataclass(frozen=True)
class Hashed:
    """Groups by a hash of the tensor's name and a weight's position: as good as random, and the same everywhere.

    Args:
        groups: how many, 1 to 2²⁸.
        seed: of the hash.

    Source: Chen et al., "Compressing neural networks with the hashing trick" (ICML 2015).

    Raises:
        PlanError: when ``groups`` is out of range.
    """

    groups: int
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.groups <= 1 << 28:
            raise PlanError(f"hashed is a number of groups, 1 to 2^28, not {self.groups}")

    def key(self, name: str) -> int:
        """Return the key of the hash of a tensor, which its code stores: one for each name and seed, below 2³²."""
        return zlib.crc32(f"{self.seed} {name}".encode())

    def labels(self, name: str, size: int) -> np.ndarray:
        """Return the group of each weight, shape (size,), int64: a hash of its position.

        >>> Hashed(3).labels("w", 8)
        array([0, 0, 1, 1, 2, 1, 2, 2])
        """
        return groups_of(self.key(name), self.groups, 0, size)


@final
@dataclass(frozen=True, eq=False)
class FixedAssignments(Compression):
    """Weights of one group are equal; the groups are given, and are those of all tensors given together.

        min over c   Σ_t Σ_i h_ti (w_ti − c_κ(t,i))²,   κ given

    Method: c_k is the mean of its group, weighted by h, rounded to the dtype of the tensors. Exact, O(P). Where a group
    weighs nothing its plain mean is taken. Values that are compressed in turn are these means, each weighed by the sum
    of its group's h, which is the same problem: as exact as that compression is. Training the c_k themselves, each by
    the sum of its weights' gradients, needs no C step: `laconic.lc.finetune` does that, or
    `laconic.models.forms.free_parameters` in a loop of one's own.

    Source: Carreira-Perpiñán & Idelbayev 2017 (arXiv 1707.04319): quantization with the assignment known.

    Args:
        labels: the group of each weight by the name of its tensor, any integers, of the tensor's shape or flat (such as
            ``code.labels()``, of an earlier code); or `Hashed`, of which the file holds a key and no indices.
        values: compression of the shared values, for `Hashed` alone.

    Raises:
        PlanError: for a compression of the values of groups that are not hashed.

    A circular convolution is a dense layer whose weights are shared along its diagonals:

    >>> import torch
    >>> place = np.arange(3)
    >>> diagonals = (place - place[:, None]) % 3
    >>> near = torch.tensor([[1.0, 2.0, 4.0], [3.0, 1.0, 2.0], [2.0, 5.0, 1.0]])
    >>> FixedAssignments({"w": diagonals}).project({"w": near})["w"].decompress()
    array([[1., 2., 4.],
           [4., 1., 2.],
           [2., 4., 1.]], dtype=float32)
    """

    labels: Mapping[str, np.ndarray] | Hashed
    values: Compression = field(default_factory=Lossless)

    def __post_init__(self) -> None:
        if not isinstance(self.labels, Hashed) and not isinstance(self.values, Lossless):
            raise PlanError("values are compressed where groups are hashed; of given ones they are a codebook")

    def __eq__(self, other: object) -> bool:
        """Arrays are the same when they are one object."""
        if not isinstance(other, FixedAssignments) or self.values != other.values:
            return False
        return self.labels is other.labels or (isinstance(self.labels, Hashed) and self.labels == other.labels)

    def __hash__(self) -> int:
        return hash((self.labels if isinstance(self.labels, Hashed) else id(self.labels), self.values))

    def scaled(self, factor: float) -> Compression:
        """Scale the compression of the values."""
        return replace(self, values=self.values.scaled(factor))

    def penalty(self, codes: Codes) -> float:
        """Return what the compression of the values says, of values that tensors share once."""
        held = {id(code.values): code.values for code in codes.values() if isinstance(code, HashedCode)}
        return sum(self.values.penalty({"values": code}) for code in held.values())

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `CodebookCode` a tensor, all with the same codebook; or one `HashedCode`, with the same values.

        ``warm`` is kept where it is nearer, as where tensors of several dtypes round its values better.

        Raises:
            UnsupportedMetric: for a metric that is neither unit nor diagonal.
            WeightsError: for NaN and infinite weights, and for tensors without labels, or with some of another size.
        """
        if not weights:
            return {}
        arrays = {name: flat(name, tensor) for name, tensor in weights.items()}
        heavy = importances(weights, metrics or {})
        groups = np.concatenate([self._labels_of(name, array.size) for name, array in arrays.items()])
        values = np.concatenate([array.astype(np.float64) for array in arrays.values()])
        if isinstance(self.labels, Hashed):
            return self._hashed(self.labels, weights, metrics, warm, (values, heavy, groups))
        used, indices = np.unique(groups, return_inverse=True)
        dtypes = {name: dtype_name(tensor) for name, tensor in weights.items()}
        codebook = Values(rounded(means(values, heavy, indices, len(used)), widest(dtypes.values())))
        ends = np.cumsum([array.size for array in arrays.values()])
        new = {
            name: CodebookCode(tuple(weights[name].shape), dtypes[name], codebook, Symbols(own, len(used)))
            for name, own in zip(arrays, np.split(indices, ends[:-1]), strict=True)
        }
        return better(new, of_kind(CodebookCode, warm, weights), weights, metrics, lambda codes: _alike(codes, new))

    def _hashed(
        self, hashed: Hashed, weights: Params, metrics: Metrics | None, warm: Codes | None,
        flat_parts: tuple[np.ndarray, np.ndarray | None, np.ndarray],
    ) -> dict[str, Code]:  # fmt: skip
        """Return the codes of groups that the file does not hold: of weights, importances and groups of all tensors."""
        values, heavy, groups = flat_parts
        used, indices = np.unique(groups, return_inverse=True)
        shared, mass = np.zeros((2, hashed.groups))
        shared[used] = means(values, heavy, indices, len(used))
        mass[used] = np.bincount(indices, heavy, len(used)) if heavy is not None else np.bincount(indices)
        first, warm_codes = next(iter(weights)), of_kind(HashedCode, warm, weights)
        near = warm_codes and warm_codes[first].values
        tensor = to_torch(rounded(shared, widest(map(dtype_name, weights.values()))))
        weighed: Metrics = {first: Diagonal(torch.from_numpy(mass))} if mass.any() else {}
        one = self.values.project({first: tensor}, weighed, {first: near} if near else None)[first]
        new = {
            name: HashedCode(tuple(tensor.shape), dtype_name(tensor), hashed.key(name), one)
            for name, tensor in weights.items()
        }
        return better(new, warm_codes, weights, metrics, lambda codes: self._allows(codes, new, first))

    def _allows(self, codes: Mapping[str, HashedCode], new: Mapping[str, HashedCode], first: str) -> bool:
        """Say whether ``codes`` have the keys and the groups of ``new``, and one code of values that is feasible."""
        keys = all((code.key, code.values.shape) == (new[n].key, new[n].values.shape) for n, code in codes.items())
        one = codes[first].values
        alike = all(c.values is one or _contents(c.values) == _contents(one) for c in codes.values())
        return keys and alike and feasible(self.values, {first: one})

    def _labels_of(self, name: str, size: int) -> np.ndarray:
        """Return the groups of the weights of one tensor."""
        if isinstance(self.labels, Hashed):
            return self.labels.labels(name, size)
        if name not in self.labels:
            raise WeightsError(f"{name}: no labels; there are labels for {', '.join(self.labels) or 'no tensor'}")
        labels = np.asarray(self.labels[name])
        if labels.size != size or labels.dtype.kind not in "iu":
            raise WeightsError(f"{name}: labels are {size} integers, not {labels.size} of {labels.dtype}")
        return labels.reshape(-1)


def _alike(codes: Mapping[str, CodebookCode], new: Mapping[str, CodebookCode]) -> bool:
    """Say whether ``codes`` have one codebook and the assignments of ``new``."""
    one = len({code.codebook.array.tobytes() for code in codes.values()}) == 1
    return one and all(np.array_equal(code.indices.array, new[name].indices.array) for name, code in codes.items())


def _contents(code: Code) -> bytes:
    """Return what a code of shared values stands for."""
    return code.decompress().tobytes()


def means(values: np.ndarray, weights: np.ndarray | None, indices: np.ndarray, count: int) -> np.ndarray:
    """Return the weighted mean of each of ``count`` groups, none empty; of equal values exactly that value.

    >>> means(np.array([1.0, 5.0, 7.0]), np.array([0.0, 1.0, 3.0]), np.array([0, 1, 1]), 2)
    array([1. , 6.5])
    """
    one = np.zeros(count)
    one[indices] = values  # some member of each group: sums are of differences
    apart = values - one[indices]
    plain = np.bincount(indices, apart, count) / np.bincount(indices, minlength=count)
    if weights is None:
        return one + plain
    mass = np.bincount(indices, weights, count)
    return one + np.divide(np.bincount(indices, weights * apart, count), mass, out=plain, where=mass > 0)
