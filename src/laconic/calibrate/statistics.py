"""What a weight meets in the network as far as it is compressed: moments, and what a bias makes good of them.

A bias that follows a weight takes up whatever its errors are in the mean, for nothing: what counts is the covariance of
the inputs, not their second moment. In W x + b with x as it is in the original and x̂ in the compressed network,

    min over Ŵ, b̂  E‖W x + b − Ŵ x̂ − b̂‖²   =   min over Ŵ  E‖W (x − m) − Ŵ (x̂ − m̂)‖²,     b̂ = b + W m − Ŵ m̂

For a weight of n columns two matrices n × n are held, in float64, of two networks: all is made in their place.

Of few samples correlations are larger than they are: those of Σ, and of the cross moments, count 1 − ρ, ρ by the oracle
approximating shrinkage of the correlations, which takes samples for normal and independent. It is next to nothing
where there are many, and 1 where columns are no more alike than chance would have them.

Source: Chen, Wiesel, Eldar & Hero, "Shrinkage algorithms for MMSE covariance estimation" (IEEE Trans. Signal
Processing 58, 2010), equation 23, here of correlations, for columns have units of their own.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import numpy as np
from torch import Tensor

from laconic.calibrate.calibration import Calibration
from laconic.calibrate.lockstep import ROOM, Lockstep, is_straight, room, walking
from laconic.calibrate.meeting import Survey
from laconic.models.params import Params
from laconic.theory.importance.moments import Moments

_ROUNDING = 1e-6
"""An input whose variance is below this share of its second moment is a constant: the rest is rounding."""

_BLOCK = 512
"""Rows of moments that are worked on at a time."""

_FEW = 16
"""Columns of fewer than so many say too little of a mean: the bias stays as it is."""


@final
@dataclass(frozen=True, eq=False)
class Statistics:
    """Of one weight, each of groups of rows; float64.

    Args:
        moments: of x̂, about their mean where a bias follows: shape (groups, n, n), positions of a sample added up.
        cross: of x and x̂, likewise; or None where these are the same.
        means: of x and of x̂, shape (groups, n) each; zeros where no bias follows, or columns are few.
        positions: of a sample.
    """

    moments: np.ndarray
    cross: np.ndarray | None
    means: tuple[np.ndarray, np.ndarray]
    positions: float

    @classmethod
    def of(cls, gathered: Moments, *, biased: bool) -> "Statistics":
        """Return what moments of x̂, and of x where they have others, come to; they are taken, `Moments.taken`."""
        (second, crossed), means = gathered.taken(), [mean.numpy() for mean in gathered.means]
        moments, cross = second.numpy(), None if crossed is None else crossed.numpy().transpose(0, 2, 1)
        after, before = means[0], means[-1]
        if not biased or gathered.positions * gathered.samples < _FEW:
            nothing = np.zeros(after.shape)
            _shrink(moments, cross, gathered.columns)
            return cls(moments, cross, (nothing, nothing), gathered.positions)
        squares = np.diagonal(moments, axis1=1, axis2=2).copy()
        _centre(moments, after, after, gathered.positions)  # exactly symmetric
        if cross is not None:
            _centre(cross, before, after, gathered.positions)
        steady = np.diagonal(moments, axis1=1, axis2=2) <= _ROUNDING * squares
        moments[steady[:, :, None] | steady[:, None, :]] = 0.0
        _shrink(moments, cross, gathered.columns)
        return cls(moments, cross, (before, after), gathered.positions)

    def with_all_groups(self) -> "Statistics":
        """Return the same with inputs as large as others' in the mean, all alike, for groups that read none."""
        energies = np.trace(self.moments, axis1=1, axis2=2)
        if not energies.all() and energies.any():
            typical = float(energies[energies > 0].mean()) / self.moments.shape[-1]
            self.moments[energies == 0] = typical * np.eye(self.moments.shape[-1])
        return self

    def shift(self, weights: np.ndarray, compressed: np.ndarray) -> np.ndarray:
        """Return W m − Ŵ m̂, float64, shape (outputs,): what the bias has to take up."""
        groups, columns = self.means[0].shape
        before, after = (one.astype(np.float64).reshape(groups, -1, columns) for one in (weights, compressed))
        return np.asarray((before @ self.means[0][..., None] - after @ self.means[1][..., None]).reshape(-1))


def _centre(moments: np.ndarray, left: np.ndarray, right: np.ndarray, positions: float) -> None:
    """Take the product of the means (groups, n) off moments (groups, n, n), in their place."""
    for start in range(0, moments.shape[1], _BLOCK):
        rows = slice(start, start + _BLOCK)
        moments[:, rows] -= positions * (left[:, rows, None] * right[:, None, :])


