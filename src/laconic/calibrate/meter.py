"""How far a file is from the limit of what its layers read, and how well its weights keep the golden rules there.

    R(D) = min I(W; Ŵ)   subject to   Σ_l s_l tr(F_l E_l Σ_l E_lᵀ) ≤ D,     E = W − Ŵ

with F what errors of rows cost together, as it is believed (`laconic.calibrate.rows`), by reverse water-filling, for
Gaussian weights of each layer's mean square. What a file has above it, in bits a weight:

    levels    Σ_l R_l(D_l) − R(D): layers are not at one water level
    order     Σ_l [S_l(D_l) − R_l(D_l)]: columns come one after the other, on few steps, and moments are damped

    S = Σ_k n_k ½ log₂(1 + σ² μ_k/κ),     D = Σ_k n_k σ² c_k κ/(κ + σ² μ_k)

is what cancellation with ideal quantizers needs in the order of the coder and with its steps s: the information of the
channel Y = W + noise of precision M/κ, M = G diag(s⁻²) Gᵀ with G as in `laconic.calibrate.factor` of Σ and its damping,
read by the best linear estimate; μ_k are the eigenvalues of M, c_k what Σ is along its eigenvectors. As W → Y is a
channel of this error, S is never below R(D). For steps as 1/u and no damping M is Σ, in any order. Rows have a matrix
of the same kind under F; where they make good each other's errors, μ and c are the products of both. The other parts
are bytes of the file (`laconic.insight.gap`). Golden rules under Σ alone: the residual tr(E Σ Ŵᵀ) / tr(Ŵ Σ Ŵᵀ), 0 where
Ŵ is orthogonal to its error, and the objective tr(E Σ Eᵀ) / tr(W Σ Wᵀ).

Source: Gao, Liu, Wang & Oh, "Rate distortion for model compression" (2019), section 3 and theorem 2. The decomposition
is laconic's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from laconic.calibrate.factor import upper
from laconic.calibrate.rows import ALL_ALIKE, NONE, Rows
from laconic.calibrate.sequential import NEVER
from laconic.errors import FormatError
from laconic.theory.rate_distortion import Sources, network_rate

METER = "bound_meter"
"""Key of the metadata that holds the record."""

DIGITS = 3
"""Of each number of the record."""

_LEAST = 1e-12  # of the energy of a layer: no error counts as less, for R(0) is infinite
_DAMPING = 1e-9  # at least: factors are of what rounding leaves positive
_HALVINGS = 100
_MOST = 64.0  # bits a weight that a record may claim


@final
@dataclass(frozen=True)
class Reading:
    """What there is to say of one weight.

    Args:
        limit: R(D) at its own error, bits a weight.
        residual: tr(E Σ Ŵᵀ) / tr(Ŵ Σ Ŵᵀ): 0 where the first golden rule holds, and where Ŵ writes nothing.
        objective: tr(E Σ Eᵀ) / tr(W Σ Wᵀ), of the second: 0 to 1, or more for weights that are worse than zeros.
    """

    limit: float
    residual: float
    objective: float

    @property
    def factor(self) -> float:
        """The MMSE factor α = tr(W Σ Ŵᵀ) / tr(Ŵ Σ Ŵᵀ): α Ŵ has the least error, and residual 0."""
        return 1.0 + self.residual

    @property
    def factored(self) -> float:
        """The objective of α Ŵ: it is less by residual² · tr(Ŵ Σ Ŵᵀ) / tr(W Σ Wᵀ)."""
        double = 1.0 + 2 * self.residual
        share = (1.0 - self.objective) / double if double else 0.0  # tr(Ŵ Σ Ŵᵀ) / tr(W Σ Wᵀ)
        return min(max(self.objective - self.residual**2 * max(share, 0.0), 0.0), self.objective)


@final
@dataclass(frozen=True)
class Meter:
    """What the file of a network needs at least at its error, and what its coder needs more.

    Args:
        limit: R(D) of all calibrated weights at the error of the whole network, bits a weight of the network.
        levels: as above, likewise.
        order: as above, likewise.
        readings: of each weight by its name in the file, in the order of the file.
    """

    limit: float
    levels: float
    order: float
    readings: Mapping[str, Reading]

    def text(self, digits: int = DIGITS) -> str:
        """Return the record: numbers of the network, of one digit more, and then those of each weight.

        >>> Meter(1.2342, 0.01, 0.02, {"w": Reading(1.3, -0.012, 0.25)}).text()
        '1.234 .01 .02 1.3 -.012 .25'
        """
        whole = [_short(number, digits + 1) for number in (self.limit, self.levels, self.order)]
        own = [number for one in self.readings.values() for number in (one.limit, one.residual, one.objective)]
        return " ".join([*whole, *(_short(number, digits) for number in own)])

    @classmethod
    def parse(cls, text: str, names: Sequence[str]) -> "Meter":
        """Return the meter of a record.

        Args:
            text: as `text` gives it.
            names: of the weights that are on grids, in the order of the file.

        Raises:
            FormatError: when it is no record, or one of other weights.
        """
        words = text.split(" ")
        if len(words) != 3 + 3 * len(names):
            raise FormatError(f"{len(words)} numbers; of {len(names)} weights there should be {3 + 3 * len(names)}")
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            raise FormatError("what should be numbers is none") from None
        own = [Reading(*numbers[at : at + 3]) for at in range(3, len(numbers), 3)]
        bits = [*numbers[:3], *(one.limit for one in own)]
        if not all(0 <= number <= _MOST for number in bits):
            raise FormatError(f"bits a weight that are not between 0 and {_MOST:g}")
        if not all(math.isfinite(one.residual) and math.isfinite(one.objective) and one.objective >= 0 for one in own):
            raise FormatError("a residual that is not finite, or an objective that is negative or not finite")
        return cls(numbers[0], numbers[1], numbers[2], dict(zip(names, own, strict=True)))


@final
@dataclass(frozen=True, eq=False)
class Measured:
    """A weight under Σ.

    Args:
        sources: its independent parts, in units of the outputs.
        error: s tr(F E Σ Eᵀ), likewise.
        successive: S at this error, bits.
        residual: of the first golden rule.
        objective: of the second.
    """

    sources: Sources
    error: float
    successive: float
    residual: float
    objective: float

    @classmethod
    def of(
        cls, weights: np.ndarray, compressed: np.ndarray, moments: np.ndarray, columns: np.ndarray, steps: np.ndarray,
        worth: float = 1.0, damping: float = 1e-8, rows: Rows = ALL_ALIKE, placed: np.ndarray = NONE,
    ) -> "Measured":  # fmt: skip
        """Measure a weight.

        Args:
            weights: W, shape (m, n ...).
            compressed: Ŵ, likewise.
            moments: Σ of each group of rows, shape (groups, n, n), symmetric, not negative.
            columns: their order, the first that is coded first, shape (n,).
            steps: of each column, or one of all, shape (n,) or (1,).
            worth: s_l, by which its errors count, in rows whose k is 0.
            damping: of the moments that the coder had, in units of their mean.
            rows: what their errors cost beside each other.
            placed: their order, shape (m,), where they make good each other's.
        """
        groups, n = moments.shape[:2]
        before, after = (np.asarray(one, np.float64).reshape(groups, -1, n) for one in (weights, compressed))
        apart, seen = before - after, after @ moments
        energy, lost, left = (float(np.vdot(one @ moments, one)) for one in (before, apart, after))
        residual = float(np.vdot(apart, seen)) / left if left > 0 else 0.0
        eigenvalues = np.maximum(np.linalg.eigvalsh(moments), 0.0)
        variance = float(np.square(before).mean()) if before.size else 0.0
        if not (energy > 0 and variance * eigenvalues.any()):  # nothing is written, whatever stands there
            return cls(Sources(np.zeros(0), np.zeros(0)), 0.0, 0.0, 0.0, 0.0)
        objective = max(lost, _LEAST * energy) / energy
        error = max(rows.felt(apart.reshape(len(weights), n), moments), _LEAST * energy)
        parts = [_channel(own, columns, np.broadcast_to(steps, (n,)), damping) for own in moments]
        gains, costs = (variance * np.stack(own) for own in zip(*parts, strict=True))
        variances, counts = rows.spread(variance * eigenvalues, len(weights))
        if len(rows.between):
            above = _channel(rows.whole(len(weights)), placed, rows.steps(len(weights)), _DAMPING)
            gains, costs = (np.outer(*pair).reshape(-1) for pair in zip(above, (gains[0], costs[0]), strict=True))
            many = np.ones(len(gains))
        else:
            (gains, many), (costs, _) = (rows.spread(own, len(weights)) for own in (gains, costs))
        bits = _information(gains, costs, many, error)
        return cls(Sources(worth * variances, counts), worth * error, bits, residual, objective)


def metered(measured: Mapping[str, Measured], weights: Mapping[str, int], whole: int) -> Meter:
    """Return the meter of a network, its numbers as the record has them.

    Args:
        measured: its calibrated weights by name, in the order of the file.
        weights: how many numbers each has.
        whole: weights of the network, which its bits are counted for.
    """
    own = {name: _rate({name: one}) for name, one in measured.items()}
    least, each = _rate(measured), sum(own.values())
    successive = sum(one.successive for one in measured.values())
    readings = {
        name: Reading(own[name] / max(weights[name], 1), one.residual, one.objective) for name, one in measured.items()
    }
    parts = (least, max(each - least, 0.0), max(successive - each, 0.0))  # not negative but for rounding
    limit, levels, order = (bits / max(whole, 1) for bits in parts)
    meter = Meter(limit, levels, order, readings)
    return Meter.parse(meter.text(), list(readings))


def blank(weights: int) -> str:
    """Return a record of so many weights that says nothing: it takes the room that one will take, or somewhat more."""
    digits = np.random.default_rng(0).integers(1000, 10_000, (weights + 1, 3))
    words = [(f"{a / 1000:.2f}", f"-.0{b}", f".0{c}") for a, b, c in digits.tolist()]
    return " ".join(word for row in words for word in row)


def _rate(measured: Mapping[str, Measured]) -> float:
    """Return R(D) in bits of some weights together, at the sum of their errors."""
    error = sum(one.error for one in measured.values())
    return network_rate({name: one.sources for name, one in measured.items()}, error).rate if error > 0 else 0.0


def _channel(
    moments: np.ndarray, columns: np.ndarray, steps: np.ndarray, damping: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvalues of M, not negative, and what Σ is along its eigenvectors, shape (n,) each.

    Columns that are never read have 0.
    """
    diagonal = np.diag(moments)
    least = NEVER * float(diagonal.max(initial=0))
    read = columns[diagonal[columns] > least]
    gains, costs = np.zeros(len(diagonal)), np.zeros(len(diagonal))
    if not len(read):
        return gains, costs
    own = moments[np.ix_(read, read)]
    root = _root(own, max(damping, _DAMPING) * float(diagonal[read].mean()))
    feed = root / np.diag(root) / steps[read]
    values, vectors = np.linalg.eigh(feed @ feed.T)
    gains[: len(read)] = np.maximum(values, 0.0)
    costs[: len(read)] = np.maximum(np.sum(vectors * (own @ vectors), axis=0), 0.0)
    return gains, costs


