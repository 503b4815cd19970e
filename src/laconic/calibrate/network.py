"""A network ready to be calibrated: its weights in the order in which they are used, and what each is worth.

Errors of all weights are in one unit, that of the outputs: what weight l adds is s_l tr((W − Ŵ) Σ (W − Ŵ)ᵀ), s_l the
mean square of the gradient by what its layer writes. So one water level θ serves all, θ / s_l in the units of layer l.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from laconic.calibrate.calibration import Calibration
from laconic.calibrate.forms import form_alone, matrix, outputs
from laconic.calibrate.journal import Journal
from laconic.calibrate.layer import is_apart
from laconic.calibrate.meeting import Place, Survey
from laconic.calibrate.rates import Rate, suited
from laconic.calibrate.recursion import Form, Recursion
from laconic.calibrate.rows import ALL_ALIKE, Rows
from laconic.calibrate.sensitivity import Sensitivities
from laconic.calibrate.statistics import Follower, Statistics, following
from laconic.format.codes import Code
from laconic.format.coding.lanes import lane_count
from laconic.models.folding import Folding, foldable
from laconic.models.params import Params, first_names, once
from laconic.models.ties import Untied
from laconic.theory.importance.recurrence import recurrent_leaf
from laconic.theory.rate_distortion import Sources
from laconic.training.batches import size_of

Tick = Callable[[str, int, int], None]
"""Told of a stage, of weights that are done and of all."""


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody."""


_GATED = (nn.GRU, nn.GRUCell)
"""Layers that multiply what one product and its bias come to before they add the other."""

_LEAST = 1e-3
"""No layer that is lost costs less than this share of the median."""


@final
@dataclass(frozen=True, eq=False)
class Subject:
    """A weight that is quantized.

    Args:
        name: of the weight.
        met: whether it is calibrated; else it is rounded by what it is itself.
        bias: name of the vector that is added to what it writes, where there is one.
        worth: s, what a squared error of what it writes adds to that of the outputs; of `Rows.unit`.
        rate: its bits at a level, in units of its own: θ / s.
        positions: of a sample.
        rows: what their errors are worth beside each other.
        spectrum: the variances of what it writes, one for each eigenvalue of its inputs, in units of the outputs; None
            unless asked for.
        form: how it is a matrix.
        embeds: whether it is an embedding as well.
    """

    name: str
    met: bool
    bias: str | None
    worth: float
    rate: Rate
    positions: float
    rows: Rows
    spectrum: Sources | None = None
    form: Form = "plain"
    embeds: bool = False

    @property
    def mean_worth(self) -> float:
        """What a squared error is worth in the mean of the rows."""
        return self.worth * self.rows.mean()

    def bits(self, level: float) -> float:
        """Return about how many bits it takes at a water level of the network."""
        return self.rate.bits(level / self.worth)


@final
@dataclass(frozen=True, eq=False)
class Given:
    """A tensor that has its code already: a pass meets what it decompresses to.

    Args:
        code: of the tensor.
        changed: what it decompresses to, and the vector that takes up its errors in the mean, by their names.
        bias: name of that vector, where there is one.
        felt: what a squared error of that vector adds to that of the outputs.
        error: what the code's errors add to that of the outputs.
    """

    code: Code
    changed: Params
    bias: str | None = None
    felt: float = 1.0
    error: float = 0.0


