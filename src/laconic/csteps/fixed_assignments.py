"""Weight sharing: which weights are equal is given, their values are learned."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.flat import flat, importances, widest
from laconic.csteps.warm import better, of_kind
from laconic.errors import PlanError, WeightsError
from laconic.format.codes import Code, CodebookCode, Symbols, Values
from laconic.format.codes.rounding import rounded
from laconic.models.params import Params, dtype_name
from laconic.theory.metric import Metrics


@final
@dataclass(frozen=True)
class Hashed:
    """Groups by a hash of the tensor's name and a weight's position: as good as random, and the same everywhere.

    Args:
        groups: how many, 1 to 2³².
        seed: of the hash.

    Source: Chen et al., "Compressing neural networks with the hashing trick" (ICML 2015).

    Raises:
        PlanError: when ``groups`` is out of range.
    """

    groups: int
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.groups <= 1 << 32:
            raise PlanError(f"hashed is a number of groups, 1 to 2^32, not {self.groups}")

    def labels(self, name: str, size: int) -> np.ndarray:
        """Return the group of each weight, shape (size,), int64: the finalizer of SplitMix64 of its position.

        >>> Hashed(3).labels("w", 8)
        array([0, 0, 1, 1, 2, 1, 2, 2])
        """
        start = zlib.crc32(f"{self.seed} {name}".encode()) << 32
        x = np.arange(start, start + size, dtype=np.uint64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        x ^= x >> np.uint64(31)
        return ((x >> np.uint64(32)) * np.uint64(self.groups) >> np.uint64(32)).astype(np.int64)


@final
@dataclass(frozen=True, eq=False)
class FixedAssignments(Compression):
    """Weights of one group are equal; the groups are given, and are those of all tensors given together.

        min over c   Σ_t Σ_i h_ti (w_ti − c_κ(t,i))²,   κ given

    Method: c_k is the mean of its group, weighted by h, rounded to the dtype of the tensors. Exact, O(P). Where a group
    weighs nothing its plain mean is taken. Training the c_k themselves, each by the sum of its weights' gradients,
    needs no C step: `laconic.lc.finetune` does that, or `laconic.models.forms.free_parameters` in a loop of one's own.

    Source: Carreira-Perpiñán & Idelbayev 2017 (arXiv 1707.04319): quantization with the assignment known.

    Args:
        labels: the group of each weight by the name of its tensor, any integers, of the tensor's shape or flat (such as
            ``code.labels()``, of an earlier code); or `Hashed`.

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

    def __eq__(self, other: object) -> bool:
        """Arrays are the same when they are one object."""
        return isinstance(other, FixedAssignments) and (
            self.labels is other.labels or (isinstance(self.labels, Hashed) and self.labels == other.labels)
        )

    def __hash__(self) -> int:
        return hash(self.labels) if isinstance(self.labels, Hashed) else id(self.labels)

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `CodebookCode` a tensor, all with the same codebook.

        ``warm`` is kept where tensors of several dtypes round its values better.

        Raises:
            UnsupportedMetric: for a metric that is neither unit nor diagonal.
            WeightsError: for NaN and infinite weights, and for tensors without labels, or with some of another size.
        """
        if not weights:
            return {}
        arrays = {name: flat(name, tensor) for name, tensor in weights.items()}
        heavy = importances(weights, metrics or {})
        groups = np.concatenate([self._labels_of(name, array.size) for name, array in arrays.items()])
        used, indices = np.unique(groups, return_inverse=True)
        values = np.concatenate([array.astype(np.float64) for array in arrays.values()])
        dtypes = {name: dtype_name(tensor) for name, tensor in weights.items()}
        codebook = Values(rounded(means(values, heavy, indices, len(used)), widest(dtypes.values())))
        ends = np.cumsum([array.size for array in arrays.values()])
        new = {
            name: CodebookCode(tuple(weights[name].shape), dtypes[name], codebook, Symbols(own, len(used)))
            for name, own in zip(arrays, np.split(indices, ends[:-1]), strict=True)
        }
        return better(new, of_kind(CodebookCode, warm, weights), weights, metrics, lambda codes: _alike(codes, new))

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
