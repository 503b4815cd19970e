"""One compression and κ weights that are stored exactly beside it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch

from laconic.csteps.adaptive_codebook import AdaptiveCodebook
from laconic.csteps.compression import Compression
from laconic.csteps.fixed_codebook import FixedCodebook
from laconic.csteps.flat import flat, importances
from laconic.csteps.joint import Joint
from laconic.csteps.keep_largest import KeepLargest
from laconic.csteps.lossless import Lossless
from laconic.csteps.terms import Problem, Term
from laconic.format.codes import CodebookCode
from laconic.models.params import to_torch
from laconic.quantize.clustering import trimmed, trimmed_sets
from laconic.theory.metric import Diagonal, Metric, Unit, diagonal_of


@final
@dataclass(frozen=True, eq=False)
class Corrections:
    """Finds Θ and the set S of corrected weights, where corrections are lossless.

        min over Θ, S   Σ_{i ∉ S} h_i (w_i − Δ_i(Θ))²,   |S| ≤ κ

    It is the problem of `Additive` for two parts, with the corrections w_i − Δ_i(Θ), i ∈ S, put in. Method: S and Θ in
    turn, each given the other: S is where the κ largest h_i (w_i − Δ_i)² are; Θ is the C step with importances that
    are 0 in S, as good as the compression solves it. Fitting Θ to the weights less the corrections, as alternation
    over parts does, would hold it fast at the last Δ on S. Starts: S empty, and S the κ largest h_i w_i².
    Where each Δ_i depends on w_i alone the first Θ is right for every S, so that the first round is the joint optimum.
    A learned codebook under the unit metric goes by `laconic.quantize.clustering.trimmed`, one sort for all rounds; a
    given codebook with one scale starts from the sets of `laconic.quantize.clustering.trimmed_sets`, too.

    Args:
        problem: of two parts.
        keep: which of them is the corrections.
        sweeps: rounds at most.
        tolerance: relative gain of a round below which it ends.
    """

    problem: Problem
    keep: int
    sweeps: int
    tolerance: float

    @property
    def other(self) -> int:
        """Which of the parts is not the corrections."""
        return 1 - self.keep

    def solve(self, warm: Sequence[Term] | None) -> Iterator[tuple[Term, ...]]:
        """Give a solution from each start.

        Raises:
            UnsupportedMetric: where the other part takes no importances.
        """
        part = self.problem.parts[self.other]
        first = self.problem.fit(self.other, ())
        if part.assigns_each_weight_alone:
            yield self._corrected(first)
            return
        book, kappa = self._pooled()
        if book is not None:
            yield self._corrected(self._codebook(book, kappa, warm))
            return
        yield self._descent(self._corrected(first))
        yield self._descent(self._refitted(_support(self.problem.fit(self.keep, ())), None))
        for support in self._sets():
            yield self._descent(self._refitted(support, None))
        if warm is not None:
            yield self._descent(self._refitted(_support(warm[self.keep]), warm[self.other]))

    def _corrected(self, term: Term) -> tuple[Term, ...]:
        """Return ``term`` with its best corrections."""
        return self._ordered(term, self.problem.fit(self.keep, (term,)))

    def _ordered(self, term: Term, corrections: Term) -> tuple[Term, ...]:
        """Return both terms in the order of the parts."""
        return (term, corrections) if self.keep == 1 else (corrections, term)

    def _refitted(self, support: Mapping[str, np.ndarray], warm: Term | None) -> tuple[Term, ...]:
        """Return the best Θ where the weights of ``support`` are corrected, and its corrections."""
        masked: dict[str, Metric] = {}
        for name, tensor in self.problem.weights.items():
            h = diagonal_of(self.problem.metrics, name, tensor)
            free = to_torch(np.asarray(~support[name])).to(tensor.device)
            masked[name] = Diagonal(torch.where(free, torch.ones_like(tensor) if h is None else h, 0.0))
        return self._corrected(self.problem.fit(self.other, (), warm, masked))

    def _descent(self, terms: tuple[Term, ...]) -> tuple[Term, ...]:
        """Return where rounds end that are each better than the last."""
        value = self.problem.value(terms)
        for _ in range(self.sweeps):
            refitted = self._refitted(_support(terms[self.keep]), terms[self.other])
            reached = self.problem.value(refitted)
            if not reached < value:
                break
            small = reached >= value * (1 - self.tolerance)
            terms, value = refitted, reached
            if small:
                break
        return terms

    def _pooled(self) -> tuple[AdaptiveCodebook | None, int]:
        """Return codebook and κ where both are over the same tensors, all of them, under the unit metric."""
        parts, weights = self.problem.parts, self.problem.weights
        book, kappa = _within(parts[self.other]), self._kappa()
        unit = all(isinstance(self.problem.metrics.get(name, Unit()), Unit) for name in weights)
        if not isinstance(book, AdaptiveCodebook) or kappa is None or not unit:
            return None, 0
        if book != AdaptiveCodebook(book.entries):  # groups, prices and other starts are other problems
            return None, 0
        return book, kappa

    def _kappa(self) -> int | None:
        """Return κ where both parts are over the same tensors, all of them."""
        parts, weights = self.problem.parts, self.problem.weights
        keep = _within(parts[self.keep])
        one_group = len(weights) == 1 or all(isinstance(part, Joint) for part in parts)
        if not isinstance(keep, KeepLargest) or not one_group:
            return None
        return keep.kappa(sum(tensor.numel() for tensor in weights.values()))

    def _sets(self) -> Iterator[dict[str, np.ndarray]]:
        """Give sets to start from where the other part is a given codebook with one scale."""
        book, kappa, weights = _within(self.problem.parts[self.other]), self._kappa(), self.problem.weights
        if not isinstance(book, FixedCodebook) or book != FixedCodebook(book.entries) or kappa is None:
            return
        values = np.concatenate([flat(name, tensor) for name, tensor in weights.items()])
        h = importances(weights, self.problem.metrics)
        ends = np.cumsum([tensor.numel() for tensor in weights.values()])[:-1]
        for out in trimmed_sets(values, h, np.array(book.entries), kappa):
            parts = np.split(out, ends)
            yield {n: part.reshape(tuple(w.shape)) for (n, w), part in zip(weights.items(), parts, strict=True)}

    def _codebook(self, book: AdaptiveCodebook, kappa: int, warm: Sequence[Term] | None) -> Term:
        """Return the codes of the codebook that is best for all but ``kappa`` weights."""
        weights = self.problem.weights
        arrays = {name: flat(name, tensor) for name, tensor in weights.items()}
        values = np.concatenate([np.zeros(0, np.float32), *arrays.values()])
        codes = list(warm[self.other].codes.values()) if warm else []
        warm_entries = codes[0].codebook.array if codes and isinstance(codes[0], CodebookCode) else None
        start = None if warm_entries is None else np.unique(warm_entries.astype(np.float64))
        return Term(book.encode(trimmed(values, book.entries, kappa, start), arrays, weights, {}))


def corrections(parts: Sequence[Compression]) -> int | None:
    """Return which of two parts stores weights as they are where it wants to, or None."""
    if len(parts) != 2:
        return None
    inner = [_within(part) for part in parts]
    places = [j for j in (1, 0) if isinstance(keep := inner[j], KeepLargest) and isinstance(keep.values, Lossless)]
    return places[0] if places else None


def _support(corrections: Term) -> dict[str, np.ndarray]:
    """Return which weights are corrected."""
    return {name: np.asarray(array != 0) for name, array in corrections.arrays.items()}


def _within(part: Compression) -> Compression:
    """Return what is in `Joint`."""
    return part.of if isinstance(part, Joint) else part
