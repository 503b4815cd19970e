"""Which neurons of a teacher's layer a student is to learn: those that tell labels apart, and not the same ones twice.

    max over S, |S| = count   E(S) = Σ_{i∈S} d_i − weight/(count − 1) · Σ_{i,j∈S, i≠j} |ρ_ij|

d_i in [0, 1]: how well neuron i alone tells the labels, the share of its variance that lies between the classes (the
correlation ratio η²); ρ_ij: the correlation of two neurons. The second sum counts each pair twice, so each neuron is
charged the mean of its correlations with the others, times ``weight``.

Method: greedy, one neuron after the other, then swaps of one for another while they raise E, O(count · n) for each of n
neurons; from each of the 16 best neurons alone as the first one, of which the highest E is kept. Not exact: what comes
out cannot be bettered by one swap.

Source: the energy of Luo, Zhu, Liu, Wang & Tang, "Face model compression by distilling knowledge from neurons" (AAAI
2016), as others describe it: a unary term that favours neurons that discriminate, a pairwise one against neurons that
correlate. The paper itself was not read; the two terms here, the weight and the method are ours.
"""

import numpy as np
import torch
from torch import Tensor

from laconic import interrupts
from laconic.arguments import is_weight
from laconic.errors import DataError
from laconic.teachers.hidden import hidden_of, teacher_of, tried
from laconic.teachers.teacher import Given
from laconic.training.batches import targets_of
from laconic.training.task import Task

_LEAST = 1e-12
"""Of a raise of E that counts: less is rounding."""

_STARTS = 16
"""First neurons that greedy begins with."""


def best_neurons(
    teacher: Given, layer: str, task: Task, count: int, split: str = "train", weight: float = 1.0
) -> list[int]:  # fmt: skip
    """Return which neurons, or channels, of a teacher's layer to learn, ascending: `laconic.teachers.hints.hinted`.

    Args:
        teacher: whose layer it is, as `laconic.distilled` takes one.
        layer: its name; of maps (batch, channels, places, ...) the means over places are looked at. What does not vary
            on these samples is never chosen.
        task: with the batches, whose targets are the labels, integers of shape (batch,).
        count: of neurons, 1 or more.
        split: of the task; "train" takes the batches of seed 0.
        weight: of correlations, 0 or more.

    Raises:
        DataError: as `hidden.written` and `selected`, and for targets that are no labels.
    """
    asked, written, labels = teacher_of(task, teacher), list[Tensor](), list[Tensor]()
    for batch in task.batches(split, 0):
        interrupts.check()
        look = hidden_of if written else tried  # the first
        found, targets = look(asked, batch, [layer])[layer], targets_of(batch)
        if not isinstance(targets, Tensor) or targets.is_floating_point() or targets.shape != found.shape[:1]:
            raise DataError("neurons are chosen by labels: targets that are integers, one for each sample")
        written.append(found.flatten(2).mean(2) if found.ndim > 2 else found)
        labels.append(targets)
    if not written:
        raise DataError(f"split {split!r} has no samples on which neurons could be looked at")
    activity = torch.cat(written).double().cpu().numpy()
    speaking = np.flatnonzero(_varies(activity))  # the others correlate with nobody, and say nothing
    activity = activity[:, speaking]
    chosen = selected(merits(activity, torch.cat(labels).cpu().numpy()), correlations(activity), count, weight)
    return [int(speaking[one]) for one in chosen]