@final
@dataclass(frozen=True, eq=False)
class Network:
    """What is calibrated.

    Args:
        calibration: the module and its samples.
        params: the network as it was, batch normalization folded.
        survey: which weights are met.
        subjects: the weights, those that are not met first, the others in the order in which they are used.
        positions: of a sample, at most, that statistics are taken of.
        guessed: weights that no gradient of the outputs reaches.
        vectors: of what follows no weight and goes on a grid, `laconic.calibrate.vectors.tolerances`.
        journal: what passes have decided, where this is kept.
        given: tensors that have their codes already; none of them is a subject.
    """

    calibration: Calibration
    params: Params
    survey: Survey
    subjects: tuple[Subject, ...]
    positions: int | None
    guessed: tuple[str, ...] = ()
    vectors: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    journal: Journal | None = None
    given: Mapping[str, Given] = field(default_factory=dict)

    @property
    def started(self) -> dict[str, Tensor]:
        """The network that a pass begins with: as it was, but for tensors that have their codes already."""
        return {**self.params, **{name: own for one in self.given.values() for name, own in one.changed.items()}}

    @property
    def coded(self) -> tuple[str, ...]:
        """Names of the tensors that are quantized, and of those that have their codes already."""
        return (*(one.name for one in self.subjects), *self.given)

    @property
    def biases(self) -> dict[str, float]:
        """What a squared error of each vector that follows a weight adds to that of the outputs, by its name."""
        followed = {one.bias: one.mean_worth * one.positions for one in self.subjects if one.bias is not None}
        return followed | {one.bias: one.felt for one in self.given.values() if one.bias is not None}

    def following(self, *, drift: bool = True) -> AbstractContextManager[Follower]:
        """Give the network and one that is compressed, side by side, or, without ``drift``, the network alone."""
        return following(self.calibration, self.params, self.survey, self.positions, drift=drift)


def alone(weight: Tensor) -> Statistics:
    """Return the statistics of a weight of which nothing is known: its inputs are as large as each other."""
    columns = weight.shape[-1] if form_alone(weight) == "packed" else math.prod(weight.shape[1:])
    nothing = np.zeros((1, columns))
    return Statistics(np.eye(columns)[None], None, (nothing, nothing), 1.0)


def network(
    calibration: Calibration, params: Params, survey: Survey, folding: Folding, free: set[str], how: Recursion,
    tick: Tick, *, positions: int | None = None, still: Collection[str] = (), spectra: bool = False, rows: bool = True,
) -> Network:  # fmt: skip
    """Return a network ready to be calibrated.

    Args:
        calibration: the module and its samples.
        params: every parameter and buffer by its name, batch normalization folded.
        survey: which weights are met.
        folding: which normalizations follow which layers.
        free: names of the weights that are to be quantized.
        how: the recursion.
        tick: told of the progress.
        positions: of a sample, at most, that statistics are taken of.
        still: names of tensors that stay as they are: no bias of these makes up for errors.
        spectra: whether eigenvalues are taken, which cost O(n³) of a layer of n inputs.
        rows: whether those that the outputs feel more have finer steps.
    """
    met = [place for place in survey.places if place.name in free and not place.diagonal]
    felt = calibration.sensitivities(params, by="weights", products=rows)
    told = {place.name: _rows(calibration, params[place.name], place, felt) if rows else ALL_ALIKE for place in met}
    moving = {name: tensor for name, tensor in params.items() if name not in still}
    biases = _biases(calibration, moving, {place.name: place for place in met}, folding)
    others = [name for name in params if name in free and name not in {place.name for place in met}]
    rates, read, found = _rates(calibration, params, survey, told, biases, how, tick, positions, spectra)
    subjects, every = list[Subject](), [*others, *(place.name for place in met)]
    numbers = calibration.number_sensitivities(params, [name for name in others if name not in felt.rows])
    tokens = _tokens(calibration, params, [place for place in survey.places if place.diagonal], felt)
    told |= {name: Rows.of(tokens[name].numpy()) for name in others if rows and name in tokens}
    worth = _worths(
        {name: params[name] for name in every}, felt, numbers, {name: one for name, (_, one) in read.items()}, tokens
    )
    for name in others:
        own_rows, weights = told.get(name, ALL_ALIKE), matrix(params[name], form_alone(params[name]))
        how_alone = suited(how, len(weights), met=False, form=form_alone(params[name]))
        rates[name] = Rate.of(own_rows.stretched(weights), alone(params[name]).moments, how_alone)
        if spectra:
            found[name] = spectrum(weights, alone(params[name]).moments, own_rows)
    for name in every:  # what comes later makes good the errors of others
        own_rows = told.get(name, ALL_ALIKE)
        own = worth[name] * own_rows.unit
        waves = Sources(own * found[name].variances, found[name].counts) if spectra else None
        met_at, _ = read.get(name, (1.0, 1.0))
        form = survey.place(name).form if name in read else form_alone(params[name])
        embeds = name in read and survey.place(name).embeds
        how_met = name in read, biases.get(name), own, rates[name], met_at, own_rows, waves, form, embeds
        subjects.append(Subject(name, *how_met))
    return Network(calibration, params, survey, tuple(subjects), positions, felt.guessed)


