"""Quantization with a codebook that is given: binary, ternary, powers of two, or any list, times a scale."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import final

import numpy as np
import torch

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.flat import flat, group_length, importances, members_of, require_groups, widest
from laconic.csteps.warm import better, distortion, of_kind
from laconic.errors import PlanError, WeightsError
from laconic.format.codes import Code, GroupedCode, Symbols, Values
from laconic.format.codes.rounding import rounded
from laconic.format.coding import entropy_bits
from laconic.models.params import Params, dtype_name
from laconic.quantize.clustering import best_scale, group_scales, nearest, nearest_in_groups
from laconic.quantize.clustering.priced import priced_scale, settled
from laconic.theory.metric import Diagonal, Metric, Metrics

BINARY = (-1.0, 1.0)
TERNARY = (-1.0, 0.0, 1.0)
SCALES = ("learned", "none")


def powers_of_two(smallest: int) -> tuple[float, ...]:
    """Return 0, ±1, ±1/2, … ±2⁻ᶜ, ascending, for C = ``smallest``, 0 to 126.

    >>> powers_of_two(1)
    (-1.0, -0.5, 0.0, 0.5, 1.0)

    Raises:
        PlanError: when C is out of range.
    """
    if not 0 <= smallest <= 126:
        raise PlanError(f"powers_of_two is C of the smallest entry 2^-C, 0 to 126, not {smallest}")
    half = tuple(2.0**-c for c in range(smallest + 1))
    return (*(-power for power in half), 0.0, *reversed(half))


def integers(levels: int) -> tuple[float, ...]:
    """Return the integers of log₂ ``levels`` bits with a sign, ascending; 2 to 256 of them.

    >>> integers(4)
    (-2.0, -1.0, 0.0, 1.0)

    Raises:
        PlanError: when ``levels`` is out of range or odd.
    """
    if not 2 <= levels <= 256 or levels % 2:
        raise PlanError(f"levels is the number of integers, 2 to 256 and even, not {levels}")
    return tuple(float(level) for level in range(-levels // 2, levels // 2))


@final
@dataclass(frozen=True)
class FixedCodebook(Compression):
    """Each weight takes one of K given values, or one of them times a scale a that is learned.

        min over a ≥ 0, κ   Σ_t Σ_i h_ti (w_ti − a c_κ(t,i))² + price · Σ_t bits(κ_t),   κ(t,i) in range(K)

    The scale is one for all tensors given together, or one for each row, group or block. Without scale, a = 1.

    Method: the nearest entry, O(P log K), for the scale of `laconic.quantize.clustering.scale`: the global optimum,
    O(P log P); for {−a, a} the weighted mean of |w|, O(P). The scale is rounded to the dtype of the tensors, and
    weights go to the nearest of the entries times that scale, in their dtype; a tie goes outwards, and 0 to +a where
    ±a are as near. With a price on what an ideal order-0 coder spends on the indices of each tensor,
    `laconic.quantize.clustering.priced` takes assignment and scale in turn from there on: a local optimum.

    Source: Carreira-Perpiñán & Idelbayev 2017 (arXiv 1707.04319), section 4.2 (binary, ternary, powers of two);
    Idelbayev et al. (CVPR 2021) for the scale of any codebook. Departures: importances; groups.

    Args:
        entries: c, in any order: `BINARY`, `TERNARY`, `powers_of_two`, `integers`, or your own.
        scale: ``"learned"`` or ``"none"``.
        rows: each row (axis 0) has a scale of its own.
        group: so many consecutive weights, in row-major order, have a scale of their own; 0 for one of all.
        price: of a bit, in the units of h w²; not with rows, groups or blocks.
        block: so many consecutive weights of a row have a scale of their own; a row that they do not divide has one.

    Raises:
        PlanError: for no entries, entries that are not finite, groups without a scale, and groups with a price.

    >>> weights = {"w": torch.tensor([-3.0, 0.1, 1.0, 2.0])}
    >>> FixedCodebook(TERNARY).project(weights)["w"].decompress()
    array([-2.5,  0. ,  0. ,  2.5], dtype=float32)
    >>> FixedCodebook(TERNARY, scale="none").project(weights)["w"].decompress()
    array([-1.,  0.,  1.,  1.], dtype=float32)
    """

    entries: tuple[float, ...]
    scale: str = SCALES[0]
    rows: bool = False
    group: int = 0
    price: float = 0.0
    block: int = 0

    @property
    def assigns_each_weight_alone(self) -> bool:
        """Without a learned scale the nearest entry of each weight is its own affair."""
        return self.scale == "none"

    def __post_init__(self) -> None:
        if not self.entries or not all(math.isfinite(entry) for entry in self.entries):
            raise PlanError(f"entries are one or more finite numbers, not {list(self.entries)}")
        if self.scale not in SCALES:
            raise PlanError(f"scale is one of {', '.join(SCALES)}, not {self.scale!r}")
        require_groups(self.rows, self.group, self.block)
        if self.scale == "none" and self._grouped:
            raise PlanError('rows, groups and blocks have scales of their own: they go with scale = "learned"')
        if not 0 <= self.price < math.inf:
            raise PlanError(f"price is that of a bit, 0 or more and finite, not {self.price}")
        if self.price and self._grouped:
            raise PlanError("a price goes with one scale for all weights, not with rows, groups or blocks")
        object.__setattr__(self, "entries", tuple(sorted({float(entry) + 0.0 for entry in self.entries})))

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `GroupedCode` a tensor, all with the same codebook.

        Raises:
            UnsupportedMetric: for a metric that is neither unit nor diagonal.
            WeightsError: for NaN and infinite weights, and where no entry fits into the dtype.
        """
        new = self._codes(weights, metrics or {})
        if (
            self.scale == "learned"
            and not self.price
            and any(_has_zeros(metric) for metric in (metrics or {}).values())
        ):
            plain = self._codes(weights, {})  # scales that no weight with an importance tells
            new = plain if _same_but_for_rounding(plain, weights) else new
        warm_codes = of_kind(GroupedCode, warm, weights)
        if not self.price:
            return better(new, warm_codes, weights, metrics, self._allows)
        if warm_codes is None or not self._allows(warm_codes):
            return dict(new)
        worse = self._objective(warm_codes, weights, metrics) < self._objective(new, weights, metrics)
        return dict(warm_codes if worse else new)

    def scaled(self, factor: float) -> Compression:
        """Scale the price."""
        return replace(self, price=self.price * factor)

    def penalty(self, codes: Codes) -> float:
        """Return the price of the bits."""
        books = [code for code in codes.values() if isinstance(code, GroupedCode)]
        return self.price * sum(entropy_bits(code.indices.array, code.indices.alphabet) for code in books)

    def _objective(self, codes: Mapping[str, GroupedCode], weights: Params, metrics: Metrics | None) -> float:
        """Return what is minimised."""
        return distortion(codes, weights, metrics) + self.penalty(codes)

    @property
    def _grouped(self) -> bool:
        """Say whether several scales belong to a tensor."""
        return self.rows or self.group > 0 or self.block > 0

    def _length(self, shape: tuple[int, ...]) -> int:
        """Return how many consecutive weights of a tensor share a scale, 0 for all."""
        return group_length(shape, self.rows, self.group, self.block)

    def _codes(self, weights: Params, metrics: Metrics) -> dict[str, GroupedCode]:
        """Return the best codes but for the rounding of the scales."""
        arrays = {name: flat(name, tensor) for name, tensor in weights.items()}
        lengths = {name: self._length(tuple(tensor.shape)) for name, tensor in weights.items()}
        scales = self._scales(arrays, lengths, weights, metrics)
        if self.price:
            return self._priced(arrays, weights, metrics, scales)
        return {
            name: self._encode(name, array, tuple(weights[name].shape), dtype_name(weights[name]), lengths[name], scale)
            for (name, array), scale in zip(arrays.items(), scales, strict=True)
        }

    def _scales(
        self, arrays: Mapping[str, np.ndarray], lengths: Mapping[str, int], weights: Params, metrics: Metrics
    ) -> list[Values]:
        """Return the scales of each tensor: none, those of its groups, or the one of all."""
        dtypes = [dtype_name(tensor) for tensor in weights.values()]
        heavy = importances(weights, metrics)
        if self.scale == "none":
            return [_stored(np.zeros(0), dtypes)] * len(arrays)
        entries = np.array(self.entries)
        if not self._grouped:
            return [_stored(np.array([best_scale(_joined(arrays.values()), heavy, entries)]), dtypes)] * len(arrays)
        scale_of_group = []
        for name, array in arrays.items():
            own = importances({name: weights[name]}, metrics)
            length = lengths[name] or max(len(array), 1)
            scales = group_scales(array, own, entries, length) if len(array) else np.zeros(1)
            scale_of_group.append(_stored(scales, [dtype_name(weights[name])]))
        return scale_of_group

    def _priced(
        self, arrays: Mapping[str, np.ndarray], weights: Params, metrics: Metrics, scales: Sequence[Values]
    ) -> dict[str, GroupedCode]:
        """Return the codes that alternation finds from the best scale without a price."""
        entries, members = np.array(self.entries), members_of(arrays, weights, metrics)
        learned = self.scale == "learned" and len(scales) > 0
        start = float(scales[0].array[0]) if learned else 1.0
        scale, lengths = priced_scale(list(members.values()), entries, self.price, start, learned=learned)
        stored = _stored(np.full(int(learned), scale), [dtype_name(tensor) for tensor in weights.values()])
        codes = {}
        for (name, member), own in zip(members.items(), lengths, strict=True):
            held = self._held(name, member.values, dtype_name(weights[name]), stored)[0]
            indices = Symbols(settled(member, held, self.price, own), len(entries))
            codes[name] = GroupedCode(
                tuple(weights[name].shape),
                dtype_name(weights[name]),
                0,
                False,
                _codebook(self.entries),
                stored,
                indices,
            )
        return codes

    def _held(self, name: str, array: np.ndarray, dtype: str, scales: Values) -> np.ndarray:
        """Return the entries as a tensor of ``dtype`` will hold them, shape (groups, K), float64."""
        factors = scales.array.astype(np.float64) if len(scales) else np.ones(1)
        with np.errstate(over="ignore"):
            held = rounded(np.multiply.outer(factors, np.array(self.entries)), dtype).astype(np.float64)
        if len(array) and not np.isfinite(held).any():
            raise WeightsError(f"{name}: no entry of {list(self.entries)} fits into {dtype}; give smaller ones")
        return held

    def _encode(
        self, name: str, array: np.ndarray, shape: tuple[int, ...], dtype: str, length: int, scales: Values
    ) -> GroupedCode:
        """Return the code of one tensor with these scales."""
        codebook, held = _codebook(self.entries), self._held(name, array, dtype, scales)
        if length:
            indices = nearest_in_groups(array, held, length, outwards=True)
        else:
            indices = nearest(array, held[0], outwards=True)
        return GroupedCode(shape, dtype, length, False, codebook, scales, Symbols(indices, len(codebook)))

    def _allows(self, codes: Mapping[str, GroupedCode]) -> bool:
        """Say whether ``codes`` lie in the feasible set."""
        learned = self.scale == "learned"
        one = len({code.scales.array.tobytes() for code in codes.values()}) <= 1
        return (one or self._grouped) and all(
            not code.own
            and code.codebook.array.tobytes() == _codebook(self.entries).array.tobytes()
            and code.length == self._length(code.shape)
            and len(code.scales) == (code.groups if learned else 0)
            and not (code.scales.array < 0).any()
            for code in codes.values()
        )


