"""Sums: quantized plus a few exact weights, low rank plus sparse."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import final

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.corrected import Corrections, corrections
from laconic.csteps.joint import Joint, project
from laconic.csteps.terms import Problem, Term
from laconic.csteps.warm import feasible, of_kind
from laconic.errors import PlanError, UnsupportedMetric
from laconic.format.codes import Code, SumCode
from laconic.format.codes.sum import MOST
from laconic.models.params import Params, dtype_name, require_finite
from laconic.theory.metric import Metrics

STARTS = 3
"""Parts up to which every order is tried."""


@final
@dataclass(frozen=True)
class Additive(Compression):
    """Each tensor is a sum of compressed tensors, such as low rank plus sparse.

        min over Θ_1, …, Θ_n   Σ_t ‖w_t − Σ_j Δ_tj(Θ_j)‖²_metric

    Method: alternation. Each part in turn is fitted to the weights less the others, as they will be decompressed, and
    keeps its last code where the new one is no better: the objective never rises. Starts are the parts one after the
    other, in every order for two or three of them, and ``warm``; the best of the orders goes on until a sweep gains
    less than the tolerance. Not exact in general, and its own result may move when it is projected again. Parts have
    the tensor's dtype, and so does the sum, rounded once.

    Two parts of which one keeps the largest, lossless, are solved by `laconic.csteps.corrected`, which lets the other
    part disregard weights that are corrected: for codebooks that are not learned it is the joint optimum, the κ
    largest errors being corrected; for others a descent each step of which is as exact as the C step of the part.

    A part that is `Joint` has one constraint over all tensors of a row that is `Joint` itself: with
    ``Joint(Additive((Joint(AdaptiveCodebook(2)), KeepLargest(0.01))))`` all share two values and each has 1 % of
    corrections of its own. Without the outer one each tensor comes alone, and the inner ones change nothing.

    Source: Idelbayev & Carreira-Perpiñán, "More general and effective model compression via an additive combination of
    compressions" (ECML 2021, arXiv 2107.04380). Departures: several starts; a tolerance instead of ten sweeps; free
    corrections. Low rank plus sparse by turns is GoDec (Zhou & Tao, ICML 2011).

    Args:
        parts: two to eight compressions.
        sweeps: at most, not negative; with 0 parts are fitted one after the other, once.
        tolerance: relative gain of a sweep below which it ends, not negative.

    Raises:
        PlanError: for another number of parts, or negative sweeps or tolerance.

    >>> import torch
    >>> from laconic import AdaptiveCodebook, KeepLargest
    >>> sums = Additive((AdaptiveCodebook(2), KeepLargest(count=1)))
    >>> sums.project({"w": torch.tensor([1.0, 1.0, -1.0, 7.0, -1.0])})["w"].decompress()
    array([ 1.,  1., -1.,  7., -1.], dtype=float32)
    """

    parts: tuple[Compression, ...]
    sweeps: int = 30
    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        if not 2 <= len(self.parts) <= MOST:
            raise PlanError(f"parts of a sum are 2 to {MOST}, not {len(self.parts)}")
        if self.sweeps < 0:
            raise PlanError(f"sweeps are 0 or more, not {self.sweeps}")
        if not 0 <= self.tolerance < 1:
            raise PlanError(f"tolerance is a relative gain, at least 0 and below 1, not {self.tolerance}")

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `SumCode` a tensor, of the parts in their order.

        Raises:
            UnsupportedMetric: for a metric that a part cannot honour.
            WeightsError: for NaN and infinite weights, and shapes that a part does not take.
        """
        for name, tensor in weights.items():
            require_finite(name, tensor)
        if len(weights) > 1 and not any(isinstance(part, Joint) for part in self.parts):
            return project(self, weights, metrics, warm)  # nothing is shared: each tensor has its own turns
        problem = Problem(self.parts, weights, metrics or {})
        warm_codes = of_kind(SumCode, warm, weights)
        if warm_codes and any(len(code.terms) != len(self.parts) for code in warm_codes.values()):
            warm_codes = None
        before = warm_codes and tuple(
            Term({name: code.terms[j] for name, code in warm_codes.items()}) for j in range(len(self.parts))
        )
        best = min(self._solutions(problem, before or None), key=problem.value)
        new: dict[str, Code] = {
            name: SumCode(tuple(tensor.shape), dtype_name(tensor), tuple(term.codes[name] for term in best))
            for name, tensor in weights.items()
        }
        if warm_codes and before and problem.value(before) < problem.value(best) and self._allows(before):
            return dict(warm_codes)
        return new

    def scaled(self, factor: float) -> Compression:
        """Scale the parts."""
        return replace(self, parts=tuple(part.scaled(factor) for part in self.parts))

    def penalty(self, codes: Codes) -> float:
        """Return what the parts say."""
        sums = {name: code for name, code in codes.items() if isinstance(code, SumCode)}
        return sum(
            part.penalty({name: code.terms[j] for name, code in sums.items()}) for j, part in enumerate(self.parts)
        )

    def _solutions(self, problem: Problem, warm: Sequence[Term] | None) -> Iterator[Sequence[Term]]:
        """Give a solution from each kind of start."""
        keep = corrections(self.parts)
        if keep is not None:
            try:
                yield from Corrections(problem, keep, self.sweeps, self.tolerance).solve(warm)
                return
            except UnsupportedMetric:  # the other part takes no importances, or neither takes the metric
                pass
        indices = range(len(self.parts))
        orders = list(permutations(indices)) if len(self.parts) <= STARTS else [tuple(indices)]
        starts = [_sweep(problem, order, [None] * len(order)) for order in orders]
        order, start = min(zip(orders, starts, strict=True), key=lambda pair: problem.value(pair[1]))
        yield self._descent(problem, order, start)
        if warm is not None:
            yield self._descent(problem, tuple(indices), _sweep(problem, tuple(indices), warm))

    def _descent(self, problem: Problem, order: tuple[int, ...], terms: Sequence[Term]) -> Sequence[Term]:
        """Return where sweeps end that are each no worse than the last."""
        value = problem.value(terms)
        for _ in range(self.sweeps):
            before = value
            for j in order:
                new = problem.fit(j, [term for i, term in enumerate(terms) if i != j], terms[j])
                trial = [*terms[:j], new, *terms[j + 1 :]]
                reached = problem.value(trial)
                if reached <= value:
                    terms, value = trial, reached
            if not value < before * (1 - self.tolerance):
                break
        return terms

    def _allows(self, terms: Sequence[Term]) -> bool:
        """Say whether the terms lie in the feasible sets of the parts."""
        return all(feasible(part, term.codes) for part, term in zip(self.parts, terms, strict=True))


def _sweep(problem: Problem, order: tuple[int, ...], start: Sequence[Term | None]) -> list[Term]:
    """Return the terms after one sweep, whatever they were before: each is fitted to what the others leave."""
    terms = list(start)
    for j in order:
        terms[j] = problem.fit(j, [term for i, term in enumerate(terms) if i != j], terms[j])
    return [term for term in terms if term is not None]
