"""What a call with a menu comes to: the ground that it stands on, and the choice there."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from laconic.calibrate.calibration import Calibration
from laconic.calibrate.compressed import Ready
from laconic.calibrate.giving import readings
from laconic.choose.beside import beside
from laconic.choose.by_inputs import ByInputs
from laconic.choose.by_weights import ByWeights
from laconic.choose.chosen import Chosen
from laconic.choose.ground import Ground, Tick
from laconic.choose.limits import Limit
from laconic.choose.menu import Menu
from laconic.choose.search import chosen
from laconic.errors import PlanError
from laconic.insight.ledger import REFERENCE_BYTES
from laconic.models.ties import Untied
from laconic.plans.plan import Plan
from laconic.quantize.budget import Budget
from laconic.theory.metric import Metrics


@final
@dataclass(frozen=True, eq=False)
class Asked:
    """What is to be chosen for.

    Args:
        network: each tensor once.
        plan: its rows, and what stays lossless, are not chosen for.
        budget: bytes, bits or a ratio; None where only ``limits`` hold.
        limits: of the whole network.
        menu: what may be chosen.
        notes: text of the file, with the size of the uncompressed one.
        buffers: names that are a module's buffers.
        quality: how good a file is made.
    """

    network: Untied
    plan: Plan
    budget: Budget | None
    limits: Sequence[Limit]
    menu: Menu
    notes: Mapping[str, str]
    buffers: Collection[str] = ()
    quality: str = "default"

    def __post_init__(self) -> None:
        if self.budget is not None and (self.budget.is_of_outputs or self.budget.snr is not None):
            raise PlanError(f"a choice is within bytes: name a size, bits or a ratio, not {self.budget}")

    def by_inputs(self, calibration: Calibration, tick: Tick, *, fold: bool = True, tune: bool = True) -> Chosen:
        """Return the choice by what layers read; arguments and errors as `laconic.calibrate.compressed.calibrated`."""
        kept = self.plan.kept(self.network)
        ready = Ready.of(
            self.network, calibration, lossless=kept, buffers=self.buffers, fold=fold, tick=tick
        )  # fmt: skip
        read = readings(ready, tick)
        ready = beside(ready, read, self.plan, self.network)
        read = {name: one for name, one in read.items() if name not in ready.network.given}
        size = self._size(ready.weights)
        ground = ByInputs(ready, read, size, self.budget, self.quality, self.notes, tune)
        return self._chosen(ground, size, tick)

    def by_weights(self, metrics: Metrics | None, tick: Tick, threads: int | None = None) -> Chosen:
        """Return the choice by the weights alone.

        Args:
            metrics: importances by name.
            tick: told of the progress.
            threads: tensors that are worked on at a time.
        """
        ground = ByWeights(
            self.network, self.plan, self.budget, metrics or {}, self.quality, self.notes, self.buffers, threads
        )
        return self._chosen(ground, ground.size, tick)

    def _chosen(self, ground: Ground, size: int | None, tick: Tick) -> Chosen:
        return chosen(ground, self.menu, size, self.limits, tick)

    def _size(self, weights: int) -> int | None:
        """Return the bytes that the file may have.

        Raises:
            PlanError: for less than one.
        """
        size = self.budget and self.budget.bytes(weights, int(self.notes[REFERENCE_BYTES]))
        if size is not None and size < 1:
            raise PlanError(f"{self.budget} comes to no byte: give a size")
        return size
