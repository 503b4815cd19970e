"""When rounds of pruning end: at what the plan keeps, at a size, or before a drop; and which round is kept."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import final

from laconic.errors import PlanError
from laconic.format import container
from laconic.format.codes import Code
from laconic.format.compact import compact
from laconic.insight.ledger import REFERENCE_BYTES
from laconic.lc.bounds import Bound, told
from laconic.lc.points import figure
from laconic.lc.state import LCState, Point
from laconic.models.params import Arrays, Params, buffers_of
from laconic.models.ties import Untied
from laconic.quantize.budget import Budget
from laconic.quantize.budget.survey import survey
from laconic.training.task import Task


@final
@dataclass(frozen=True, eq=False)
class Until:
    """What ends rounds: see `of`.

    Args:
        task: says how good a round is, on its validation split.
        bytes_of: codes → bytes of the file.
        size: in bytes, that the file is to have at most, if that is asked.
        judge: says what a network reaches of the drop or the KL that is asked, if one is.
    """

    task: Task
    bytes_of: Callable[[Mapping[str, Code]], int]
    size: int | None = None
    judge: Bound | None = None

    @classmethod
    def of(
        cls, task: Task, network: Untied, metadata: Mapping[str, str], budget: Budget | None, reference: Params
    ) -> "Until":
        """Return what a budget asks of rounds: without one they end where the plan's shares are reached.

        Args:
            task: what is trained.
            network: each tensor once.
            metadata: text of the file, with the size of the uncompressed one.
            budget: a number of bytes, at which rounds end; or a drop or a KL, before which they do.
            reference: the original's parameters and buffers.

        Raises:
            PlanError: for an SNR.
            DataError: for a drop or a KL without a validation split.
        """

        def bytes_of(codes: Mapping[str, Code]) -> int:
            return container.bits(network.named(compact(codes)), metadata) // 8

        if budget is None:
            return cls(task, bytes_of)
        if budget.is_of_outputs:
            return cls(task, bytes_of, judge=Bound.of(task, reference, budget))
        buffers, tensors = network.only(buffers_of(task.module)), Arrays(network.params)
        weights = sum(
            survey(name, tensors[name], "buffer" if name in buffers else "settled").weights for name in tensors
        )
        size = budget.bytes(weights, int(metadata[REFERENCE_BYTES]))
        if size is None:
            raise PlanError(f"{budget} is none that rounds of pruning meet: name bytes, bits, a ratio, a drop or a KL")
        return cls(task, bytes_of, size)

    def fits(self, codes: Mapping[str, Code]) -> bool:
        """Say whether a file of these codes is within the size, where one is asked."""
        return self.size is None or self.bytes_of(codes) <= self.size

    def ended(self, states: Iterable[LCState]) -> Iterator[LCState]:
        """Yield the states, each looked at, until a round is what is asked, or the first that is not.

        The first state is direct compression, which is no round.

        Raises:
            PlanError: when no round is; it names the last one.
        """
        state, best = None, None
        for reached in states:
            state = self._looked_at(replace(reached, best=best or reached.best))
            best = state.best
            yield state
            if self._is_over(state):
                break
        if state is not None and state.best is None and (self.size is not None or self.judge is not None):
            at, asked = state.progress, self.judge.budget if self.judge else f"{self.size or 0:,} bytes"
            reached_now = f"{at.file_bytes or 0:,} bytes" if self.judge is None else str(self.judge(state.params))
            raise PlanError(
                f"rounds of pruning do not come to {asked}: round {at.step} has {reached_now}; let the plan keep less, "
                "or take less away in a round, with more --steps"
            )

    def _looked_at(self, state: LCState) -> LCState:
        """Return the state with bytes and measures of its network, and the round that is kept."""
        if state.progress.file_bytes is not None:
            return state
        codes, quality = state.all_codes, self.judge(state.params) if self.judge and state.progress.step else None
        measures = {} if self.task.validation is None else self.task.evaluate(state.params, "validation")
        validation = {**measures, **(told(quality) if quality else {})} or None
        met = None if quality is None else quality.is_met
        progress = replace(state.progress, file_bytes=self.bytes_of(codes), validation=validation, met=met)
        state = replace(state, progress=progress)
        if progress.step and (met or (self.size is not None and self.fits(codes))):
            return replace(state, best=Point(compact(codes), progress, figure(validation), quality))
        return state

    def _is_over(self, state: LCState) -> bool:
        """Say whether no further round is wanted."""
        if not state.progress.step:
            return False
        return state.best is not None if self.size is not None else state.progress.met is False
