"""Integers rounded anew: each weight once more, by what the outputs of the whole compressed network say of it.

    min over v   s tr(F D Σ Dᵀ) + η · price · bits(v),     D = W′ − v,     W′ = Ŵ − η (F ⊗ Σ)⁻¹ ∇ / 2s

Ŵ are the weights as they are, ∇ the gradient by them of the divergence on the samples that are seen, all other layers
compressed, and s tr(F D Σ Dᵀ) what the divergence is taken to grow by (`laconic.calibrate.network`): η = 1 is a step of
Gauss and Newton, and the sum is then divergence and price, to second order. A step is shortened until it costs no more
than a share of what the weight's error does, as if the divergence grew 1/η times as fast; a bit then has η of its
price. The recursion and the trellis of the passes choose integers for W′, with the steps, the classes and the code
lengths that are there; where W′ is near to Ŵ these come out as they were. The bias that follows takes up the mean of
what changes.

Few samples make up most of a KL, and its gradient is theirs; that of softened outputs is of all of them (Hinton,
Vinyals & Dean, "Distilling the knowledge in a neural network", 2015). New integers stay only where samples that are
held out say twice that outputs are nearer, softened and by more than chance, and as the file is judged; and where the
file has room for them. Else the old ones stay, so that no file is worse than it was by that measure.

Source: the step with Kronecker factors is that of Martens & Grosse, "Optimizing neural networks with
Kronecker-factored approximate curvature" (ICML 2015), here of one layer; what is chosen by all outputs
rather than by a layer's own is as in Li et al., "BRECQ" (ICLR 2021).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from torch import Tensor

from laconic import interrupts
from laconic.calibrate.forms import matrix
from laconic.calibrate.network import Network, Subject, Tick
from laconic.calibrate.rates import suited
from laconic.calibrate.recursion import Recursion
from laconic.calibrate.rounded import Rounded
from laconic.calibrate.samples import by_sample
from laconic.calibrate.sequence import Calibrated
from laconic.calibrate.sequential import SLOPE, prepared
from laconic.calibrate.statistics import Statistics
from laconic.calibrate.trial import Files, Trial
from laconic.models.params import Params, to_numpy, to_torch
from laconic.training.batches import Batch

SWEEPS = 2
"""Over all weights, at most."""

SHARES = (0.3, 0.1)
"""Of what the error of a weight costs, what a step may; the longest that helps is taken."""

SOFTER = 4.0
"""What logits are divided by."""

SURE = 2.0
"""Standard errors of paired differences by which samples must lose less: of many trials some gain by chance."""


def rounded_anew(files: Files, trial: Trial, size: int, tick: Tick) -> Trial:
    """Return a trial in which some weights have other integers, or itself where none is better and within the size.

    Args:
        files: what makes one.
        trial: the file.
        size: bytes that it may have.
        tick: told of the progress, in weights of all sweeps.
    """
    network = files.network
    calibration = network.calibration
    if calibration.seen[0] is calibration.unseen[0]:  # nothing is held out
        return trial
    logits = calibration.kind_with(network.params) == "classification"
    judge = _Softened(network, SOFTER if logits else 1.0)
    best, moved, many, said = trial, set[str](), len(network.subjects), None
    for sweep in range(SWEEPS):
        before = best
        with network.following() as follower:
            for done, subject in enumerate(network.subjects, sweep * many):
                interrupts.check()
                tick("rounding", done, SWEEPS * many)
                if subject.met:
                    said = said or (judge.slopes(best.calibrated.params), judge.unseen(best.calibrated.params))
                    met = follower.statistics(subject.name, biased=subject.bias is not None)
                    found = _better(files, best, subject, met, *said, judge, size)
                    if found is not best:  # only then do outputs say something else
                        best, said = found, None
                        moved.add(subject.name)
                for name in filter(None, (subject.name, subject.bias)):
                    follower.put(name, best.calibrated.params[name])
        if best is before:
            break
    return best if best is trial else replace(best, anew=(len(moved), trial.distance))


def _better(
    files: Files, best: Trial, subject: Subject, met: Statistics, slopes: Mapping[str, np.ndarray],
    before: Tensor, judge: "_Softened", size: int,
) -> Trial:  # fmt: skip
    """Return a file that is better for other integers of a weight, or the best one so far."""
    now, original = best.calibrated, files.network.params[subject.name]
    for share in SHARES:
        step = stepped(original, now.params[subject.name], slopes, subject, met, best.how.damping, share)
        moved = None if step is None else _moved(now, subject, *step, met, best.how)
        if moved is None:
            break
        if is_less(judge.unseen(moved.params), before):
            found = files.trial(moved, best.how)
            if found.file_bytes <= size and found.distance < best.distance:
                return replace(found, untuned=best.untuned)
    return best


def is_less(after: Tensor, before: Tensor) -> bool:
    """Whether samples lose less, and not by chance.

    >>> before = torch.tensor([1.5, 2.5])
    >>> is_less(before - torch.tensor([0.5, 0.4]), before), is_less(before - torch.tensor([1.0, 0.0]), before)
    (True, False)
    """
    apart = after - before
    return float(apart.mean() + SURE * apart.std(correction=0) / math.sqrt(len(apart))) < 0


def stepped(
    original: Tensor, weight: Tensor, slopes: Mapping[str, np.ndarray], subject: Subject, met: Statistics,
    damping: float, share: float,
) -> tuple[np.ndarray, float] | None:  # fmt: skip
    """Return W′ as its matrix, float64, and η; None where the gradient says nothing.

    Of experts that nothing comes to W′ are the original weights.

    Args:
        original: W.
        weight: Ŵ.
        slopes: gradients of the divergence in units of the water level, by name: of Ŵ, and of the bias that follows,
            where one does: it takes up the mean of a change.
        subject: the weight.
        met: what it reads in the compressed network.
        damping: what is added to Σ, in units of the mean of its diagonal.
        share: of what Ŵ − W costs, the most that W′ − Ŵ may.
    """
    if subject.name not in slopes:
        return None
    groups, columns, _ = met.moments.shape
    now, before, slope = (
        matrix(one.double(), subject.form) for one in (weight, original, torch.from_numpy(slopes[subject.name]))
    )
    shape, rows = now.shape, len(now)
    now, before, gradient = (
        now.reshape(rows, columns),
        before.reshape(rows, columns),
        slope.reshape(groups, -1, columns),
    )
    if subject.bias is not None and subject.bias in slopes:
        gradient = gradient - slopes[subject.bias].reshape(groups, -1, 1) * met.means[1][:, None]
    added = damping * np.diagonal(met.moments, axis1=1, axis2=2).mean(axis=1)
    if not added.all():
        return None
    within = [
        np.linalg.solve(moments + by * np.eye(columns), own.T).T
        for moments, by, own in zip(met.moments, added, gradient, strict=True)
    ]
    step = subject.rows.solved(np.concatenate(within)) / (-2 * subject.worth)
    cost, most = (subject.rows.felt(one, met.moments) for one in (step, now - before))
    if not (0 < cost < math.inf and most > 0):
        return None
    eta = min(1.0, math.sqrt(share * most / cost))
    wanted = now + eta * step
    if subject.form == "packed":
        idle = np.repeat(~gradient.any(axis=(1, 2)), rows // groups)
        wanted[idle] = before[idle]
    return wanted.reshape(shape), eta


def _moved(
    now: Calibrated, subject: Subject, wanted: np.ndarray, eta: float, met: Statistics, how: Recursion
) -> Calibrated | None:
    """Return the network with the integers of a weight chosen for W′, or None where they are what they were."""
    before, form = now.rounded[subject.name], subject.form
    own = suited(how, len(wanted), met=True, form=form, embeds=subject.embeds)
    level = now.levels[subject.name] / subject.worth
    dtype = to_numpy(now.params[subject.name]).dtype
    experts = len(now.params[subject.name]) if form == "packed" else 1
    ready = prepared(
        wanted.astype(dtype), met.moments, level, own, rows=subject.rows, like=before, form=form, experts=experts
    )
    levels = ready.layer.quantized(now.costs, own.nu, eta * own.price * SLOPE, own.window)
    after = ready.rounded(levels)
    if np.array_equal(after.levels, before.levels):
        return None
    counts = now.counts - before.counts(own.nu) + after.counts(own.nu)
    return replace(
        now, rounded={**now.rounded, subject.name: after}, params=_params(now, subject, after, met), counts=counts
    )


def _params(now: Calibrated, subject: Subject, after: Rounded, met: Statistics) -> dict[str, Tensor]:
    """Return the tensors with a weight that has other integers, and with what the bias makes good of that."""
    weight, compressed = now.params[subject.name], after.weights()
    changed = {subject.name: to_torch(compressed).to(weight.device)}
    if subject.bias is not None:
        bias = now.params[subject.bias]
        shift = replace(met, means=(met.means[1], met.means[1])).shift(
            matrix(weight, subject.form), matrix(changed[subject.name], subject.form)
        )
        changed[subject.bias] = (bias.double() + torch.from_numpy(shift).to(bias.device)).to(bias.dtype)
    return {**now.params, **changed}


@final
@dataclass(frozen=True, eq=False)
class _Softened:
    """What samples lose: the divergence from the original's outputs, logits softened, in units of the water level.

    Args:
        network: ready.
        softer: T, what outputs are divided by: logits by `SOFTER`, values by 1.
    """

    network: Network
    softer: float

    def unseen(self, params: Params) -> Tensor:
        """Return what each sample that is held out loses, float64, shape (samples,)."""
        calibration = self.network.calibration
        return torch.cat([self._each(batch, calibration.outputs(params, batch)) for batch in calibration.unseen])

    def slopes(self, params: Params) -> dict[str, np.ndarray]:
        """Return gradients of what samples that are seen lose in the mean, float64, by name; none that is not finite.

        They are by the weights that are met, and by the biases that follow them.
        """
        calibration, samples = self.network.calibration, 0
        names = dict.fromkeys(name for one in self.network.subjects if one.met for name in (one.name, one.bias) if name)
        leaves = {name: params[name].detach().clone().requires_grad_() for name in names}
        sums = {name: torch.zeros(leaf.shape, dtype=torch.float64, device=leaf.device) for name, leaf in leaves.items()}
        for batch in calibration.seen:
            own = {name: leaf.clone() for name, leaf in leaves.items()}  # may be changed in place
            each = self._each(batch, calibration.traced({**params, **own}, batch))
            if each.requires_grad:
                found = torch.autograd.grad(each.sum(), [*leaves.values()], allow_unused=True)
                for total, slope in zip(sums.values(), found, strict=True):
                    total += 0.0 if slope is None else slope
            samples += len(each)
        return {name: to_numpy(total / samples) for name, total in sums.items() if bool(total.isfinite().all())}

    def _each(self, batch: Batch, given: Tensor) -> Tensor:
        """Return what each sample of a batch loses: its rows' KL times T², or half its values' squared differences."""
        original = self.network.calibration.outputs(self.network.params, batch)
        p, q = (one.double() / self.softer for one in (original, given))
        if self.softer == 1:
            rows = 0.5 * (p - q).square().sum(1)
        else:
            p, q = (one.movedim(1, -1).log_softmax(-1) for one in (p, q))
            rows = self.softer**2 * (p.exp() * (p - q)).sum(-1)
        return by_sample(rows, batch)
