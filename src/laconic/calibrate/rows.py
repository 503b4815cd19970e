"""Rows of a layer whose errors are not worth the same, and what they cost together.

    min over Ŵ   tr(F E Σ Eᵀ) + price · bits(Ŵ),     E = W − Ŵ,     F_rq = E over samples and positions of g_r g_q

g is the gradient by what the layer writes. With F = D M D, D = diag(2^(k_r/2)), row r is quantized as W_r 2^(k_r/2)
would be, and makes good by M what the errors of rows before it have cost (`laconic.calibrate.sequential`): 2^k is what
an error in a row costs once later rows have made up for it, so that M has them all cost about the same. Against one
step for all rows this saves up to ½ log₂ of the arithmetic mean of F_rr over the geometric mean of F's eigenvalues, in
bits a weight (`benchmarks/rows.py` says how much in some networks). Rows of a group are not known to each other, nor
those of many outputs and few inputs: for these k follows F_rr, and M = 1.

What a gradient says is true of small errors and of the samples that were seen: F_rr counts with the power `TRUST`, no
row is worth less than `LEAST` of the median, and correlations count `ALIKE`.

Source: a Fisher matrix that is a Kronecker product (Martens & Grosse, "Optimizing neural networks with
Kronecker-factored approximate curvature", ICML 2015); rounding under it, with both factors, is that of Tseng et al.,
"Model-preserving adaptive rounding" (arXiv:2505.22988), here with steps of rows and a trellis.
"""

from dataclasses import dataclass, field
from typing import final

import numpy as np

from laconic.calibrate.factor import Factor, ordered
from laconic.format.codes.grid import fineness

TRUST = 0.7
"""The power of what is measured that is believed: see `docs/notes/calibration.md`."""

LEAST = 0.1
"""Of the median of the rows that are felt."""

ALIKE = 0.8
"""Of the correlation of two rows' gradients that is believed."""

NONE = np.zeros(0, np.int64)
"""For rows that are all worth the same."""

APART = np.zeros((0, 0))
"""For rows that do not make good each other's errors."""

_PER_OCTAVE = 8  # classes of eigenvalues of F in each factor of 2, when they are counted