def _root(moments: np.ndarray, ridge: float) -> np.ndarray:
    """Return an upper root of moments and a ridge, with more of it where rounding has left them below 0 somewhere.

    What a layer reads may vary by less than the digits of its mean have, and moments about that are noise.
    """
    unit = np.eye(len(moments))
    try:
        return upper(moments + ridge * unit)
    except np.linalg.LinAlgError:
        below = max(0.0, -float(np.linalg.eigvalsh(moments)[0]))
        return upper(moments + (ridge + 2 * below) * unit)


def _information(gains: np.ndarray, costs: np.ndarray, counts: np.ndarray, error: float) -> float:
    """Return Σ n ½ log₂(1 + g/κ) at the κ at which Σ n c κ/(κ + g) is an error; 0 where that is Σ n c, or more."""
    if error >= (1 - 1e-9) * float(counts @ costs):
        return 0.0

    def falls_short(level: float) -> bool:
        return float(counts @ (costs * (level / (level + gains)))) < error

    low, high = 0.0, float(gains.max())
    while falls_short(high):
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if falls_short(middle) else (low, middle)
    return 0.5 * float(counts @ np.log2(1.0 + gains / high))


def _short(number: float, digits: int) -> str:
    """Return a number in few characters.

    >>> [_short(number, 3) for number in (1.2345, -0.01234, 0.0, 1e-7)]
    ['1.23', '-.0123', '0', '1e-7']
    """
    text = f"{number:.{digits}g}".replace("e-0", "e-")
    return text.replace("0.", ".", 1) if text.removeprefix("-").startswith("0.") else text
