"""Weights that have their codes already: what errors in them cost, and a network that others are calibrated beside.

An error E of a weight W costs  s tr(F E Σ Eᵀ)  in units of the outputs (`laconic.calibrate.rows`), Σ about the mean
where a bias follows, for that takes up E m, m the mean of what is read: a Kronecker metric, which a code can be fitted
under before anything else is quantized.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from torch import Tensor

from laconic import interrupts
from laconic.calibrate.compressed import Ready
from laconic.calibrate.forms import matrix, outputs
from laconic.calibrate.network import Given, Subject, Tick, alone, silent
from laconic.calibrate.statistics import Statistics
from laconic.format.codes import Code
from laconic.models.params import Params, to_torch
from laconic.theory.metric import Diagonal, Kronecker, Metric


@final
@dataclass(frozen=True, eq=False)
class Reading:
    """What a weight reads in the network as it was.

    Args:
        subject: the weight.
        metric: what its errors cost, in units of the outputs.
        mean: of what it reads, shape (groups, n); zeros where no bias follows.
    """

    subject: Subject
    metric: Metric
    mean: np.ndarray

    def given(self, params: Params, code: Code) -> Given:
        """Return the weight of a code, and the bias that takes up its errors in the mean.

        Args:
            params: the network as it was.
            code: of the weight.
        """
        name, bias = self.subject.name, self.subject.bias
        before, after = params[name], to_torch(code.decompress()).to(params[name].device)
        changed = {name: after}
        if bias is not None:
            missed = matrix(before.double() - after.double(), self.subject.form)
            missed = missed.reshape(len(self.mean), -1, self.mean.shape[1])
            shift = torch.from_numpy((missed @ self.mean[..., None]).reshape(-1)).to(params[bias].device)
            changed[bias] = (params[bias].double() + shift).to(params[bias].dtype)
        felt = self.subject.mean_worth * self.subject.positions
        error = self.metric.error(before.cpu(), after.cpu())
        return Given(code, changed, bias, felt, error)


def readings(ready: Ready, tick: Tick = silent) -> dict[str, Reading]:
    """Return what each weight reads in the network as it was, by the names of the network; n² numbers each."""
    network, found = ready.network, dict[str, Reading]()
    with network.following(drift=False) as follower:
        for done, subject in enumerate(network.subjects):
            interrupts.check()
            tick("readings", done, len(network.subjects))
            weight = network.params[subject.name]
            biased = subject.bias is not None
            met = follower.statistics(subject.name, biased=biased) if subject.met else alone(weight)
            found[subject.name] = Reading(subject, _metric(subject, weight, met), np.asarray(met.means[0], np.float64))
    return found


def giving(ready: Ready, given: Mapping[str, Given]) -> Ready:
    """Return the network with tensors that have their codes already; all others are calibrated for what these write.

    Its passes keep no journal.
    """
    if not given:
        return ready
    network = ready.network
    subjects = tuple(one for one in network.subjects if one.name not in given)
    vectors = {name: one for name, one in network.vectors.items() if name not in given}
    whole = replace(network, subjects=subjects, vectors=vectors, journal=None, given={**network.given, **given})
    return replace(ready, network=whole)


def _metric(subject: Subject, weight: Tensor, met: Statistics) -> Metric:
    """Return what errors of a weight cost; of groups of rows that read different things the diagonal."""
    rows = subject.worth * subject.rows.whole(outputs(weight.shape, subject.form))
    if len(met.moments) == 1 and subject.form == "plain":
        inputs = torch.from_numpy(np.ascontiguousarray(met.moments[0]))
        return Kronecker(torch.from_numpy((rows + rows.T) / 2), (inputs + inputs.T) / 2)
    each = np.diagonal(met.moments, axis1=1, axis2=2).repeat(len(rows) // len(met.moments), axis=0)
    costs = np.maximum(np.diag(rows)[:, None] * each, 0.0)
    costs = np.ascontiguousarray(costs.T) if subject.form == "turned" else costs
    return Diagonal(torch.from_numpy(costs.reshape(tuple(weight.shape))))