@final
@dataclass(frozen=True, eq=False)
class Rows:
    """What errors in the rows of a weight are worth beside each other.

    Args:
        finer: k of each row, from 0 on, int64, shape (m,); none where all are worth the same.
        between: M, shape (m, m), symmetric, positive definite; (0, 0) for 1.
        unit: what an error in a row whose k is 0 is worth, where rows are worth 1 in the mean.
        measured: what errors under F as it is believed cost by what was measured: the share of it.
    """

    finer: np.ndarray = field(default_factory=lambda: NONE)
    between: np.ndarray = field(default_factory=lambda: APART)
    unit: float = 1.0
    measured: float = 1.0

    @classmethod
    def of(cls, felt: np.ndarray, products: np.ndarray = APART, *, even: bool = False) -> "Rows":
        """Return what rows are worth.

        Args:
            felt: what a squared error of what each row writes is to the outputs, not negative, shape (m,).
            products: F in any unit, shape (m, m), where rows may make good each other's errors; its diagonal may be
                another than ``felt``, which says what rows are worth.
            even: whether all rows have the same steps.

        >>> Rows.of(np.array([1.0, 1.0, 32.0, 0.0])).finer.tolist(), Rows.of(np.ones(3)).finer.tolist()
        ([2, 2, 6, 0], [])
        """
        if not (felt > 0).any():
            return cls()
        trusted = np.maximum(felt, LEAST * float(np.median(felt[felt > 0]))) ** TRUST
        if not (len(products) and np.trace(products) > 0):
            finer = NONE if even else _powers(trusted)
            each = 1 / np.square(cls(finer).steps(len(felt)))
            return cls(finer, APART, 1 / each.mean(), float((felt / each).mean() * each.mean() / felt.mean()))
        whole = _alike(products) * np.sqrt(np.outer(trusted, trusted)) / trusted.mean()
        left = np.square(ordered(whole, Factor.of(whole).classes))
        finer = NONE if even else _powers(left)
        scales = 1 / cls(finer).steps(len(left))
        unit = float(np.exp2(np.log2(left / np.square(scales)).mean()))
        measured = float(np.trace(np.linalg.solve(whole, products))) / float(np.trace(products))
        return cls(finer, whole / np.outer(scales, scales) / unit, unit, measured)

    def stretched(self, weights: np.ndarray) -> np.ndarray:
        """Return weights in units of their rows, whose errors then are all worth the same, float64.

        Args:
            weights: shape (m, ...).

        >>> Rows(np.array([0, 2])).stretched(np.ones((2, 1))).tolist()
        [[1.0], [2.0]]
        """
        plain = np.asarray(weights, np.float64)
        return np.asarray(plain / self.steps(len(plain)).reshape(-1, *[1] * (plain.ndim - 1)))

    def steps(self, rows: int) -> np.ndarray:
        """Return the step of each row beside that of one whose k is 0, shape (rows,)."""
        return np.asarray(fineness(self.finer)) if len(self.finer) else np.ones(rows)

    def whole(self, rows: int) -> np.ndarray:
        """Return F in units of a row whose k is 0, shape (rows, rows)."""
        steps = self.steps(rows)
        return (self.between if len(self.between) else np.eye(rows)) / np.outer(steps, steps)

    def solved(self, felt: np.ndarray) -> np.ndarray:
        """Return X with F X = ``felt``, of shape (m, n), in units of a row whose k is 0.

        >>> Rows(np.array([0, 2])).solved(np.ones((2, 1))).tolist()
        [[1.0], [0.25]]
        """
        steps = self.steps(len(felt))[:, None]
        plain = felt * steps
        return np.asarray(steps * (np.linalg.solve(self.between, plain) if len(self.between) else plain))

    def mean(self) -> float:
        """Return what an error in a row is worth in the mean, in units of one whose k is 0."""
        each = 1 / np.square(self.steps(max(len(self.between), 1)))
        return float((each * np.diag(self.between)).mean() if len(self.between) else each.mean())

    def felt(self, errors: np.ndarray, moments: np.ndarray) -> float:
        """Return tr(F E Σ Eᵀ), in units of a row whose k is 0.

        Args:
            errors: E, shape (m, n).
            moments: Σ of each group of rows, shape (groups, n, n).
        """
        grouped = self.stretched(errors).reshape(len(moments), -1, moments.shape[-1])
        seen = (grouped @ moments).reshape(errors.shape)
        flat = grouped.reshape(errors.shape)
        return float(np.vdot(self.between @ flat if len(self.between) else flat, seen))

    def spread(self, values: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return numbers of each group times the eigenvalues of F, and how often each occurs.

        Args:
            values: of the rows of each group, shape (groups, n).
            rows: m; more than one group have M = 1.
        """
        found, counts = list[np.ndarray](), list[np.ndarray]()
        for own, some in zip(values, self._eigenvalues(rows, len(values)), strict=True):
            for factor, many in zip(*some, strict=True):
                found.append(own * factor)
                counts.append(np.full(len(own), float(many)))
        return np.concatenate(found or [np.zeros(0)]), np.concatenate(counts or [np.zeros(0)])

    def _eigenvalues(self, rows: int, groups: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return those of F of each group of rows, nearly equal ones as their mean, and how many these are."""
        if not len(self.between):
            each = 1 / np.square(self.steps(rows))
            parts = np.split(each[: rows // groups * groups], groups)
        else:
            parts = [np.maximum(np.linalg.eigvalsh(self.whole(rows)), 1e-300)]
        found = []
        for own in parts:
            _, which, many = np.unique(np.rint(_PER_OCTAVE * np.log2(own)), return_inverse=True, return_counts=True)
            found.append((np.bincount(which, own) / many, many))
        return found


ALL_ALIKE = Rows()
"""Rows that are all worth the same, and do not know of each other."""


def _powers(worths: np.ndarray) -> np.ndarray:
    """Return log₂ of what rows are worth as whole numbers from 0 on; none where all are the same."""
    powers = np.rint(np.log2(worths)).astype(np.int64)
    own = powers - powers.min()
    return own if own.any() else NONE


def _alike(products: np.ndarray) -> np.ndarray:
    """Return the correlations that are believed, float64; of rows without a gradient 0."""
    sizes = np.sqrt(np.diag(products).astype(np.float64))
    inverse = np.divide(1.0, sizes, out=np.zeros(len(sizes)), where=sizes > 0)
    alike = ALIKE * products * np.outer(inverse, inverse)
    np.fill_diagonal(alike, 1.0)
    return np.asarray((alike + alike.T) / 2)