def merits(activity: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return d: the share of each neuron's variance that lies between classes, 0 for one that does not vary.

    Args:
        activity: shape (samples, neurons).
        labels: integers of shape (samples,).

    >>> merits(np.array([[0.0, 1.0], [0.0, 0.0], [2.0, 1.0], [2.0, 0.0]]), np.array([0, 0, 1, 1]))
    array([1., 0.])
    """
    centred = activity - activity.mean(0)
    _, place, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    sums = np.zeros((len(sizes), activity.shape[1]))
    np.add.at(sums, place, centred)
    whole, between = np.square(centred).sum(0), (np.square(sums) / sizes[:, None]).sum(0)
    return np.where(_varies(activity), between / np.where(whole > 0, whole, 1), 0.0)


def correlations(activity: np.ndarray) -> np.ndarray:
    """Return |ρ| of the neurons in pairs, shape (neurons, neurons): 0 for one that does not vary, and with itself."""
    centred = np.where(_varies(activity), activity - activity.mean(0), 0.0)
    length = np.linalg.norm(centred, axis=0)
    scaled = centred / np.where(length > 0, length, 1)
    found: np.ndarray = np.abs(scaled.T @ scaled)
    np.fill_diagonal(found, 0.0)
    return found


def energy(chosen: list[int], own: np.ndarray, pairs: np.ndarray, weight: float) -> float:
    """Return E of the neurons ``chosen``; arguments as of `selected`."""
    within = pairs[np.ix_(chosen, chosen)].sum() / max(1, len(chosen) - 1)
    return float(own[chosen].sum() - weight * within)


def selected(own: np.ndarray, pairs: np.ndarray, count: int, weight: float) -> list[int]:
    """Return the neurons of a large E, ascending; of equals the first.

    Args:
        own: d, shape (neurons,).
        pairs: |ρ|, shape (neurons, neurons), 0 on the diagonal.
        count: of neurons that are chosen.
        weight: of correlations.

    Raises:
        DataError: for a count that there are not as many neurons as, for a weight below 0, and for numbers that are not
            finite.

    >>> selected(np.array([0.9, 0.8, 0.5]), np.array([[0, 1.0, 0], [1.0, 0, 0], [0, 0, 0]]), 2, 1.0)
    [0, 2]
    """
    if not isinstance(count, int | np.integer) or not 1 <= count <= len(own):
        raise DataError(f"of {len(own)} neurons that vary 1 to {len(own)} can be chosen, not {count!r}")
    if not is_weight(weight):
        raise DataError(f"weight of correlations is 0 or more and finite, not {weight!r}")
    if not (np.isfinite(own).all() and np.isfinite(pairs).all()):
        raise DataError("what the layer writes is not finite on these samples")
    firsts = np.argsort(-own, kind="stable")[:_STARTS]
    found = [_climbed(int(first), own, pairs, count, 2 * weight / max(1, count - 1)) for first in firsts]
    return max(found, key=lambda one: energy(one, own, pairs, weight))


def _climbed(first: int, own: np.ndarray, pairs: np.ndarray, count: int, scale: float) -> list[int]:
    """Return what greedy and swaps come to from a first neuron, ascending; ``scale`` is what a pair is charged."""
    chosen, charged = [first], pairs[first]  # charged: Σ_{j∈S} |ρ_ij| of every neuron i
    while len(chosen) < count:
        value = own - scale * charged
        value[chosen] = -np.inf
        chosen.append(int(value.argmax()))
        charged = charged + pairs[chosen[-1]]
    while (swap := _swap(chosen, own, pairs, charged, scale)) is not None:
        place, new = swap
        charged = charged + pairs[new] - pairs[chosen[place]]
        chosen[place] = new
    return sorted(chosen)


def _swap(
    chosen: list[int], own: np.ndarray, pairs: np.ndarray, charged: np.ndarray, scale: float
) -> tuple[int, int] | None:  # fmt: skip
    """Return the swap that raises E most, (place in ``chosen``, neuron that comes in), None where none does."""
    value = own - scale * charged
    raised = value[None, :] - value[chosen, None] + scale * pairs[chosen]  # the pair of both is not there any more
    raised[:, chosen] = -np.inf
    place, new = np.unravel_index(int(raised.argmax()), raised.shape)
    return (int(place), int(new)) if raised[place, new] > _LEAST else None


def _varies(activity: np.ndarray) -> np.ndarray:
    """Return which neurons do more than round."""
    found: np.ndarray = activity.std(0) > _LEAST * np.abs(activity).max(0, initial=0.0)
    return found
