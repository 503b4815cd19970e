"""Where the LC algorithm stands, and its penalty: everything the L step needs to know of the compression."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import torch
from torch import Tensor

from laconic.calibrate.quality import Quality
from laconic.csteps.joint import Joint
from laconic.csteps.within_bytes import WithinBytes
from laconic.errors import UnsupportedMetric, WeightsError
from laconic.format.codes import Code, DenseCode
from laconic.lc.schedule import Progress
from laconic.lc.sizes import Sizes
from laconic.machines.exchange import Exchange
from laconic.models.params import Params, to_numpy
from laconic.plans.plan import Row
from laconic.theory.metric import Diagonal, Metrics, Unit
from laconic.training.loop import Penalty
from laconic.training.trainer import TrainState

_FLOOR = 0.01
"""Least importance beside the mean of 1: below it the L step would hardly feel the penalty."""


@final
@dataclass(frozen=True, eq=False)
class Point:
    """A feasible network on the path.

    Args:
        codes: of all its tensors.
        progress: of the step that it is the result of.
        least: the least validation error of all points so far.
        quality: what it reaches of the drop or the KL that is asked, where one is.
    """

    codes: Mapping[str, Code]
    progress: Progress
    least: float
    quality: Quality | None = None


@final
@dataclass(frozen=True, eq=False)
class LCState:
    """One point on the path: weights w, codes Θ with Δ(Θ), multipliers λ. Frozen; the L and C steps make new ones.

    Args:
        progress: step, μ, loss, gap and the share of choices that changed.
        rows: the plan's rows that constrain their tensors.
        weights: w: all parameters and buffers by name, the free ones too.
        codes: Θ: one code per constrained tensor.
        compressed: Δ(Θ) by name.
        multipliers: λ by name; all zero in the quadratic-penalty method.
        importance: M, the diagonal metric by name; a name that is missing has the unit metric.
        fixed: codes of the tensors that no L step moves: compressed once, no part of gap and penalty.
        tuning: where fine-tuning of the chosen codes stands, once the steps are done.
        best: of the points so far that a budget allows the one that is best on the validation split, where there is a
            budget: that of this step, or an earlier one. Where a drop or a KL is asked that of the smallest size that
            meets it, or, before one does, the nearest.
        sizes: where the search for the smallest size stands, where a drop or a KL is asked.
        choices: the codes whose choices the rows keep, where they had a price or a bound that shrinks (`relaxed`).
        began: the step at which the path began, or began anew.
        whole_price: μ from which prices that must grow are whole.
        exchange: how ranks exchange gradients in L steps, and share out C steps; None where this process is alone.
    """

    progress: Progress
    rows: tuple[Row, ...]
    weights: Params
    codes: Mapping[str, Code]
    compressed: Params
    multipliers: Params
    importance: Params
    fixed: Mapping[str, Code] = field(default_factory=dict)
    tuning: TrainState | None = None
    best: "Point | None" = None
    choices: Mapping[str, Code] | None = None
    began: int = 0
    whole_price: float = 0.0
    sizes: Sizes | None = None
    exchange: Exchange | None = None

    @property
    def since_began(self) -> Progress:
        """The progress, its steps counted from where the path began."""
        return replace(self.progress, step=self.progress.step - self.began)

    @property
    def params(self) -> dict[str, Tensor]:
        """The feasible network: Δ(Θ) where tensors are constrained, w elsewhere."""
        return {**self.weights, **self.compressed}

    @property
    def all_codes(self) -> dict[str, Code]:
        """A code for every tensor of the network: free ones are stored lossless."""
        codes = {**self.codes, **self.fixed}
        return {
            name: codes[name] if name in codes else DenseCode.of(to_numpy(tensor))
            for name, tensor in self.weights.items()
        }

    @property
    def chosen(self) -> Mapping[str, Code]:
        """The codes that the path has come to: the best of those within a budget, or else the last."""
        return self.best.codes if self.best else self.all_codes

    def target(self, mu: float) -> dict[str, Tensor]:
        """Return Δ(Θ) + M⁻¹λ/μ by name: the point that the penalty pulls w to."""
        return {name: self.compressed[name] + self._scaled(name) / mu for name in self.codes}

    def shifted(self, weights: Params, mu: float) -> dict[str, Tensor]:
        """Return w − M⁻¹λ/μ by name: the point that the C step projects. At μ = 0 there are no multipliers."""
        if mu == 0:
            return {name: weights[name] for name in self.codes}
        return {name: weights[name] - self._scaled(name) / mu for name in self.codes}

    def penalty(self, params: Params, mu: float) -> Tensor:
        """Return `(μ/2) ‖w − Δ(Θ) − M⁻¹λ/μ‖²_M`, 0-d and differentiable: the term to add to a loss of one's own.

        Args:
            params: w by name, such as ``dict(model.named_parameters())``; further names do no harm.
            mu: the penalty parameter μ > 0.
        """
        terms = []
        for name, target in self.target(mu).items():
            squares = (params[name] - target.to(params[name].device)).square()
            weighted = squares * self.importance[name].to(squares.device) if name in self.importance else squares
            terms.append(weighted.sum())
        return 0.5 * mu * sum(terms, start=torch.zeros(()))

    def max_importance(self) -> float:
        """Return the largest entry of M: the penalty's curvature is μ times it."""
        return max((float(self.importance[n].max()) if n in self.importance else 1.0 for n in self.codes), default=1.0)

    def _scaled(self, name: str) -> Tensor:
        """Return M⁻¹λ of tensor ``name``."""
        multiplier = self.multipliers[name]
        return multiplier / self.importance[name] if name in self.importance else multiplier