def _has_zeros(metric: Metric) -> bool:
    """Say whether some weights have no importance."""
    return isinstance(metric, Diagonal) and not bool((metric.importance > 0).all())


def _same_but_for_rounding(codes: Codes, weights: Params) -> bool:
    """Say whether ``weights`` are what ``codes`` stand for, to the precision of their dtypes."""
    slack = sum(torch.finfo(w.dtype).eps ** 2 * float(w.double().square().sum()) for w in weights.values())
    return distortion(codes, weights) <= slack


@cache
def _codebook(entries: tuple[float, ...]) -> Values:
    """Return the entries as they are stored, the same object for the same entries: a file holds them once."""
    double = np.array(entries)
    with np.errstate(over="ignore"):
        single = double.astype(np.float32)
    return Values(single if np.array_equal(single, double) else double)


def _stored(scales: np.ndarray, dtypes: Sequence[str]) -> Values:
    """Return the scales in the dtype of the tensors; in float32 for 8-bit ones, which are too coarse."""
    dtype = widest(dtypes) if dtypes else "float32"
    if dtype not in ("float64", "float16", "bfloat16"):
        dtype = "float32"
    most = float(np.finfo(dtype).max) if dtype != "bfloat16" else 3.3895313892515355e38
    return Values(rounded(np.minimum(scales, most), dtype))


def _joined(arrays: Iterable[np.ndarray]) -> np.ndarray:
    """Return all values, one tensor after the other."""
    return np.concatenate([np.zeros(0, np.float32), *arrays])
