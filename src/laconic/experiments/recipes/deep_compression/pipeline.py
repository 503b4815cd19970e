"""The pipeline of Deep Compression on a trained network: prune, train, share, train, Huffman-code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from laconic.api import compress
from laconic.csteps.adaptive_codebook import AdaptiveCodebook
from laconic.csteps.compression import Compression
from laconic.csteps.keep_largest import KeepLargest
from laconic.csteps.lossless import Lossless
from laconic.experiments.recipes.deep_compression.printed import Network
from laconic.experiments.recipes.gao2019.points import sample_by_sample
from laconic.experiments.recipes.recipe import Context
from laconic.format import container
from laconic.format.codes import Code
from laconic.insight import deep_compression
from laconic.insight.compression_statistics import statistics, total
from laconic.insight.deep_compression import Account
from laconic.lc.finetune import FINE_TUNING
from laconic.lc.learning import Training
from laconic.models.params import decompress
from laconic.plans.patterns import fnmatch_escape
from laconic.plans.plan import Plan
from laconic.training.task import Task

STAGES = ("reference", "pruned", "values shared", "values trained")
"""In the order of figure 1: each has a row; Huffman coding changes no weight."""


@final
@dataclass(frozen=True)
class Effort:
    """How long it is trained, in epochs.

    Args:
        pruned: after pruning, in all rounds together.
        shared: of the values, after k-means.
        sweep: of each point of the curves.
        images: training images of such an epoch.
        rounds: of pruning: each keeps as large a share of what the one before has left.
    """

    pruned: int
    shared: int
    sweep: int
    images: int
    rounds: int = 1


@final
@dataclass(frozen=True, eq=False)
class Subject:
    """A trained network with what is in print of it.

    Args:
        printed: its tables.
        task: module, splits and loss.
        params: trained weights.
        effort: how long it is trained.
        context: of its share of the work.
    """

    printed: Network
    task: Task
    params: Mapping[str, Tensor]
    effort: Effort
    context: Context

    @property
    def weights(self) -> list[str]:
        """Names of the tensors with two axes or more, in the order of the table."""
        return [name for name, tensor in self.params.items() if tensor.ndim >= 2]


@final
@dataclass(frozen=True, eq=False)
class Stage:
    """A row of figure 1.

    Args:
        name: of `STAGES`.
        errors: 1 where a test image is named wrongly, shape (samples,).
        validation: error on validation images, in percent.
        codes: of all tensors.
    """

    name: str
    errors: np.ndarray
    validation: float
    codes: Mapping[str, Code]


def retrained(epochs: int) -> Training:
    """Return training of what stays free, for so many epochs."""
    return Training(method="retrain", finetune=replace(FINE_TUNING, epochs=epochs))


def plan(rows: Mapping[str, Compression]) -> Plan:
    """Return the plan that has these rows, and leaves all else as it is."""
    return Plan({fnmatch_escape(name): row for name, row in rows.items()}, rest=Lossless())


def stages(subject: Subject) -> list[Stage]:
    """Return the rows of figure 1, each computed once in the life of the folder."""
    layers = dict(zip(subject.weights, subject.printed.layers, strict=True))
    rounds = [
        {
            name: KeepLargest(keep=(layer.kept / 100) ** (number / subject.effort.rounds))
            for name, layer in layers.items()
        }
        for number in range(1, subject.effort.rounds + 1)
    ]
    reached, params = list[Stage](), subject.params
    for number, name in enumerate(STAGES):
        subject.context.say(number / len(STAGES), f"{subject.printed.title}: {name}")
        if name in ("reference", "pruned"):
            rows: Sequence[Mapping[str, Compression]] = rounds if name == "pruned" else [{}]
            epochs = subject.effort.pruned
        else:
            rows = [_shared(params, {key: layer.bits for key, layer in layers.items()})]
            epochs = subject.effort.shared
        reached.append(_stage(subject, name, params, rows, epochs if name in ("pruned", "values trained") else 0))
        if name == "pruned":
            params = decompress(reached[-1].codes)
    return reached


def _shared(params: Mapping[str, Tensor], bits: Mapping[str, float]) -> dict[str, Compression]:
    """Return the rows that quantize what has been left, by k-means from a linear start; a filler is a value, too."""
    return {
        name: KeepLargest(
            count=int(params[name].count_nonzero()), values=AdaptiveCodebook(2 ** round(own) - 1, start="linear")
        )
        for name, own in bits.items()
    }


def _stage(
    subject: Subject, name: str, params: Mapping[str, Tensor], rounds: Sequence[Mapping[str, Compression]], epochs: int
) -> Stage:
    """Return a stage: ``params`` compressed by the rows of each round in turn, trained for so many epochs in all."""

    def compute() -> tuple[dict[str, Any], dict[str, Tensor]]:
        reached = params
        for rows in rounds:
            training = retrained(epochs // len(rounds))
            how = {"effort": "train", "training": training} if epochs else {"effort": "direct"}
            result = compress(reached, plan(rows), subject.task, seed=subject.context.seed, **how)
            reached = result.params
        file = container.dumps(result.codes, result.metadata)
        errors = {split: sample_by_sample(subject.task, result.params, split)["errors"] for split in _SPLITS}
        validation = 100 * float(errors["validation"].double().mean())
        kept = torch.from_numpy(np.frombuffer(file, np.uint8).copy())
        return {"validation": round(validation, 4)}, {"file": kept, "errors": errors["test"]}

    figures, tensors = subject.context.cache.point(f"{subject.printed.title}/{name}", compute)
    codes = container.loads(tensors["file"].numpy().tobytes()).codes
    return Stage(name, tensors["errors"].double().numpy(), figures["validation"], codes)


_SPLITS = ("validation", "test")


def sizes(stage: Stage) -> dict[str, int]:
    """Return the bytes of all of a stage's tensors, in the layout of the paper and in ours.

    "P" has survivors in 32 bits with relative indices, "P+Q" indices of values, "P+Q+H" both Huffman-coded, all three
    as the paper counts; "file" is what `laconic.insight.deep_compression.encode` writes, with its tables, and "laconic"
    our file. What is not pruned has 32 bits a number, but in our file.
    """
    ours = container.bits(stage.codes) // 8
    weights = {name: code for name, code in stage.codes.items() if len(code.shape) >= 2}
    rest = 4 * sum(code.size for name, code in stage.codes.items() if name not in weights)
    if stage.name == "reference":
        return {"float32": rest + 4 * sum(code.size for code in weights.values()), "laconic": ours}
    if stage.name == "pruned":
        return {"P": rest + round(sum(map(pruned_bits, weights.values())) / 8), "laconic": ours}
    every = total(layers_of(stage))
    return {
        "P+Q": rest + round(every.quantized / 8),
        "P+Q+H": rest + round(every.coded / 8),
        "file": rest + every.file // 8,
        "laconic": ours,
    }


def costs(stage: Stage) -> tuple[float, float]:
    """Return the bytes that Huffman codes and relative indices cost in all weights (`Account.costs`)."""
    huffman, relative = total(layers_of(stage)).costs
    return round(huffman / 8, 1), round(relative / 8, 1)


def pruned_bits(code: Code) -> int:
    """Return the bits of a pruned weight whose survivors have 32 bits, and a relative index each."""
    entries = len(deep_compression.relative(code.decompress().ravel() != 0)[0])
    return entries * (32 + deep_compression.FULLY_CONNECTED)


def layers_of(stage: Stage) -> list[Account]:
    """Return the lines of the table of a network whose values are shared; none where they are not."""
    return [one for code in stage.codes.values() if (one := statistics(code)) is not None]