def budget_of(state: LCState) -> WithinBytes | None:
    """Return the compression that the file's size is asked of, if there is one, beside nothing."""
    inner = (row.compression.of for row in state.rows if isinstance(row.compression, Joint))
    return next((one.beside({}) for one in inner if isinstance(one, WithinBytes) and one.counts_others), None)


def meets_bytes(state: LCState) -> bool:
    """Return whether a row's C step meets a number of bytes: of the file, or of its own tensors alone."""
    inner = (row.compression.of if isinstance(row.compression, Joint) else row.compression for row in state.rows)
    return any(isinstance(one, WithinBytes) for one in inner)


def sized(rows: tuple[Row, ...], size: int) -> tuple[Row, ...]:
    """Return the rows with a file of another size."""
    return tuple(
        replace(row, compression=Joint(replace(row.compression.of, size=size)))
        if isinstance(row.compression, Joint)
        and isinstance(row.compression.of, WithinBytes)
        and row.compression.counts_others
        else row
        for row in rows
    )


@final
class QuadraticPenalty(Penalty):
    """The state's penalty at one μ with its gradient `μ M (w − target)` in closed form: two passes, no new memory.

    Args:
        state: Δ(Θ), λ and M.
        mu: the penalty parameter μ > 0.
    """

    def __init__(self, state: LCState, mu: float) -> None:
        self._mu = mu
        self._importance = state.importance
        self._target = state.target(mu)

    def add_gradient(self, leaves: Mapping[str, Tensor]) -> None:
        """Add μ M (w − target) to the gradients in place."""
        for name, target in self._target.items():
            if name not in leaves:
                continue
            leaf = leaves[name]
            if leaf.grad is None:
                leaf.grad = torch.zeros_like(leaf)
            if name in self._importance:
                leaf.grad.addcmul_(self._importance[name], leaf - target, value=self._mu)
            else:
                leaf.grad.add_(leaf, alpha=self._mu).sub_(target, alpha=self._mu)

    def value(self, leaves: Mapping[str, Tensor]) -> Tensor:
        """Return `(μ/2) ‖w − target‖²_M` over the constrained tensors among ``leaves``, 0-d."""
        total = torch.zeros(())
        for name, target in self._target.items():
            if name in leaves:
                difference = leaves[name].detach() - target
                weighted = difference * self._importance[name] if name in self._importance else difference
                total = total + _dot(difference, weighted)
        return 0.5 * self._mu * total


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the sum of products, 0-d, in float32 at least."""
    a, b = a.view(-1), b.view(-1)
    return torch.dot(a, b) if a.itemsize >= 4 else torch.dot(a.float(), b.float())


def normalised_importance(metrics: Metrics, names: list[str], weights: Params) -> dict[str, Tensor]:
    """Return the diagonal metrics of the constrained tensors, scaled to mean 1 over all, then floored at 0.01.

    A tensor without a metric keeps the unit one, whose mean is 1 too.

    Raises:
        UnsupportedMetric: for a metric that is neither unit nor diagonal: the L step needs a quadratic penalty.
        WeightsError: for importances that are not of their tensor's shape, or that are all zero.
    """
    given = {name: metrics[name] for name in names if not isinstance(metrics.get(name, Unit()), Unit)}
    diagonal: dict[str, Tensor] = {}
    for name, metric in given.items():
        if not isinstance(metric, Diagonal):
            raise UnsupportedMetric(f"{name}: the LC algorithm takes a diagonal metric, not {type(metric).__name__}")
        if metric.importance.shape != weights[name].shape:
            shapes = f"{tuple(metric.importance.shape)}, weights {tuple(weights[name].shape)}"
            raise WeightsError(f"{name}: importances of shape {shapes}")
        diagonal[name] = metric.importance.double()
    count = sum(tensor.numel() for tensor in diagonal.values())
    mean = sum(float(tensor.sum()) for tensor in diagonal.values()) / max(count, 1)
    if count and mean == 0:
        raise WeightsError(f"all importances of {', '.join(diagonal)} are zero; leave the metric out instead")
    return {name: (tensor / (mean or 1)).clamp_min(_FLOOR).to(weights[name]) for name, tensor in diagonal.items()}
