"""Running statistics of a network whose layers were replaced: they follow what its normalizations read now.

By the rule of `laconic.lc.recalibrate`, between two modules: the mean moves by the difference of the means of the same
samples, the variance by their ratio, which is held to [1/2, 2]. Normalizations move in turn, each before it runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from laconic import interrupts
from laconic.calibrate.calibration import Calibration
from laconic.errors import DataError
from laconic.lc.recalibrate import Moments, listening, ratio
from laconic.models.params import all_params_of
from laconic.models.wiring import tensors_in
from laconic.training.batches import Batch

Outputs = Sequence[Sequence[Tensor]]
"""Tensors that a network writes, batch by batch."""


def having(source: Calibration, module: nn.Module) -> Calibration:
    """Return the same samples for another network."""
    return replace(source, task=replace(source.task, module=module))


def run(source: Calibration, batch: Batch) -> list[Tensor]:
    """Return the tensors of floats that the network writes for a batch."""
    given = source.whole_outputs(all_params_of(source.module), batch)
    return [tensor.detach().clone() for tensor in tensors_in(given) if tensor.is_floating_point()]


def outputs_of(source: Calibration) -> Outputs:
    """Return what the network says for each batch that judges.

    Raises:
        DataError: when it does not run, or says no finite numbers.
    """
    found = [run(source, batch) for batch in source.unseen or source.seen]
    if not all(found) or not all(bool(tensor.isfinite().all()) for run in found for tensor in run):
        raise DataError("the network's outputs are no finite numbers, so that nothing can be compared")
    return found


def apart(outputs: Outputs, others: Outputs) -> float:
    """Return Σ(change)² / Σ(outputs)²."""
    pairs = [(a.double(), b.double()) for run, other in zip(outputs, others, strict=True)
             for a, b in zip(run, other, strict=True)]  # fmt: skip
    whole = sum(float(a.square().sum()) for a, _ in pairs)
    return sum(float((a - b).square().sum()) for a, b in pairs) / (whole or 1.0)


def followed(source: Calibration, after: Calibration, outputs: Outputs) -> float:
    """Let running statistics follow what normalizations read now, if outputs are nearer then; return how far they are.

    A layer moves before it runs, for those after it read what it then writes.
    """
    norms = [path for path, part in source.module.named_modules()
             if isinstance(part, _BatchNorm) and part.running_mean is not None]  # fmt: skip
    before = apart(outputs, outputs_of(after))
    if not norms or not before:
        return before
    kept = {name: tensor.clone() for name, tensor in after.module.named_buffers()}
    gathered = {path: (Moments(), Moments()) for path in norms}
    for batch in source.seen:
        interrupts.check()
        waiting = {path: list[Tensor]() for path in norms}

        def follow(path: str, inputs: Tensor, waiting: Mapping[str, list[Tensor]] = waiting) -> None:
            old, new = gathered[path]
            old.add(waiting[path].pop(0))  # of the same call: a layer may run several times
            new.add(Moments.sums(inputs))
            own, norm = (network.module.get_submodule(path) for network in (source, after))
            norm.running_mean.copy_(own.running_mean + (new.mean - old.mean))  # type: ignore[operator]
            norm.running_var.copy_(own.running_var * ratio(new.variance, old.variance))  # type: ignore[operator]

        with listening(source.module, norms, lambda path, inputs: waiting[path].append(Moments.sums(inputs))):  # noqa: B023
            run(source, batch)
        with listening(after.module, norms, follow):
            run(after, batch)
    now = apart(outputs, outputs_of(after))
    if now < before:
        return now
    for name, tensor in after.module.named_buffers():
        tensor.copy_(kept[name])
    return before