def _shrink(moments: np.ndarray, cross: np.ndarray | None, many: int) -> None:
    """Make what is beside the diagonals smaller by ρ, in their place.

    Args:
        moments: shape (groups, n, n).
        cross: likewise, or None.
        many: columns that they are of.
    """
    for g, own in enumerate(moments):
        scales = np.sqrt(np.diag(own))
        inverse = np.divide(1.0, scales, out=np.zeros(len(scales)), where=scales > 0)
        blocks = [slice(start, start + _BLOCK) for start in range(0, len(own), _BLOCK)]
        squares = sum(float(np.square(own[rows] * (inverse[rows, None] * inverse)).sum()) for rows in blocks)
        rho = shrinkage(squares, int(np.count_nonzero(scales)), many)
        for whole in (own,) if cross is None else (own, cross[g]):
            diagonal = np.diag(whole).copy()
            whole *= 1 - rho
            whole[np.diag_indices(len(whole))] = diagonal


def shrinkage(squares: float, columns: int, many: int) -> float:
    """Return ρ.

    Args:
        squares: Σ of the squares of all correlations, those of columns with themselves among them.
        columns: that are not constant.
        many: samples that correlations are of.

    >>> shrinkage(100.0, 10, 1_000_000) < 1e-5, shrinkage(10 + 90 / 20, 10, 20)
    (True, 1.0)
    """
    apart = squares - columns
    if apart <= 0 or many < 1:
        return 0.0
    share = 1 - 2 / columns
    return min((share * squares + columns**2) / ((many + share) * apart), 1.0)


class Follower(ABC):
    """The network as it was and as far as it is compressed, weight after weight."""

    @abstractmethod
    def statistics(self, name: str, *, biased: bool) -> Statistics:
        """Return what a weight meets now; weights are asked for in the order in which they are used.

        Args:
            name: of the weight.
            biased: whether a bias follows it.
        """

    @abstractmethod
    def put(self, name: str, tensor: Tensor) -> None:
        """Let a tensor of the compressed network be this one from here on."""


@contextmanager
def following(
    calibration: Calibration, params: Params, survey: Survey, positions: int | None, *, drift: bool = True
) -> Iterator[Follower]:
    """Give both networks, side by side where all that is between their layers fits in memory; else they run anew.

    Args:
        calibration: the module and its samples.
        params: the network as it was, by first names.
        survey: of its weights.
        positions: of a sample, at most, that stand for all.
        drift: whether there is a compressed network at all.
    """
    task, seen = calibration.task, calibration.seen
    places = [place for place in survey.places if not place.diagonal]
    if not (is_straight(places) and room(task, seen, places) <= ROOM):
        yield _Anew(calibration, dict(params), dict(params) if drift else None, positions)
        return
    with walking(task, params, seen, places) as original:
        if not drift:
            yield _Abreast(survey, original, None, positions)
            return
        with walking(task, params, seen, places) as compressed:
            yield _Abreast(survey, original, compressed, positions)


@final
@dataclass(frozen=True, eq=False)
class _Abreast(Follower):
    """Each network is run once."""

    survey: Survey
    original: Lockstep
    compressed: Lockstep | None
    positions: int | None

    def statistics(self, name: str, *, biased: bool) -> Statistics:
        place, gathered = self.survey.place(name), Moments(self.positions)
        if self.compressed is None:
            for meeting in self.original.meetings(place):
                gathered.add(meeting.columns(), meeting.samples)
        else:
            for before, after in zip(self.original.meetings(place), self.compressed.meetings(place), strict=True):
                same = place.form != "packed"  # experts are not chosen alike in both
                gathered.add(after.columns(), after.samples, before.columns() if same else ())
        found = Statistics.of(gathered, biased=biased)
        return found.with_all_groups() if place.form == "packed" else found

    def put(self, name: str, tensor: Tensor) -> None:
        if self.compressed is not None:
            self.compressed.put(name, tensor)


@final
@dataclass(frozen=True, eq=False)
class _Anew(Follower):
    """Both networks are run up to each layer."""

    calibration: Calibration
    original: Params
    compressed: dict[str, Tensor] | None
    positions: int | None

    def statistics(self, name: str, *, biased: bool) -> Statistics:
        place = self.calibration.place(self.original, name)
        if self.compressed is None:
            gathered = self.calibration.moments_at(self.original, name, positions=self.positions)
        else:
            same = place.form != "packed"
            beside = self.original if same else None
            gathered = self.calibration.moments_at(self.compressed, name, beside, self.positions)
        found = Statistics.of(gathered, biased=biased)
        return found.with_all_groups() if place.form == "packed" else found

    def put(self, name: str, tensor: Tensor) -> None:
        if self.compressed is not None:
            self.compressed[name] = tensor
