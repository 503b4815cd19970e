"""What is compared: ways to make a network of what a file holds, each with some settings, all within the same bytes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np
from torch import Tensor

from laconic.csteps.compression import Compression
from laconic.csteps.fixed_assignments import FixedAssignments, Hashed
from laconic.csteps.parametrisations import Cosine, Factors, Parametrisation, Plain, Shared
from laconic.csteps.random_vectors import RandomVectors
from laconic.errors import PlanError
from laconic.format import container
from laconic.format.codes import Code, DrawnCode, HashedCode, Symbols, Values
from laconic.plans.patterns import fnmatch_escape
from laconic.plans.plan import Plan

BASELINE = "within_bytes"
"""The variant that others are held against: integers of the weights themselves."""

_LEAST = 1 / 3
"""Of the mean rate, that of any tensor at least: a layer of which nothing is told says nothing to the next."""

_BIAS, _TENSOR, _TABLE = 0.5, 30, 80
"""Bytes that are left for each bias, for the name and the record of its tensor, and for the tables of all of these."""


@final
@dataclass(frozen=True)
class Setting:
    """One way to make the weights.

    Args:
        variant: what it is a setting of.
        label: names it among those of the variant.
        parametrisation: of what is on the grid.
        drawn: weights that share a value which is drawn in blocks, 1 for none that do; 0 where nothing is drawn.
        in_turn: whether these blocks are encoded one after the other (`laconic.lc.block_by_block`), not by LC.
    """

    variant: str
    label: str
    parametrisation: Parametrisation = field(default=Plain())
    drawn: float = 0.0
    in_turn: bool = False

    def plan(self, params: Mapping[str, Tensor], size: int, notes: Mapping[str, str]) -> Plan:
        """Return the rows beside the budget: of weights that are drawn, so long as the file leaves room for the rest.

        Raises:
            PlanError: when there is none.
        """
        if not self.drawn:
            return Plan({})
        return drawn_within(params, size, self.drawn, notes)


def settings_of(net: str, maps: tuple[int, int]) -> tuple[Setting, ...]:
    """Return what is compared on a network: the baseline, and three settings or more of each other variant.

    Args:
        net: "lenet300" or "lenet5".
        maps: (height, width) of the maps that its first fully connected layer reads.
    """
    height, width = maps
    convolutional = net == "lenet5"
    forms = [Cosine((height, width)), Cosine((1, width)), Cosine() if convolutional else Cosine((height // 4, width))]
    shared, ranks = ((4, 16, 64), (2, 4, 8, 16)) if convolutional else ((2, 8, 32), (4, 8, 16, 32))
    return (
        Setting(BASELINE, "weights"),
        *(Setting("cosine", _said(one), one) for one in forms),
        *(Setting("shared", f"{number} weights a value", Shared(float(number))) for number in shared),
        *(Setting("factors", f"rank {rank} at most", Factors(rank)) for rank in ranks),
        Setting("drawn", "blocks of weights, by LC", drawn=1.0),
        Setting("drawn", "blocks of weights, in turn", drawn=1.0, in_turn=True),
        *(Setting("drawn", f"{n} weights a value, in turn", drawn=float(n), in_turn=True) for n in shared),
    )  # fmt: skip


def _said(cosine: Cosine) -> str:
    """Return what is transformed, in a few words."""
    return "kernels alone" if cosine == Cosine() else "maps of {} × {}".format(*cosine.maps)


def drawn_within(params: Mapping[str, Tensor], size: int, share: float, notes: Mapping[str, str]) -> Plan:
    """Return the rows of weights that are drawn, the tensors at rates of one water level.

        R_t = max(½ log₂(σ_t² / D), R / 3),   D so that the file has room for the biases

    σ_t² is the variance of what is drawn: of the weights, or of the means of weights that share a value; R is the mean
    rate. Rates are those of whole numbers of weights a block of 12 bits.

    Args:
        params: the network before.
        size: bytes of the file.
        share: weights that share a value; 1 for none that do. A tensor keeps 1000 values.
        notes: text that the file will have.

    Raises:
        PlanError: when the file is too small for any rate.
    """
    weights = {name: tensor for name, tensor in params.items() if tensor.ndim > 1}
    rest = [tensor.numel() for name, tensor in params.items() if name not in weights]
    room = size - math.ceil(_BIAS * sum(rest)) - _TENSOR * len(rest) - _TABLE
    shared = Shared(max(share, 1 + 1e-9))
    counts, variances = dict[str, int](), dict[str, float]()
    for name, tensor in weights.items():
        array = tensor.detach().double().cpu().numpy()
        values = shared.numbers(name, array, np.zeros(0), None)[0].array if share > 1 else array
        counts[name], variances[name] = values.size, float(np.square(values).mean())

    least = max(_LEAST * 8 * room / max(sum(counts.values()), 1), 1e-9)

    def lengths(octaves: float) -> dict[str, int]:
        rates = {n: 0.5 * (math.log2(v) - octaves) if v > 0 else 0.0 for n, v in variances.items()}
        return {n: min(max(round(12 / max(rate, least)), 1), counts[n]) for n, rate in rates.items()}

    def fits(octaves: float) -> bool:
        codes = {
            name: _blank(tuple(weights[name].shape), counts[name], length) for name, length in lengths(octaves).items()
        }
        return container.bits(codes, notes) // 8 <= room

    low, high = -60.0, 20.0
    if room <= 0 or not fits(high):
        raise PlanError(f"{size:,} bytes are too few for drawn blocks beside the biases")
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return Plan(
        {fnmatch_escape(name): _row(counts[name], weights[name].numel(), n) for name, n in lengths(high).items()}
    )


def _row(count: int, size: int, length: int) -> Compression:
    """Return the row of a tensor of so many weights, of which so many values are drawn in blocks."""
    vectors = RandomVectors(length)
    return vectors if count == size else FixedAssignments(Hashed(count), values=vectors)


def _blank(shape: tuple[int, ...], count: int, length: int) -> Code:
    """Return a code of the size that any one has: indices of noise."""
    blocks = -(-count // length)
    indices = Symbols(np.random.default_rng(0).integers(0, 1 << 12, blocks), 1 << 12)
    drawn = DrawnCode(shape, "float32", (1 << 32) - 1, length, Values(np.array([0.123], np.float32)), indices)
    if count == math.prod(shape):
        return drawn
    return HashedCode(shape, "float32", (1 << 32) - 1, replace(drawn, shape=(count,)))
