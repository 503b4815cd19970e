"""What compression gives: the codes of a network, how they came about, and the file that they are."""

import copy
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

from torch import Tensor, nn

from laconic.calibrate.meter import METER
from laconic.calibrate.quality import Quality
from laconic.calibrate.told import Told
from laconic.choose.chosen import Chosen
from laconic.deploy.edits import METADATA, edits_of
from laconic.deploy.modules import stored
from laconic.deploy.narrowing import narrow
from laconic.deploy.shrinking import Shrunk, shrink
from laconic.errors import WeightsError
from laconic.format import container
from laconic.format.codes import Code
from laconic.format.compact import compact
from laconic.format.container import LacFile
from laconic.insight.gap import Gap, gap
from laconic.insight.ledger import REFERENCE_BYTES, Ledger, ledger
from laconic.lc.recalibrate import Recalibrated, recalibrate, with_statistics
from laconic.lc.schedule import Progress
from laconic.models.absorption import Absorbed
from laconic.models.params import apply_to, decompress, unwrapped
from laconic.models.ties import Untied
from laconic.quantize.budget import Budget, Fitted
from laconic.quantize.budget.signal import Signal, weak
from laconic.training.task import Task


@final
@dataclass(frozen=True, eq=False)
class Result:
    """A compressed network: the very weights that its file stands for.

    Args:
        codes: one per parameter and buffer; names of one tensor have one object.
        metadata: network, data and preprocessing, and the size of the uncompressed file.
        history: the progress of every LC step; empty for direct compression.
        fitted: how a budget was met, where one was named.
        fixed: names of the tensors that training did not move: theirs is direct compression.
        signals: what is left of each tensor of floats, and of the weights that a module makes of several
            (`weight_norm`), by name. Of a trained one only whether it is all 0 or not finite. Running statistics that
            recalibration has moved count as they were before it.
        recalibration: what it has come to, where it was asked for.
        calibration: what it has looked at and come to, where weights were chosen by what layers read.
        asked: the budget that training was to meet, if there was one.
        norms: which batch normalizations had constant statistics in such training, and why each other one had not; None
            where nobody was to look.
        quality: what training has reached of the drop or the KL that was asked, if one was.
        shrunk: what was cut out, where the network is physically smaller.
        choice: which compression each tensor got and why, where it was to be chosen.
    """

    codes: Mapping[str, Code]
    metadata: Mapping[str, str] = field(default_factory=dict)
    history: Sequence[Progress] = ()
    fitted: Fitted | None = None
    fixed: tuple[str, ...] = ()
    signals: Mapping[str, Signal] = field(default_factory=dict)
    recalibration: Recalibrated | None = None
    calibration: Told | None = None
    asked: Budget | None = None
    norms: Absorbed | None = None
    quality: Quality | None = None
    shrunk: Shrunk | None = None
    choice: Chosen | None = None

    @classmethod
    def of_choice(cls, choice: Chosen, metadata: Mapping[str, str]) -> "Result":
        """Return the file of a choice."""
        file = choice.best.file
        return cls(file.codes, metadata, fitted=file.fitted, signals=file.signals, calibration=file.told, choice=choice)

    def __repr__(self) -> str:
        return f"Result({len(self.codes):,} tensors, {self.file_bytes:,} bytes)"

    @property
    def weak(self) -> tuple[tuple[str, float], ...]:
        """Names and dB of tensors with less than 3 dB of their own, the worst first: −∞ is not finite, 0 all zero."""
        return weak(self.signals)

    @property
    def params(self) -> dict[str, Tensor]:
        """The decompressed weights by name: what `laconic.load` gives for the saved file."""
        return decompress(self.codes)

    @property
    def file_bytes(self) -> int:
        """Size of the file in bytes, everything counted."""
        return container.bits(self.codes, self.metadata) // 8

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the `.lac` file, all or nothing.

        Raises:
            OutputExists: when ``path`` exists and ``force`` is not set.
        """
        container.write(Path(path), self.codes, self.metadata, force=force)
        return Path(path)

    def apply_to(self, module: nn.Module) -> nn.Module:
        """Copy the decompressed weights into ``module``, or into the network that it is wrapped around; return it.

        A network of the class that `shrink` was given becomes as small as these weights are.

        Raises:
            WeightsError: when names or shapes differ.
        """
        apply_to(unwrapped(narrow(module, edits_of(self.metadata))), self.params)
        return module

    def shrink(
        self, module: nn.Module, example: Any, *, multiple: int = 1, keep_inputs: bool = False, seed: int = 0
    ) -> "Result":
        """Return a physically smaller network: neurons, filters, channels and heads that are empty are gone.

        Outputs are what they were, within 1e-5 of the largest, on the example and on random inputs. Factored layers
        become thin ones where that is fewer multiply-adds. `laconic.load(file, Net())` makes a fresh network as small.

        Args:
            module: the network, of the sizes that it had; it is left as it was.
            example: what it runs on: a tensor, a tuple of arguments, or a mapping with their names.
            multiple: channels stay, though empty, until there is a multiple of so many.
            keep_inputs: layers read all inputs of the network, and have columns of zeros for those that nobody needs:
                for many samples a product with zeros is faster than a selection (`docs/notes/running.md`).
            seed: of random inputs.

        Raises:
            WeightsError: when nothing can be removed, which says why.
            DataError: when the network does not run on the example.
        """
        before = edits_of(self.metadata)
        if before.smaller:
            raise WeightsError("the network is a smaller one already: shrink the result that it was made of")
        module = narrow(copy.deepcopy(unwrapped(module)), before) if before else module
        smaller = shrink(self.codes, module, example, multiple=multiple, keep_inputs=keep_inputs, seed=seed)
        smaller = replace(smaller, edits=replace(smaller.edits, rewritten=before.rewritten))
        kept = {key: text for key, text in self.metadata.items() if key != METER}  # which is of other shapes
        codes = compact(smaller.codes)
        return replace(
            self, codes=codes, metadata={**kept, METADATA: smaller.edits.dumps()}, shrunk=replace(smaller, codes=codes),
            fitted=None, signals={}, calibration=None, recalibration=None,
        )  # fmt: skip

    def module(self, network: nn.Module, *, materialize: bool = False) -> nn.Module:
        """Return a copy of ``network`` that holds its weights as the file does, where a layer can run so.

        What is factored runs as thin layers, few values are looked up, few survivors are multiplied alone; all else
        is dense. Outputs are those of the decompressed weights, up to the order of float32 sums. See
        `laconic.deploy.modules`; what is faster, and what is not, is in `docs/notes/running.md`.

        Args:
            network: stays as it is; of a smaller result the network that `shrink` was given.
            materialize: all layers dense: a copy with the decompressed weights.

        Raises:
            WeightsError: when names or shapes differ.
        """
        forms = {"forms": ()} if materialize else {}
        return stored(network, self.codes, edits=edits_of(self.metadata), **forms).module

    def evaluate(self, task: Task, split: str = "test") -> dict[str, float]:
        """Return the loss and the measures of the compressed network on a split: see `Task.evaluate`.

        Raises:
            DataError: when the task does not have the split.
            WeightsError: when the weights are not those of the task's module.
        """
        return task.evaluate(self.params, split)

    def table(self) -> list[dict[str, Any]]:
        """Return one plain record per tensor, and one for the header: see `laconic.insight.ledger.Entry`."""
        return list(self.ledger().records()["tensors"])

    def ledger(self) -> Ledger:
        """Return the account of the file: exact bytes, entropies and ratios."""
        return ledger(self._file())

    def meter(self) -> Gap | None:
        """Return how far the file is above R(D) and why, where calibration has measured it."""
        measured, file = self.calibration and self.calibration.meter, self._file()
        return gap(file, ledger(file), measured) if measured else None

    def _file(self) -> LacFile:
        """Return the file, open."""
        return LacFile(container.dumps(self.codes, self.metadata), "the result", limit=sys.maxsize)


def recalibrated(result: Result, network: Untied, task: Task | None, samples: int, seed: int) -> Result:
    """Return the result with statistics that follow the inputs, where that helps and the file has room for them.

    Args:
        result: of direct compression.
        network: as it was.
        task: there is one, where there are samples.
        samples: 0 for the result as it is.
        seed: of the order of the training batches.
    """
    if not samples or task is None:
        return result
    told, statistics = recalibrate(task, network.named(dict(network.params)), result.params, samples, seed)
    codes, fitted = with_statistics(result.codes, statistics, task.module), result.fitted
    size = container.bits(codes, result.metadata) // 8
    if fitted:
        asked = fitted.budget.bytes(fitted.weights, int(result.metadata[REFERENCE_BYTES]))
        if asked is not None and size > max(asked, fitted.file_bytes):  # a file has more, where nobody asked
            return replace(result, recalibration=replace(told, kept=False, room=False))
        fitted = replace(fitted, codes=codes, file_bytes=size)
    return replace(result, codes=codes, fitted=fitted, recalibration=told)
