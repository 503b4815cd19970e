"""Second moments of what weights multiply, Σ_X: the one place where they are computed."""

from collections.abc import Iterable, Iterator, Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from laconic.errors import DataError, PlanError
from laconic.models.params import Params
from laconic.theory.importance.columns import columns_of
from laconic.theory.importance.layers import Call, run
from laconic.theory.importance.reading import Watch, leaves_of, once, read, wide
from laconic.training.batches import size_of
from laconic.training.task import Task, mode

_ROWS = 64
"""Samples of one piece."""

_AT_ONCE = 4096
"""Rows of one product in single precision: sums of more lose digits."""

_BLOCK = 1024
"""Rows of large moments that are worked on at a time, so that nothing as large as they are stands beside them."""


@final
class Moments:
    """Second moments of columns x, as they are gathered: products in the precision of x, sums in float64.

    With ``positions`` only so many positions of each sample are taken, at random, and stand for all of them: the
    expectation stays. Two that gather the same shapes with one seed take the same positions.

    Args:
        positions: of a sample, at most; all unless told.
        seed: of the choice of positions.

    Raises:
        PlanError: when ``positions`` is not positive.
    """

    def __init__(self, positions: int | None = None, seed: int = 0) -> None:
        if positions is not None and positions < 1:
            raise PlanError(f"positions must be at least 1, not {positions}; leave it out for all of them")
        self.samples = 0
        """Samples so far, those included that do not meet the weight."""
        self.columns = 0
        """Columns so far, of all calls, that sums are of."""
        self._rows = 0
        self._positions, self._chance = positions, torch.Generator().manual_seed(seed)
        self._sums: list[Tensor] = []
        self._second: Tensor | None = None
        self._cross: Tensor | None = None

    def add(self, columns: Sequence[Tensor], samples: int, others: Sequence[Tensor] = ()) -> None:
        """Add what some samples read.

        Args:
            columns: x of each call that the samples have led to, shape (groups, rows, c), sample by sample; there may
                be no call.
            samples: how many there are.
            others: x̂ at the same positions of the same calls: what another network reads there.

        Raises:
            DataError: when the shapes of columns and others differ.
        """
        if others and [x.shape for x in others] != [x.shape for x in columns]:
            shapes = (", ".join(str(tuple(x.shape)) for x in some) for some in (columns, others))
            raise DataError("moments are of columns at the same positions: {}, but the others {}".format(*shapes))
        self.samples += samples
        for call, x in enumerate(columns):
            self._rows += x.shape[1]
            kept, weight = self._chosen(x.shape[1], samples, len(columns))
            both = [x, others[call]] if others else [x]
            both = both if kept is None else [some[:, kept.to(some.device)] for some in both]
            self.columns += both[0].shape[1]
            sums = [some.sum(1, dtype=torch.float64) * weight for some in both]
            self._sums = [a + b for a, b in zip(self._sums, sums, strict=True)] if self._sums else sums
            self._second = _added(self._second, both[0], both[0], weight)
            if others:
                self._cross = _added(self._cross, both[0], both[1], weight)

    def _chosen(self, rows: int, samples: int, calls: int) -> tuple[Tensor | None, float]:
        """Return which rows of a call are taken, None for all, and for how many rows each stands."""
        blocks = samples if samples and rows % samples == 0 else 1  # a stratum each, where samples can be told apart
        each = rows // blocks
        wanted = rows if self._positions is None else max(1, self._positions * samples // (calls * blocks))
        if wanted >= each:
            return None, 1.0
        order = torch.rand(blocks, each, generator=self._chance).argsort(1)[:, :wanted]
        return (order + each * torch.arange(blocks).unsqueeze(1)).flatten(), each / wanted

    @property
    def second(self) -> Tensor:
        """E[Σ_p x xᵀ] over samples, positions p summed: float64, exactly symmetric, shape (groups, c, c).

        Raises:
            DataError: when there is none yet.
        """
        return _symmetric(self._mean(self._second, "columns have"))

    @property
    def cross(self) -> Tensor:
        """E[Σ_p x x̂ᵀ], float64, shape (groups, c, c).

        Raises:
            DataError: when no others were given.
        """
        return self._mean(self._cross, "others have")

    def taken(self) -> tuple[Tensor, Tensor | None]:
        """Return `second` and, where others were given, `cross`, in the place of the sums: these are no more then.

        Raises:
            DataError: when there is none yet.
        """
        if self._second is None or not self.samples:
            return self.second, None
        second, cross = self._second.div_(self.samples), self._cross
        self._second = self._cross = None
        return _symmetric(second), None if cross is None else cross.div_(self.samples)

    def _mean(self, total: Tensor | None, what: str) -> Tensor:
        """Return a sum over the samples as a mean."""
        if total is None or not self.samples:
            raise DataError(f"no {what} been added: the weight has not been met")
        return total / self.samples

    @property
    def means(self) -> tuple[Tensor, ...]:
        """E[x] over samples and positions, and E[x̂] where others were given: float64, shape (groups, c) each."""
        return tuple(total / max(1, self._rows) for total in self._sums)

    @property
    def positions(self) -> float:
        """At how many positions a sample meets the weight, in the mean, whether they are taken or not."""
        return self._rows / max(1, self.samples)


def _added(total: Tensor | None, left: Tensor, right: Tensor, weight: float) -> Tensor:
    """Return ``total`` with ``weight · leftᵀ right`` added to it, for each group."""
    groups, rows, columns = left.shape
    if total is None:
        total = left.new_zeros((groups, columns, columns), dtype=torch.float64)
    for start in range(0, rows, _AT_ONCE):
        piece = slice(start, start + _AT_ONCE)
        for first in range(0, columns, _BLOCK):
            own = slice(first, first + _BLOCK)
            total[:, own].add_(left[:, piece, own].transpose(1, 2) @ right[:, piece], alpha=weight)
    return total


def _symmetric(moments: Tensor) -> Tensor:
    """Return the means of matrices and their transposes, shape (groups, c, c), in their place."""
    for start in range(0, moments.shape[1], _BLOCK):
        rows = slice(start, start + _BLOCK)
        both = (moments[:, rows, start:] + moments[:, start:, rows].transpose(1, 2)) / 2
        moments[:, rows, start:] = both
        moments[:, start:, rows] = both.transpose(1, 2)
    return moments


def input_moments(
    task: Task, params: Params, *, samples: int | None = None, watch: Watch | None = None
) -> dict[str, Tensor]:
    """Return `A = E_x[Σ_p x_p x_pᵀ]` of every linear layer and every 2-d convolution, by the name of its weight.

    x_p is what the layer multiplies its weight with at position p of one sample: a row of its input, or a patch in
    the order of the weight's axes (channel, row, column). Positions are summed, not averaged, as the errors of what
    the layer writes add up. No constant 1 for the bias. A layer that is called twice, or two that share one weight,
    have the positions of both. Grouped convolutions are left out: each group reads inputs of its own.

    >>> from laconic.models.params import params_of
    >>> from laconic.training.judges import least_squares
    >>> module, inputs = torch.nn.Linear(2, 1, bias=False), torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    >>> task = Task(module, [(inputs, torch.zeros(2, 1))], least_squares)
    >>> input_moments(task, params_of(module))["weight"]
    tensor([[5., 1.],
            [1., 2.]])

    Args:
        task: module, in evaluation mode meanwhile, and training samples.
        params: weights of the network.
        samples: how many training samples; all unless told.
        watch: told of the progress.

    Raises:
        PlanError: when ``samples`` is not positive.
        DataError: when there are no samples.
    """
    params = once(task, params)
    gathered = Gathered()
    with mode(task.module, training=False), torch.no_grad():
        for batch in read(task, _ROWS, samples, watch):
            _, calls = run(task, params, batch)
            gathered.add(plain(calls, leaves_of(task, params)), size_of(batch))
    return {name: gathered.moment(name, params[name]) for name in gathered.moments}


def plain(calls: list[Call], leaves: Params) -> Iterator[tuple[Call, str]]:
    """Yield the calls of linear layers and of convolutions in one group, with the names of their weights."""
    for call in calls:
        grouped = isinstance(call.layer, nn.Conv2d) and call.layer.groups > 1
        if call.weight in leaves and not grouped and not isinstance(call.layer, _BatchNorm):
            assert call.weight is not None
            yield call, call.weight


@final
class Gathered:
    """Moments of several weights in one group each, as they are gathered."""

    def __init__(self) -> None:
        self.samples = 0
        self.moments: dict[str, Moments] = {}

    def add(self, calls: Iterable[tuple[Call, str]], samples: int) -> None:
        """Add what so many samples have read in calls, each with the name of its weight."""
        self.samples += samples
        for call, name in calls:
            self.moments.setdefault(name, Moments()).add([columns_of(call.layer, "weight", (call.read,))], samples)

    def moment(self, name: str, like: Tensor) -> Tensor:
        """Return the mean over the samples, exactly symmetric, in the type of a weight, float32 at least."""
        moments = self.moments[name]
        moments.samples = self.samples  # also those in whose calls it is not, and once where it is in several
        return moments.second[0].to(wide(like).dtype)

    def positions(self, name: str) -> float:
        """Return at how many positions one sample meets the weight."""
        self.moments[name].samples = self.samples
        return self.moments[name].positions
