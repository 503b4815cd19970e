"""Pruning with one learned codebook is the joint optimum under the unit metric."""

from itertools import combinations

import numpy as np
import pytest
import torch

from laconic import AdaptiveCodebook, Joint, KeepLargest
from laconic.csteps.warm import distortion
from laconic.quantize.clustering import pruned, survivors


def clustered(values, k):
    """The least error of sorted values in at most k intervals, by trying all."""
    parts = (
        np.split(values, cuts) for m in range(min(k, len(values))) for cuts in combinations(range(1, len(values)), m)
    )
    return min((sum(((part - part.mean()) ** 2).sum() for part in some) for some in parts), default=0.0)


def optimum(values, k, kappa):
    """The least error over all sets of at most κ weights that stay."""
    sets = (list(kept) for r in range(kappa + 1) for kept in combinations(range(len(values)), r))
    return min((values**2).sum() - (values[kept] ** 2).sum() + clustered(np.sort(values[kept]), k) for kept in sets)


@pytest.mark.parametrize("seed", range(40))
def test_it_is_the_best_of_all_supports_and_codebooks(seed):
    rng = np.random.default_rng(seed)
    size, k = int(rng.integers(1, 8)), int(rng.integers(1, 4))
    values = rng.normal(size=size)
    values = np.round(2 * values) / 2 if seed % 3 == 0 else values  # ties and zeros
    kappa = int(rng.integers(0, size + 1))
    weights = {"w": torch.from_numpy(values)}
    codes = KeepLargest(count=kappa, values=AdaptiveCodebook(k)).project(weights)
    assert codes["w"].values.size <= kappa
    assert distortion(codes, weights) == pytest.approx(optimum(values, k, kappa), rel=1e-9, abs=1e-12)
    if size > 1:  # the same of two tensors that share the codebook
        both = {"a": weights["w"][:1], "b": weights["w"][1:]}
        together = KeepLargest(count=kappa, values=Joint(AdaptiveCodebook(k))).project(both)
        assert distortion(together, both) == pytest.approx(distortion(codes, weights), rel=1e-9, abs=1e-12)


def test_of_too_many_survivors_it_is_as_before(monkeypatch):
    weights = {"w": torch.randn(500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)}
    compression = KeepLargest(count=60, values=AdaptiveCodebook(3))
    best = distortion(compression.project(weights), weights)
    monkeypatch.setattr(pruned, "MOST", 0)
    assert survivors(np.sort(weights["w"].numpy()), 3, 60) is None
    assert best < distortion(compression.project(weights), weights)
