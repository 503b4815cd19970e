"""What is left free, tuned to what the integers have become: biases, scales that follow no weight, and steps.

    min over v, s   E over seen samples  d(original(x), compressed(x; v, s)),     integers fixed

A weight with one step has a factor s on it; steps of columns, which are told in few bits, stay.

d is `laconic.training.judges.divergence`: KL(original ‖ compressed) of logits, or a squared difference over the
variance. Adam (Kingma & Ba, 2015) takes steps in units of each vector's root mean square, which fall linearly. What an
epoch gives are the means over its later half (Polyak & Juditsky, 1992): steps of few samples are noisy, and biases that
have taken up the mean of errors are near to their best from the start. They go back onto their grids, and samples that
are held out say whether the file is a better one.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from laconic.calibrate.network import Network, Tick
from laconic.calibrate.sequence import Calibrated
from laconic.calibrate.trial import Files, Trial
from laconic.models.params import to_torch
from laconic.training.batches import Batch, rows_of, size_of
from laconic.training.judges import divergence

EPOCHS = 2
"""Passes over the samples that are seen, at most."""

RATE = 4e-3
"""Of a vector's root mean square, the first steps."""

_ROWS = 8
"""Samples of a step."""

_GAIN = 0.01
"""Of the distance, what an epoch has to bring for another to follow."""


def tuned(files: Files, trial: Trial, size: int, tick: Tick, seed: int = 0) -> Trial:
    """Return a trial with tuned vectors and steps, or itself where none is within the size and nearer on held-out ones.

    Args:
        files: what makes one.
        trial: the file.
        size: bytes that it may have.
        tick: told of the progress, in batches.
        seed: of the order of the samples.
    """
    network = files.network
    best, last = trial, trial.distance
    for vectors, factors in _epochs(network, trial.calibrated, tick, seed):
        moved = {name: trial.calibrated.rounded[name].times(factor) for name, factor in factors.items()}
        weights = {name: to_torch(one.weights()).to(network.params[name].device) for name, one in moved.items()}
        params, rounded = {**trial.calibrated.params, **vectors, **weights}, {**trial.calibrated.rounded, **moved}
        calibrated = replace(trial.calibrated, params=params, rounded=rounded)
        found = files.trial(calibrated, trial.how)
        if found.file_bytes <= size and found.distance < best.distance:
            best = replace(found, untuned=trial.untuned if trial.anew else trial.distance, anew=trial.anew)
        if not found.distance <= (1 - _GAIN) * last:
            break
        last = found.distance
    return best


def _epochs(
    network: Network, found: Calibrated, tick: Tick, seed: int
) -> Iterator[tuple[dict[str, Tensor], dict[str, float]]]:
    """Yield vectors and factors after each epoch, as long as there are gradients and all numbers are finite."""
    calibration, names, params = network.calibration, _vectors(network), found.params
    stepped = [name for name, one in found.rounded.items() if len(one.steps) == 1]
    if not (names or stepped) or calibration.seen[0] is calibration.unseen[0]:  # nothing is held out
        return
    kind, parts = calibration.kind_with(network.params), [part for batch in calibration.seen for part in _parts(batch)]
    leaves = [_wide(params[name]).clone().requires_grad_() for name in names]
    leaves += [torch.ones((), device=params[name].device, requires_grad=True) for name in stepped]
    optimizer = torch.optim.Adam([{"params": [leaf], "unit": _size(leaf)} for leaf in leaves])
    generator, total = torch.Generator().manual_seed(seed), EPOCHS * len(parts)
    for epoch in range(EPOCHS):
        means = [torch.zeros_like(leaf) for leaf in leaves]
        for done, place in enumerate(torch.randperm(len(parts), generator=generator).tolist(), epoch * len(parts)):
            tick("tuning", done, total)
            for group in optimizer.param_groups:
                group["lr"] = RATE * group["unit"] * (1 - done / total)
            own = {name: leaf.clone() for name, leaf in zip(names, leaves, strict=False)}  # may be changed in place
            own |= {name: params[name] * leaf for name, leaf in zip(stepped, leaves[len(names) :], strict=True)}
            given = calibration.traced({**params, **own}, parts[place])
            lost = divergence(_wide(calibration.outputs(network.params, parts[place])), _wide(given), kind)
            if not (lost.requires_grad and bool(lost.isfinite())):
                return
            for leaf, slope in zip(leaves, torch.autograd.grad(lost, leaves, allow_unused=True), strict=True):
                leaf.grad = slope
            optimizer.step()
            late = done - epoch * len(parts) - len(parts) // 2  # the first half of an epoch is on the way
            for mean, leaf in zip(means, leaves, strict=True) if late >= 0 else ():
                mean += (leaf.detach() - mean) / (late + 1)
        if not all(bool(mean.isfinite().all()) for mean in means):
            return
        factors = {name: float(mean) for name, mean in zip(stepped, means[len(names) :], strict=True)}
        yield {name: mean.to(params[name].dtype) for name, mean in zip(names, means, strict=False)}, factors


def _vectors(network: Network) -> list[str]:
    """Return the names of all that is on a grid and no weight, in the order of the network."""
    found = network.biases.keys() | network.vectors.keys()
    return [name for name in network.params if name in found]


def _parts(batch: Batch) -> list[Batch]:
    """Return a batch in parts of a few samples each."""
    return [rows_of(batch, start, start + _ROWS) for start in range(0, size_of(batch), _ROWS)]


def _wide(tensor: Tensor) -> Tensor:
    """Return a tensor in float32 at least."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _size(vector: Tensor) -> float:
    """Return the root mean square, or 1 for zeros."""
    return math.sqrt(float(vector.detach().double().square().mean())) or 1.0
