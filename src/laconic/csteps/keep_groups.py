"""Structured pruning: the groups of weights that matter most stay, the others become zero."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np

from laconic.csteps.compression import Codes, Compression
from laconic.csteps.groups import Groups, Tiling
from laconic.csteps.lossless import Lossless
from laconic.csteps.survivors import compress_survivors, joined, root_losses, split
from laconic.csteps.warm import better, feasible, of_kind
from laconic.errors import PlanError, WeightsError, listed
from laconic.format.codes import Code, Symbols, TileSparseCode
from laconic.models.params import Params, dtype_name, to_numpy
from laconic.theory.metric import Metrics

SCORES = ("l2", "l1", "activity")
"""What says how much a group matters: its share of the distortion, the sum of sizes, or how often it is not zero."""

ACTIVE = ("filters", "neurons", "channels")
"""Groups of which data can say how often they are not zero."""


@final
@dataclass(frozen=True)
class KeepGroups(Compression):
    """At most κ groups of weights differ from zero, over all tensors given together.

        min over θ   Σ_t Σ_i h_ti (w_ti − θ_ti)²   subject to   #{g : θ_g ≠ 0} ≤ κ
        min over θ   Σ_t Σ_i h_ti (w_ti − θ_ti)²   subject to   Σ_{g : θ_g ≠ 0} |g| ≤ budget · Σ_t n_t   with ``budget``

    Method: keep the κ groups of largest `Σ h w²` (`Σ g w² + h w⁴` under a quartic metric), O(P + G log G); exact,
    whatever their sizes. With ``budget``, take groups by `Σ h w²` a weight, the largest first, where they fit: exact
    for groups of one size, greedy for others (a knapsack). Ties go to the earlier group; a group of zeros is never
    kept. With ``values`` that quantize the survivors, pruning and then quantization, each optimal in itself. Neither
    score ``l1`` nor given ``scores`` minimise the distortion: they are baselines, and the metric breaks their ties.

    Source: groups as Li et al., "Pruning filters for efficient ConvNets" (ICLR 2017), whose score is ``l1``; the
    projection as Carreira-Perpiñán & Idelbayev (CVPR 2018), with groups for weights; ``activity`` as Hu, Peng, Tai &
    Tang, "Network trimming" (arXiv 1607.03250, 2016): 1 − APoZ.

    Args:
        groups: what goes together.
        keep: κ as a share of the groups, 0 to 1; κ is rounded to the nearest integer.
        count: κ itself.
        budget: the share of all weights that may stay, 0 to 1. Exactly one of the three is given.
        score: ``l2``, the optimum; ``l1``, the sum of |w|; or, of filters, neurons and channels, ``activity``, the
            share of the samples and places at which those that read the group find it not 0. That is measured on data
            (`laconic.measured`), which `laconic.compress` does where there is a task.
        scores: by tensor, a number for each group in row-major order of tiles, the largest stay; in place of ``score``,
            or what was measured for it.
        values: how the survivors are compressed. Of filters and channels they are a tensor of fewer; else flat.

    Raises:
        PlanError: when an argument is out of range, or not exactly one of the three is given.

    >>> import torch
    >>> w = torch.tensor([[1.0, 2.0], [0.0, -3.0], [1.0, 1.0]])
    >>> KeepGroups(Groups("neurons"), count=1).project({"w": w})["w"].decompress()
    array([[ 0.,  0.],
           [ 0., -3.],
           [ 0.,  0.]], dtype=float32)
    """

    groups: Groups
    keep: float | None = None
    count: int | None = None
    budget: float | None = None
    score: str = "l2"
    scores: Mapping[str, Iterable[Any]] | None = None
    values: Compression = field(default_factory=Lossless)

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.keep, self.count, self.budget)) != 1:
            raise PlanError(
                "give exactly one of keep (a share of groups), count (of groups), budget (a share of weights)"
            )
        for name, share in (("keep", self.keep), ("budget", self.budget)):
            if share is not None and not 0 <= share <= 1:
                raise PlanError(f"{name} is the share that stays, 0 to 1, not {share}")
        if self.count is not None and self.count < 0:
            raise PlanError(f"count is the number of groups that stay, at least 0, not {self.count}")
        if self.score not in SCORES:
            raise PlanError(f"score is one of {', '.join(SCORES)}, not {self.score!r}")
        if self.score == "activity" and self.groups.kind not in ACTIVE:
            raise PlanError(f"score 'activity' is one of {', '.join(ACTIVE)}, not of {self.groups.kind}")
        if self.scores is not None:
            given = {name: tuple(map(float, values)) for name, values in self.scores.items()}
            if any(not np.isfinite(values).all() for values in given.values()):
                raise PlanError("scores are finite numbers, one for each group")
            object.__setattr__(self, "scores", given)

    def project(self, weights: Params, metrics: Metrics | None = None, warm: Codes | None = None) -> dict[str, Code]:
        """Return one `TileSparseCode` a tensor; exact where the class says so.

        Raises:
            PlanError: for ``activity`` that has not been measured.
            UnsupportedMetric: for a metric that is not unit, diagonal or quartic, or that ``values`` cannot honour.
            WeightsError: for NaN and infinite weights, shapes without such groups, and scores of another number.
        """
        if self.score == "activity" and self.scores is None:
            raise PlanError(unmeasured(weights))
        metrics = metrics or {}
        tilings = {n: Tiling(tuple(t.shape), *self.groups.tile(n, tuple(t.shape))) for n, t in weights.items()}
        roots = {name: root_losses(name, tensor, metrics) for name, tensor in weights.items()}
        masks = self._chosen(weights, tilings, roots)
        warm_codes = of_kind(TileSparseCode, warm, weights)
        inner: Codes | None = warm_codes and {name: code.values for name, code in warm_codes.items()}
        new = tile_sparse(weights, tilings, masks, metrics, self.values, inner)

        def allows(codes: Mapping[str, TileSparseCode]) -> bool:
            if self.scores is not None:
                same = all(np.array_equal(codes[name].mask.array, masks[name]) for name in codes)
            else:
                same = all(codes[name].facts() == new[name].facts() for name in codes) and self._fits(codes)
            return same and feasible(self.values, {name: code.values for name, code in codes.items()})

        return better(new, warm_codes, weights, metrics, allows)

    def penalty(self, codes: Codes) -> float:
        """Return what the compression of the survivors says."""
        kept = {name: c.values for name, c in codes.items() if isinstance(c, TileSparseCode)}
        return self.values.penalty(kept)

    def scaled(self, factor: float) -> Compression:
        """Scale the compression of the survivors."""
        return replace(self, values=self.values.scaled(factor))

    def _chosen(
        self, weights: Params, tilings: Mapping[str, Tiling], roots: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Return for each tensor which groups stay."""
        shift = math.frexp(max((float(root.max()) for root in roots.values() if root.size), default=0.0))[1]
        losses = {
            # scaled by a power of two, lest squares overflow
            name: tilings[name].sums(np.square(np.ldexp(np.maximum(root, 0), -shift), dtype=np.float64))
            for name, root in roots.items()
        }
        sizes = joined({name: tiling.sums(np.ones(roots[name].size)) for name, tiling in tilings.items()})
        some = joined({name: tilings[name].sums(root >= 0) for name, root in roots.items()}) > 0
        energy = joined(losses)
        score = joined({name: self._score(name, weights, tilings[name], losses[name]) for name in weights})
        if self.budget is not None and self.scores is None:
            score, energy = (np.divide(x, sizes, out=np.zeros(len(sizes)), where=sizes > 0) for x in (score, energy))
        order = np.lexsort((-energy, -score))
        order = order[some[order]]
        mask = np.zeros(len(score), bool)
        if self.budget is not None:
            order = order[_fitting(sizes[order], self._budget(float(sizes.sum())))]
        else:
            order = order[: self._kappa(len(score))]
        mask[order] = True
        return split(mask, losses)

    def _score(self, name: str, weights: Params, tiling: Tiling, losses: np.ndarray) -> np.ndarray:
        """Return what says how much each group of a tensor matters."""
        if self.scores is None:
            return losses if self.score == "l2" else tiling.sums(to_numpy(weights[name].abs().double()))
        scores = np.array(tuple(self.scores.get(name, ())))
        if len(scores) != tiling.count:
            raise WeightsError(f"{name}: {len(scores)} scores for {tiling.count} {self.groups.kind}")
        return scores

    def _kappa(self, total: int) -> int:
        """Return how many of ``total`` groups may stay."""
        return self.count if self.count is not None else round((self.keep or 0) * total)

    def _budget(self, total: float) -> int:
        """Return how many of ``total`` weights may stay."""
        return round((self.budget or 0) * total)

    def _fits(self, codes: Mapping[str, TileSparseCode]) -> bool:
        """Say whether no more groups or weights stay than may."""
        if self.budget is not None:
            budget = self._budget(sum(code.size for code in codes.values()))
            return sum(code.values.size for code in codes.values()) <= budget
        kept = sum(int(np.count_nonzero(code.mask.array)) for code in codes.values())
        return kept <= self._kappa(sum(len(code.mask) for code in codes.values()))