def _tokens(
    calibration: Calibration, params: Params, places: Collection[Place], felt: Sensitivities
) -> dict[str, Tensor]:
    """Return how often a sample is expected to read each row of the embeddings that gradients reach, float64.

    Of a row that samples have read n times, of N in all and among V rows, (n + 1) / (N + V) of what a sample reads is
    expected to be it: Laplace's rule of succession, for a text to come has tokens that none of these has.
    """
    found = dict[str, Tensor]()
    for place in places:
        if place.name not in felt.guessed:
            each, samples = calibration.frequencies(params, place.name), sum(map(size_of, calibration.seen))
            counts = each.cpu() * samples
            found[place.name] = (counts + 1) * float(each.sum()) / (float(counts.sum()) + len(counts))
    return found


def _worths(
    weights: Params, felt: Sensitivities, numbers: Mapping[str, float], energies: Mapping[str, float],
    tokens: Mapping[str, Tensor],
) -> dict[str, float]:  # fmt: skip
    """Return what a squared error in what each weight writes is worth, in the mean of its rows.

    Half of what gradients say, for that is a divergence. Where none reaches, an error in one number costs what it does
    in the median of others; no weight costs less than `_LEAST` of the median, if all of it were lost.

    Args:
        weights: all of them.
        felt: by what layers write.
        numbers: of weights that no layer is known to multiply with, by their numbers themselves.
        energies: the mean of Σ_jj of what each reads, where that is known; else 1.
        tokens: how often a sample reads each row of embeddings, which write no more than what is read of them.
    """
    known = {name: 0.5 * float(rows.mean()) for name, rows in felt.rows.items() if name not in felt.guessed}
    known |= {name: known[name] * float(read.mean()) for name, read in tokens.items() if name in known}
    known |= {name: 0.5 * each for name, each in numbers.items()}
    each = {name: energies.get(name) or 1.0 for name in weights}
    lost = {name: one * float(weights[name].double().square().mean()) for name, one in each.items()}
    whole = [known[name] * lost[name] for name in energies if known.get(name, 0.0) * lost[name] > 0]
    least = _LEAST * float(np.median(whole)) if whole else 0.0
    floors = {name: least / one if one > 0 else 0.0 for name, one in lost.items()}
    costs = [max(known[name], floors[name]) * energy for name, energy in energies.items() if name in known]
    typical = float(np.median(costs)) if any(costs) else 1.0
    return {name: max(known.get(name, typical / each[name]), floors[name]) or 1.0 for name in weights}


def _rows(calibration: Calibration, weight: Tensor, place: Place, felt: Sensitivities) -> Rows:
    """Return what errors in rows are worth; all the same where rows are not what the layer writes."""
    each, products = felt.rows.get(place.name), felt.products.get(place.name)
    rows, even = outputs(weight.shape, place.form), place.form == "turned"
    if each is None or len(each) != rows or place.form == "packed":
        return ALL_ALIKE
    together = is_apart(rows, lane_count(weight.numel()))
    if products is None or not together or getattr(calibration.module.get_submodule(place.layer), "groups", 1) > 1:
        return Rows.of(each.numpy(), even=even)
    return Rows.of(each.numpy(), products.numpy(), even=even)


def _rates(
    calibration: Calibration, params: Params, survey: Survey, told: Mapping[str, Rows],
    biases: Mapping[str, str], how: Recursion, tick: Tick, positions: int | None, spectra: bool,
) -> tuple[dict[str, Rate], dict[str, tuple[float, float]], dict[str, Sources]]:  # fmt: skip
    """Return the rate of each weight, how often a sample meets it and the mean of Σ_jj, and its spectrum, if asked."""
    rates, read, found = dict[str, Rate](), dict[str, tuple[float, float]](), dict[str, Sources]()
    with following(calibration, params, survey, positions, drift=False) as follower:
        for name, rows in told.items():
            tick("statistics", len(rates), len(told))
            form = survey.place(name).form
            seen, weights = follower.statistics(name, biased=name in biases), matrix(params[name], form)
            own = suited(how, len(weights), met=True, form=form, embeds=survey.place(name).embeds)
            rates[name] = Rate.of(rows.stretched(weights), seen.moments, own)
            read[name] = seen.positions, float(np.diagonal(seen.moments, axis1=1, axis2=2).mean())
            if spectra:
                found[name] = spectrum(weights, seen.moments, rows)
    return rates, read, found


def spectrum(weights: np.ndarray, moments: np.ndarray, rows: Rows = ALL_ALIKE) -> Sources:
    """Return the variances of what Gaussian weights of this mean square write, and how many numbers have each.

    Args:
        weights: shape (outputs, ...).
        moments: of the inputs, shape (groups, n, n).
        rows: what errors in them are worth beside each other.

    >>> spectrum(np.ones((6, 2)), np.diag([4.0, 1.0])[None]).variances.tolist()
    [1.0, 4.0]
    """
    eigenvalues = np.maximum(np.linalg.eigvalsh(moments), 0.0)
    variance = float(np.square(weights, dtype=np.float64).mean()) if weights.size else 0.0
    return Sources(*rows.spread(variance * eigenvalues, len(weights)))


def _biases(
    calibration: Calibration, params: Params, places: Mapping[str, Place], folding: Folding
) -> dict[str, str]:  # fmt: skip
    """Return the vector that is added to what each weight writes, where one is, and no other layer has either.

    A weight of two layers, or a vector of two, would have to make good the errors of both. Both products of an
    LSTM, and of a plain recurrent layer, are added up with both of its biases: the first takes all.
    """
    norms = {layer: norm for norm, layer in folding.pairs.items()}
    uses = Counter(first_names(calibration.module).values())
    found = {}
    for name, place in places.items():
        leaf = place.leaf.replace("weight", "bias", 1)
        if recurrent_leaf(place.leaf) and not isinstance(calibration.module.get_submodule(place.layer), _GATED):
            leaf = leaf.replace("_hh", "_ih", 1)
        elif not recurrent_leaf(place.leaf) and place.leaf != "weight":
            continue
        vector = ".".join(filter(None, (norms.get(place.layer, place.layer), leaf)))
        weight = ".".join(filter(None, (place.layer, place.leaf)))
        if name == weight and vector in params and uses[weight] == uses[vector] == 1:
            found[name] = vector
    return found


def by_module(calibration: Calibration, network: Untied) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors by the first names that the module has for them, and these by the network's own names."""
    own = once(calibration.module, network.params)
    firsts = {kept: first for first, kept in own.items() if kept in network.params}
    names = {name: firsts.get(name, name) for name in network.params}
    return {names[name]: tensor for name, tensor in network.params.items()}, names


def folding_of(calibration: Calibration, params: Params, kept: Collection[str]) -> Folding:
    """Return which normalizations can be folded and change no tensor that is kept, told from one batch."""
    if not any(isinstance(part, _BatchNorm) for part in calibration.module.modules()):
        return Folding({}, {})
    batch = calibration.batches[0]
    found = foldable(calibration.module, params, lambda given: calibration.whole_outputs(given, batch))
    owners = {name.rpartition(".")[0] for name in kept if params[name].is_floating_point()}
    still = {norm for norm, layer in found.pairs.items() if norm in owners or layer in owners}
    pairs = {norm: layer for norm, layer in found.pairs.items() if norm not in still}
    return replace(found, pairs=pairs, left={**found.left, **dict.fromkeys(still, "is to stay as it is, or its layer")})