def unmeasured(names: Iterable[str]) -> str:
    """Say that activity needs data, and where they come from."""
    return (
        f"{listed(sorted(names))}: score 'activity' is how often a unit is not 0 on data, and there are none: give "
        "laconic.compress a task (or, to train, calibration inputs), the command line --data or --task; or measure it "
        "with laconic.measured(plan, task)"
    )


def tile_sparse(
    weights: Params,
    tilings: Mapping[str, Tiling],
    masks: Mapping[str, np.ndarray],
    metrics: Metrics,
    values: Compression,
    warm: Codes | None,
) -> dict[str, TileSparseCode]:
    """Return one `TileSparseCode` a tensor, of the groups that ``masks`` keep; the rest as `compress_survivors`."""
    kept = {name: tiling.spread(masks[name]) for name, tiling in tilings.items()}
    shapes = {name: tiling.survivors(masks[name]) for name, tiling in tilings.items()}
    codes = compress_survivors(weights, kept, metrics, values, warm, shapes)
    return {
        name: TileSparseCode(
            tuple(tensor.shape),
            dtype_name(tensor),
            tilings[name].rows,
            tilings[name].columns,
            Symbols(masks[name].view(np.uint8), 2),
            codes[name],
        )
        for name, tensor in weights.items()
    }


def _fitting(sizes: np.ndarray, budget: int) -> np.ndarray:
    """Return which groups are taken where each is that still fits, the first first."""
    first = int(np.searchsorted(np.cumsum(sizes), budget, side="right"))
    taken = np.arange(len(sizes)) < first
    left = budget - float(sizes[:first].sum())
    for place in range(first, len(sizes)):
        if sizes[place] <= left:
            taken[place], left = True, left - sizes[place]
    return taken
